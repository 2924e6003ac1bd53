"""`RealtimeProvider`: what a call asks of the provider of a speech-to-speech model, whatever its protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

__all__ = [
    "BEHIND_CUT_S",
    "CLOSE_S",
    "HEARD_NO_MORE",
    "KEPT",
    "WORDS_S",
    "RealtimeProvider",
    "said_as_it_is",
]

BEHIND_CUT_S = 0.05
"""What was heard is in the conversation so long behind the position that was heard, in seconds."""
CLOSE_S = 0.5
"""A provider that has not taken leave within so many seconds when its session is closed is not waited for."""
KEPT = 500
"""So many pieces of the caller's audio are kept while there is no session: 16 s of 32 ms."""
WORDS_S = 0.6
"""A session that is about to be closed has so long to write down what the caller has said last, in seconds."""
HEARD_NO_MORE = "The caller has interrupted you and has heard of your last answer no more than this: "
"""How a model is told in words what was heard."""


class RealtimeProvider:
    """One provider's session in one call. What it has nothing for, it leaves as it is here: nothing is done."""

    opens_only: bool = False
    """Whether the answer that is being asked for is none: the provider is told the conversation, and that is all."""
    spares: bool = False
    """Whether the answer under way must not be cancelled."""
    breaks_off: bool = False
    """Whether its service tells the end of an answer that is not complete: of its words not all were said."""
    stale_s: float = float("inf")
    """How long audio of an answer that was cut off may come if nothing tells its end, in seconds."""
    words_wait_s: float = 0.0
    """How long the caller's words are waited for until they are taken to be complete, in seconds."""
    wants_answer: Callable[[], None] = staticmethod(lambda: None)
    """Called when an answer is wanted behind the one under way, which says what the model was told to say."""
    session: Callable[[dict[str, Any]], None] | None = None
    """Changes the settings of the session on their way, where they can be."""
    change: Callable[[dict[str, Any]], None] | None = None
    """The same, for what code has changed since the session was begun."""
    settle: Callable[[], Awaitable[None]] | None = None
    """Has in the conversation what was written down of the caller's words, because no more of them come."""
    takes_changes: bool = False
    """Whether a conversation can have other instructions and tools while it lasts."""
    tells_changes: bool = True
    """Whether the session that stands is told them, and messages that code has put in. Otherwise they are another
    session.
    """
    writes_aside: bool = False
    """Whether the model can be asked for a text that is no part of the conversation."""
    cuts_by_itself: bool = True
    """Whether an interruption that its service tells of is the provider's own; otherwise it confirms one of ours."""

    hears: bool = True
    """Whether the caller's audio is sent. Who types has none."""

    failure: Exception | None = None
    """Why the latest connection has failed. None: it has not, or its service tells that itself."""

    @property
    def answers(self) -> bool:
        """Whether the provider is asked for an answer that is not over."""
        raise NotImplementedError

    @property
    def owes(self) -> bool:
        """Whether another session has to be asked for that answer: it does not come of what a tool returns later."""
        return self.answers

    @property
    def stalls(self) -> bool:
        """Whether an answer that has come to a stand, and was cut off, is under way all the same."""
        return self.answers

    @property
    def goes_stale(self) -> bool:
        """Whether an interruption that comes now cuts the answer under way off, so that what still comes of it is
        dropped.
        """
        return self.answers

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        raise NotImplementedError

    @property
    def session_key(self) -> object:
        """Something that is another one when the session is another one. None: no other comes by itself."""
        return None

    @property
    def is_to_end(self) -> bool:
        """Whether the provider is about to end the session, and nobody speaks or waits for it: another one can follow
        without a pause.
        """
        return False

    @property
    def ready(self) -> bool:
        """Whether the session can be told the conversation."""
        raise NotImplementedError

    def item(self) -> tuple[str, int] | None:
        """Return the item of the conversation, and the part of it, to which the audio belongs that comes now; None if
        items have no names.
        """
        return None

    async def begin(self, context: LLMContext) -> None:
        """Tell the provider the conversation. It answers nothing."""
        raise NotImplementedError

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        """Ask for an answer, or for one that is exactly this text."""
        raise NotImplementedError

    async def write(self, text: str) -> None:
        """Put into the conversation what the caller has written."""
        raise NotImplementedError

    async def tell(self, messages: Sequence[Any]) -> None:
        """Put messages behind the conversation, and ask for nothing."""

    async def write_aside(self, text: str) -> str | None:
        """Ask for a text that is no part of the conversation. None: it comes as the text of an answer."""
        return ""

    async def update(self) -> None:
        """Tell the session the instructions and the tools that the conversation has now."""

    async def cancel(self) -> None:
        """Have the answer under way given up."""
        raise NotImplementedError

    async def truncate(self, item: str, part: int, heard_ms: int) -> None:
        """Tell that so much of an item was heard. It was cut off."""

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        """Tell the words that were heard of an answer which was cut off, where items cannot be truncated; `heard`
        returns them when the interruption has gone down the pipeline.
        """

    async def rewrite(self, items: list[str], heard: str) -> None:
        """Put the words that were heard in the place of the items of a written answer that was cut off."""

    def answer_lost(self) -> None:
        """Take note that nothing more comes of the answer under way: the session has ended."""

    def answered(self) -> None:
        """Take note that an answer of the model is over."""

    def hear_again(self) -> bool:
        """Have the next session hear the turn of the caller's that this one has not written down, if it can. Returns
        whether the provider hears where it ends, and so when it is to be answered.
        """
        return False

    async def caller_words(self) -> None:
        """Have it told, in bounded time, what the caller has said to the session that is about to be closed."""

    def forget(self) -> None:
        """Have the next session know the conversation as it is on this side, and nothing that the provider has kept."""

    def renew(self, context: LLMContext, voice: str | None) -> None:
        """Have the next session begin with the conversation as it is on this side, with its instructions and tools.

        Args:
            context: The conversation.
            voice: The provider's name of a voice. None: the one that the service was made with.
        """

    def raise_failure(self) -> None:
        """Raise why the latest connection has failed, if it has, and none stands."""
        failure, self.failure = self.failure, None
        if failure is not None and not self.connected:
            raise failure

    async def reopen(self, context: LLMContext) -> None:
        """Open the session again, or for the first time, for this conversation. Whether that has
        succeeded, `connected` and `ready` tell.
        """
        raise NotImplementedError


def said_as_it_is(text: str) -> str:
    """Return the instruction to a model that speaks to say a text and nothing else."""
    return f'Say exactly the text in quotation marks, word for word, and nothing before or after it: "{text}"'
