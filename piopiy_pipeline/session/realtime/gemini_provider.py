"""`GeminiProvider`: Google's Gemini Live.

It has no items and no truncation: after an interruption the model knows all that it has sent. So it is told in words
what was heard. An answer is cut off by the beginning of the caller's turn, which pipecat's service tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pipecat.frames.frames import InterruptionFrame, LLMFullResponseStartFrame, UserStoppedSpeakingFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.compat import gemini_session
from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.session.realtime.instructions import instruct_by_setting
from piopiy_pipeline.session.realtime.realtime_provider import said_as_it_is

__all__ = ["GeminiProvider"]

BEHIND_CUT_S = 0.05
"""What was heard is in the conversation so long behind the position that was heard, in seconds."""
POLL_S = 0.05
AWAITED_S = 8.0
"""An answer that was asked for and of which nothing comes is not waited for any longer, in seconds."""


class GeminiProvider:
    """A `RealtimeProvider`.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Not used: pipecat's service opens a lost session again itself, a few times.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._asked = asked
        self._awaited_until = float("-inf")
        self.opens_only = False
        self.spares = False
        self.stale_s = 1.0
        self.words_wait_s = 0.3
        self.session: Callable[[dict[str, Any]], None] | None = None
        self.change: Callable[[dict[str, Any]], None] | None = None
        self.takes_changes = self.writes_aside = False
        instruct_by_setting(service)
        watch_taken(service, self._turn_over, UserStoppedSpeakingFrame)
        watch_taken(service, self._interrupted, InterruptionFrame)
        watch_pushes(service, self._begun, LLMFullResponseStartFrame)

    @property
    def answers(self) -> bool:
        return gemini_session.answers(self._service) or self._now() < self._awaited_until

    @property
    def connected(self) -> bool:
        return gemini_session.is_connected(self._service)

    @property
    def session_key(self) -> object:
        return gemini_session.session_of(self._service)

    @property
    def ready(self) -> bool:
        """True: what it is told before the session stands, pipecat's service keeps."""
        return True

    def item(self) -> tuple[str, int] | None:
        return None

    async def begin(self, context: LLMContext) -> None:
        if not gemini_session.is_ready(self._service):
            await gemini_session.seed(self._service, context)
        while not gemini_session.is_ready(self._service) and self.connected:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(POLL_S)

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self._await()
        await gemini_session.ask(self._service, None if text is None else said_as_it_is(text))

    async def write(self, text: str) -> None:
        await gemini_session.note(self._service, text)

    async def tell(self, messages: Sequence[Any]) -> None:
        """Do nothing: it takes no changes."""

    async def write_aside(self, text: str) -> None:
        """Do nothing: it takes no changes."""

    async def update(self) -> None:
        """Do nothing: it takes no changes."""

    async def cancel(self) -> None:
        self._awaited_until = float("-inf")

    async def truncate(self, item: str, part: int, heard_ms: int) -> None:
        """Do nothing: there are no items."""

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        text = (
            f"The caller has interrupted you and has heard of your last answer no more than this: {heard()}"
        )
        await gemini_session.note(self._service, text)

    async def rewrite(self, items: list[str], heard: str) -> None:
        """Do nothing: there are no items, and it is told what was heard."""

    def answer_lost(self) -> None:
        self._awaited_until = float("-inf")
        gemini_session.answer_given_up(self._service)

    async def reopen(self, context: LLMContext) -> None:
        await gemini_session.open_again(self._service)
        while self.session_key is None and self.connected:  # noqa: ASYNC110  it fails without a word
            await asyncio.sleep(POLL_S)

    # ------------------------------------------------------------------ what the service does

    def _turn_over(self, _service: Any, _frame: Any) -> None:
        self._await()

    def _interrupted(self, _service: Any, _frame: Any) -> None:
        self._awaited_until = float("-inf")

    def _begun(self, _service: Any, _frame: Any) -> None:
        self._awaited_until = float("-inf")

    def _await(self) -> None:
        self._awaited_until = self._now() + AWAITED_S
        self._asked()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
