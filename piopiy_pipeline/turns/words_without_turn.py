"""Has a caller heard whose STT was to tell when turns begin, and tells it not.

Strategies that leave turns to an STT with turn events of its own are deaf with any other STT. Words of which no turn
has come within a while are taken as one, and the log says once which STT has told nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from piopiy_pipeline.turns.kept_words import KeptWords

__all__ = ["WordsWithoutTurn"]

UNTOLD_S = 2.0
"""Words of which no turn has come for so long are a turn: longer than an STT takes to tell one behind its words."""


class WordsWithoutTurn(BaseUserTurnStartStrategy):
    """Pipecat's start strategy that stands behind those that an STT's turn events drive.

    Args:
        stt: The name of the STT, for the log.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(self, stt: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hear: Callable[[Frame], Awaitable[None]] | None = None
        """Has the user's side of the conversation hear a transcript that was kept."""
        self._stt = stt
        self._kept = KeptWords()
        self._in_turn = False
        self._warned = False
        self._timer: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        if self._in_turn:
            return ProcessFrameResult.CONTINUE
        if isinstance(frame, TranscriptionFrame) and frame.text.strip():
            self._kept.keep(frame, asyncio.get_running_loop().time())
            self._set_timer()
        elif isinstance(frame, InterimTranscriptionFrame) and self._kept:
            self._set_timer()  # the caller goes on
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        self._in_turn = True
        self._clear_timer()
        self._kept.clear()

    async def handle_user_turn_stopped(self) -> None:
        self._in_turn = False

    async def cleanup(self) -> None:
        await super().cleanup()
        self._clear_timer()
        self._kept.clear()
        task, self._starting = self._starting, None
        if task is not None and not task.done():
            await self.task_manager.cancel_task(task)

    async def _start(self) -> None:
        words = self._kept.taken()
        if words is None or self._in_turn:
            return
        if not self._warned:
            self._warned = True
            logger.warning(
                "{} has sent words and no turn for {:g} s: turns= leaves it to the STT to tell when the caller's turn "
                "begins and ends, and this one seems not to tell it. The words are taken as a turn, late. Leave turns= "
                "out, or use an STT with turn events",
                self._stt,
                UNTOLD_S,
            )
        await self.trigger_reset_aggregation()
        await self.trigger_user_turn_started()
        if self.hear is not None:
            await self.hear(words)

    def _set_timer(self) -> None:
        self._clear_timer()
        self._timer = asyncio.get_running_loop().call_later(UNTOLD_S, self._nobody_tells)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _nobody_tells(self) -> None:
        self._timer = None
        if self._starting is None or self._starting.done():
            self._starting = self.task_manager.create_task(self._start(), f"{self}::words")
