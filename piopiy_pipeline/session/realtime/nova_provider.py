"""`NovaProvider`: Amazon Nova Sonic, from its second generation on, which takes texts beside the caller's speech.

Its server hears when the caller's turn ends, begins answers by itself and cuts them off. It has no items and no
truncation: what was heard of an answer it is told in words, as a text that asks for nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.compat import nova_session
from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.session.realtime.awaited_answer import AwaitedAnswer
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
        self._awaited = AwaitedAnswer(service, asked)
        self._begun = False
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._typed: list[str] = []
        self.stale_s = 1.0
        instruct_by_setting(service)
        self._turns = ProposedTurns(service, lambda: self._begun and not self.answers)
        nova_session.prepare(
            service,
            interrupted=self._turns.begin,
            answers=self._answers,
            keep=self._keep,
            lost=lost,
            returned=self._awaited.begin,
            late=self._returned_late,
        )
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
        await nova_session.begin(self._service, context)
        self._begun = True
        while self._kept:
            await nova_session.send_audio(self._service, self._kept.popleft())

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self._awaited.begin()
        typed, self._typed = " ".join(self._typed), []
        wanted = said_as_it_is(text) if text is not None else typed or "[Answer the caller now.]"
        await nova_session.say_text(self._service, wanted, answer=True)

    async def write(self, text: str) -> None:
        self._typed.append(text)  # it is said with the question for an answer, which always follows

    async def cancel(self) -> None:
        self._awaited.end()

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        await nova_session.say_text(self._service, f"[{HEARD_NO_MORE}{heard()}]", answer=False)

    def answer_lost(self) -> None:
        self._awaited.end()

    async def reopen(self, context: LLMContext) -> None:
        self._begun = False
        self._awaited.end()
        await nova_session.open_again(self._service)

    # ------------------------------------------------------------------ what the service does

    async def _answers(self) -> None:
        """Take note that the provider answers: the caller's turn is over, unless the answer was asked for."""
        if self._awaited.is_due:
            self._awaited.end()
            return
        await self._turns.end()
        self._asked()

    def _keep(self, audio: bytes) -> bool:
        if self._begun and self.connected:
            return False
        self._kept.append(audio)
        return True

    async def _returned_late(self, result: str) -> None:
        self._awaited.begin()
        await nova_session.say_text(self._service, f"[A tool has returned: {result}]", answer=True)

    def _append(self, _service: Any, frame: LLMMessagesAppendFrame) -> None:
        if frame.run_llm:
            self._awaited.begin()
