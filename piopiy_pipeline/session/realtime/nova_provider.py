"""`NovaProvider`: Amazon Nova Sonic, from its second generation on, which takes texts beside the caller's speech.

Its server hears when the caller's turn ends, begins answers by itself and cuts them off. It has no items and no
truncation: what was heard of an answer it is told in words, as a text that asks for nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from pipecat.frames.frames import InterruptionFrame, LLMMessagesAppendFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.compat import nova_session
from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.session.realtime.proposed_turns import ProposedTurns
from piopiy_pipeline.session.realtime.realtime_provider import HEARD_NO_MORE, said_as_it_is

__all__ = ["NovaProvider"]

KEPT = 500
"""So many pieces of the caller's audio are kept while there is no session: 16 s of 32 ms."""
AWAITED_S = 8.0
"""An answer that was asked for and of which nothing comes is not waited for any longer, in seconds."""
BEHIND_CUT_S = 0.05
"""What was heard is in the conversation so long behind the position that was heard, in seconds."""


class NovaProvider:
    """A `RealtimeProvider`.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Called when the session is lost.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._asked = asked
        self._lost = lost
        self._begun = False
        self._awaited_until = float("-inf")
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._typed: list[str] = []
        self.opens_only = False
        self.spares = False
        self.stale_s = 1.0
        self.words_wait_s = 0.0
        self.session: Callable[[dict[str, Any]], None] | None = None
        self.change: Callable[[dict[str, Any]], None] | None = None
        self.takes_changes = self.writes_aside = False
        self.tells_changes = self.cuts_by_itself = True
        self._turns = ProposedTurns(service, lambda: self._begun and not self.answers)
        nova_session.prepare(
            service,
            interrupted=self._turns.begin,
            answers=self._answers,
            keep=self._keep,
            lost=lost,
            returned=self._await,
            late=self._returned_late,
        )
        watch_taken(service, self._interrupted, InterruptionFrame)
        watch_taken(service, self._append, LLMMessagesAppendFrame)

    @property
    def answers(self) -> bool:
        return nova_session.responds(self._service) or self._now() < self._awaited_until

    @property
    def connected(self) -> bool:
        return nova_session.is_connected(self._service)

    @property
    def session_key(self) -> object:
        return None  # pipecat's service changes to another before the provider's limit, and nothing is lost

    @property
    def ready(self) -> bool:
        return nova_session.is_ready(self._service)

    def item(self) -> tuple[str, int] | None:
        return None

    async def begin(self, context: LLMContext) -> None:
        await nova_session.begin(self._service, context)
        self._begun = True
        while self._kept:
            await nova_session.send_audio(self._service, self._kept.popleft())

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self._await()
        typed, self._typed = " ".join(self._typed), []
        wanted = said_as_it_is(text) if text is not None else typed or "[Answer the caller now.]"
        await nova_session.say_text(self._service, wanted, answer=True)

    async def write(self, text: str) -> None:
        self._typed.append(text)  # it is said with the question for an answer, which always follows

    async def tell(self, messages: Sequence[Any]) -> None:
        """Do nothing: it takes no changes."""

    async def write_aside(self, text: str) -> str | None:
        """Return nothing: it has no answers beside the conversation."""
        return ""

    async def update(self) -> None:
        """Do nothing: it takes no changes."""

    async def cancel(self) -> None:
        self._awaited_until = float("-inf")

    async def truncate(self, item: str, part: int, heard_ms: int) -> None:
        """Do nothing: there are no items."""

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        await nova_session.say_text(self._service, f"[{HEARD_NO_MORE}{heard()}]", answer=False)

    async def rewrite(self, items: list[str], heard: str) -> None:
        """Do nothing: there are no items, and it is told what was heard."""

    def answer_lost(self) -> None:
        self._awaited_until = float("-inf")

    async def caller_words(self) -> None:
        """Do nothing: no session is closed for a change."""

    def renew(self, context: LLMContext, voice: str | None) -> None:
        """Do nothing: it takes no changes."""

    async def reopen(self, context: LLMContext) -> None:
        self._begun = False
        self._awaited_until = float("-inf")
        await nova_session.open_again(self._service)

    # ------------------------------------------------------------------ what the service does

    async def _answers(self) -> None:
        """Take note that the provider answers: the caller's turn is over, unless the answer was asked for."""
        if self._now() < self._awaited_until:
            self._awaited_until = float("-inf")
            return
        await self._turns.end()
        self._asked()

    def _keep(self, audio: bytes) -> bool:
        if self._begun and self.connected:
            return False
        self._kept.append(audio)
        return True

    async def _returned_late(self, result: str) -> None:
        self._await()
        await nova_session.say_text(self._service, f"[A tool has returned: {result}]", answer=True)

    def _append(self, _service: Any, frame: LLMMessagesAppendFrame) -> None:
        if frame.run_llm:
            self._await()

    def _interrupted(self, _service: Any, _frame: Any) -> None:
        self._awaited_until = float("-inf")

    def _await(self) -> None:
        self._awaited_until = self._now() + AWAITED_S
        self._asked()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
