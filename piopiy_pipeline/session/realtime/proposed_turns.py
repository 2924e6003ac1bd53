"""`ProposedTurns`: turns of a provider that decides on them by itself, and tells no more than what becomes of them.

Ultravox and Nova Sonic tell when they begin to answer, and when the caller has cut an answer off. While the bot is
silent, our VAD's word is taken for the beginning of a turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from piopiy_pipeline.compat.frame_taps import watch_taken

__all__ = ["ProposedTurns"]


class ProposedTurns:
    """Proposes the caller's turns to the strategies, as services do that hear of them.

    Args:
        service: The service, before it runs.
        is_silent: Whether the bot is silent, and will be.
    """

    def __init__(self, service: Any, is_silent: Callable[[], bool]) -> None:
        self._service = service
        self._is_silent = is_silent
        self.begun = False
        """Whether the caller speaks, and their turn is not over."""
        self.hears = False
        """Whether our VAD hears the caller."""
        watch_taken(service, self._vad_started, VADUserStartedSpeakingFrame)
        watch_taken(service, self._vad_stopped, VADUserStoppedSpeakingFrame)

    async def begin(self) -> None:
        """The caller speaks: what the bot says is cut off."""
        self.begun = True
        await self._service.broadcast_frame(ProposedUserStartedSpeakingFrame)

    async def end(self) -> None:
        """The caller's turn is over. It may not have been noticed before."""
        if not self.begun:
            await self.begin()
        self.begun = False
        await self._service.broadcast_frame(ProposedUserStoppedSpeakingFrame)

    def _vad_stopped(self, _service: Any, _frame: Frame) -> None:
        self.hears = False

    async def _vad_started(self, _service: Any, _frame: Frame) -> None:
        self.hears = True
        if self._is_silent():
            await self.begin()
