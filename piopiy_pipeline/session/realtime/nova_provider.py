"""`NovaProvider`: Amazon Nova Sonic, from its second generation on, which takes texts beside the caller's speech.

Its server hears when the caller's turn ends, begins answers by itself and cuts them off. It has no items and no
truncation: what was heard of an answer it is told in words, as a text that asks for nothing. Instructions, tools and
voice are a session's from its beginning on: other ones are another session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pipecat.frames.frames import InterruptionFrame, LLMMessagesAppendFrame, TranscriptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text

from piopiy_pipeline.compat import nova_session
from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.compat.nova_history import noted
from piopiy_pipeline.compat.spoken_results import lead_unasked_results
from piopiy_pipeline.session.model.system_message import system_message
from piopiy_pipeline.session.realtime.awaited_answer import AwaitedAnswer
from piopiy_pipeline.session.realtime.bounded_wait import POLL_S
from piopiy_pipeline.session.realtime.instructions import instruct_by_setting
from piopiy_pipeline.session.realtime.proposed_turns import ProposedTurns
from piopiy_pipeline.session.realtime.realtime_provider import (
    BEHIND_CUT_S,
    HEARD_NO_MORE,
    KEPT,
    RealtimeProvider,
    said_as_it_is,
)

__all__ = ["NovaProvider"]


MAX_WAITING = 32
"""So many results of tools wait at most until an answer is asked for: the model waits for each."""


class NovaProvider(RealtimeProvider):
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
        self._awaited = AwaitedAnswer(service, asked)
        self._begun = False
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._typed: list[str] = []
        self.stale_s = 1.0
        self.takes_changes = self.writes_aside = True
        self.tells_changes = False
        self._first_voice: str = service.settings.voice
        self._waiting: dict[str, str] = {}  # results that nobody is to answer, by the uses of tools
        self._context: LLMContext | None = None
        self._said = ""  # of the answer that came last
        self._said_behind = 0  # so many of its messages were in the conversation when it began
        self._words = ""  # of the caller, that were told last
        self._words_behind = 0
        self._spoke = False  # words of the caller were told since the last answer
        instruct_by_setting(service)
        self._turns = ProposedTurns(service, lambda: self._begun and not self.answers)
        nova_session.prepare(
            service,
            interrupted=self._turns.begin,
            answers=self._answers,
            keep=self._keep,
            lost=self._has_lost,
            returned=self._awaited.begin,
            late=self._returned_late,
            said=self._says,
            ended=self._completed,
        )
        nova_session.continue_with(service, self._conversation)
        lead_unasked_results(service, self._returned_unasked)
        watch_taken(service, self._interrupted, InterruptionFrame)
        watch_pushes(service, self._told_words, TranscriptionFrame)
        watch_taken(service, self._append, LLMMessagesAppendFrame)

    @property
    def answers(self) -> bool:
        return nova_session.responds(self._service) or self._awaited.is_due

    @property
    def connected(self) -> bool:
        return nova_session.is_connected(self._service)

    @property
    def ready(self) -> bool:
        return nova_session.is_ready(self._service)

    async def begin(self, context: LLMContext) -> None:
        self._context = context
        self._waiting.clear()  # it knows them from the conversation
        await nova_session.begin(self._service, context)
        self._begun = True
        while self._kept:
            await nova_session.send_audio(self._service, self._kept.popleft())

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self._awaited.begin()
        waiting = list(self._waiting.items())
        self._waiting.clear()
        for call, result in waiting:
            if text is None:
                await nova_session.send_result(self._service, call, result)
            else:
                await self._take_in(result)
        if waiting and text is None and not self._typed:
            return  # they are answered
        typed, self._typed = " ".join(self._typed), []
        wanted = said_as_it_is(text) if text is not None else typed or "[Answer the caller now.]"
        await nova_session.say_text(self._service, wanted, answer=True)

    async def write(self, text: str) -> None:
        self._typed.append(text)  # it is said with the question for an answer, which always follows

    async def cancel(self) -> None:
        self._awaited.end()

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        await nova_session.say_text(self._service, noted(f"{HEARD_NO_MORE}{heard()}"), answer=False)

    def answer_lost(self) -> None:
        self._awaited.end()

    async def caller_words(self) -> None:
        if nova_session.words_so_far(self._service):
            await nova_session.tell_words(self._service)
            await asyncio.sleep(POLL_S)  # until they have gone up the pipeline

    def renew(self, context: LLMContext, voice: str | None) -> None:
        instructed = system_message(context) is not None
        nova_session.set_up_with(self._service, voice or self._first_voice, instructed=instructed)

    async def write_aside(self, text: str) -> str | None:
        return await nova_session.write_beside(self._service, text)

    async def reopen(self, context: LLMContext) -> None:
        self._begun = False
        self._awaited.end()
        await nova_session.open_again(self._service)
        self.raise_failure()

    # ------------------------------------------------------------------ what the service does

    def _has_lost(self, error: Exception | None) -> None:
        self.failure = error
        self._lost()

    def _completed(self, tell_empty: Callable[[], Awaitable[None]]) -> None:
        """Take note of the end of a completion. If the caller has said something, or an answer was asked for, and
        nothing was answered, it is an empty one.
        """
        owes = self._awaited.is_due or nova_session.words_so_far(self._service)
        if owes and not nova_session.responds(self._service):
            self._awaited.seems_empty(tell_empty)

    async def _answers(self) -> None:
        """Take note that the provider answers: the caller's turn is over, unless the answer was asked for and they have
        said nothing since.
        """
        self._awaited.goes_on()
        self._said = ""
        self._said_behind = self._count("assistant")
        spoke, self._spoke = self._spoke, False
        if due := self._awaited.is_due:
            self._awaited.end()
        if due and not spoke:
            return
        if not due or self._turns.begun:  # a turn that begins now would cut this answer off
            await self._turns.end()
        self._asked()

    def _keep(self, audio: bytes) -> bool:
        if not self.hears:
            return True
        if self._begun and self.connected:
            return False
        self._kept.append(audio)
        return True

    async def _returned_late(self, result: str) -> None:
        self._awaited.begin()
        await self._take_in(result, answer=True)

    async def _take_in(self, result: str, *, answer: bool = False) -> None:
        await nova_session.say_text(self._service, noted(f"A tool has returned: {result}"), answer=answer)

    async def _returned_unasked(self, call: str, result: str) -> None:
        if not nova_session.is_awaited(self._service, call):
            await self._take_in(result)
        else:
            self._waiting[call] = result
            for old in list(self._waiting)[:-MAX_WAITING]:
                await self._take_in(self._waiting.pop(old))

    def _says(self, text: str) -> None:
        self._said = f"{self._said} {text}".strip()

    def _interrupted(self, _service: Any, _frame: Any) -> None:
        self._said = ""

    def _told_words(self, _service: Any, frame: TranscriptionFrame) -> None:
        self._words, self._words_behind = frame.text, self._count("user")
        self._spoke = True

    def _count(self, role: str) -> int:
        """Return how many messages with a text the conversation has of one side: new ones may stand before others."""
        messages: list[Any] = [] if self._context is None else self._context.get_messages()
        return sum(one.get("role") == role and bool(standard_message_text(one)) for one in messages)

    def _conversation(self) -> Sequence[Any]:
        """Return what a session that follows another one is to know: what was heard, what is being said, and the words
        of the caller's that are being written down.
        """
        messages: list[Any] = [] if self._context is None else list(self._context.get_messages())
        news = (("user", self._words, self._words_behind), ("assistant", self._said, self._said_behind))
        messages += [
            {"role": role, "content": text}
            for role, text, before in news
            if text and self._count(role) <= before  # it is on its way into the conversation
        ]
        if words := nova_session.words_so_far(self._service):
            messages.append({"role": "user", "content": words})
        return messages

    def _append(self, _service: Any, frame: LLMMessagesAppendFrame) -> None:
        if frame.run_llm:
            self._awaited.begin()
