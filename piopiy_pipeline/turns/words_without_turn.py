"""Has a caller heard whose STT was to tell when turns begin, and tells it not.

Strategies that leave turns to an STT with turn events of its own are deaf with any other STT. Words of which no turn
has come within a while are taken as one, and the log says once which STT has told nothing.
"""

from __future__ import annotations

from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, InterimTranscriptionFrame, TranscriptionFrame
from pipecat.turns.types import ProcessFrameResult

from piopiy_pipeline.turns.kept_turn_start import KeptTurnStart

__all__ = ["WordsWithoutTurn"]

UNTOLD_S = 2.0
"""Words of which no turn has come for so long are a turn: longer than an STT takes to tell one behind its words."""


class WordsWithoutTurn(KeptTurnStart):
    """Pipecat's start strategy that stands behind those that an STT's turn events drive.

    Args:
        stt: The name of the STT, for the log.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(self, stt: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._stt = stt
        self._warned = False

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        if self._in_turn:
            return ProcessFrameResult.CONTINUE
        if isinstance(frame, TranscriptionFrame) and frame.text.strip():
            self._kept.keep(frame, self._now())
            self._set_timer(UNTOLD_S)
        elif isinstance(frame, InterimTranscriptionFrame) and self._kept:
            self._set_timer(UNTOLD_S)  # the caller goes on
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        await super().handle_user_turn_started()
        self._clear_timer()
        self._kept.clear()

    async def _start(self) -> None:
        if not self._kept:
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
        await super()._start()

    def _look(self) -> None:
        self._start_soon()
