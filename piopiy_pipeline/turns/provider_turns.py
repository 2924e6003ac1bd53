"""Turns that the provider of a speech-to-speech model proposes, and what a sound over the bot's speech does to them.

The provider hears when the caller begins and stops. While the bot is silent, its word counts. Over the bot's speech
`HeldTurnStart` decides, so that a cough does not cut the bot off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy, ExternalUserTurnStartStrategy
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

__all__ = ["ProviderSpeech", "ProviderTurnEnd", "ProviderTurnStart", "hear_no_old_words"]

BEGUN_S = 0.05
"""A turn that is over when it begins ends so much later, in seconds: behind the interruption with which it begins."""
UNCLAIMED_S = 3.0
"""Speech that the provider has heard the end of may become a turn for so long, in seconds."""


class ProviderTurnStart(ExternalUserTurnStartStrategy):
    """Begins a turn when the provider hears the caller begin.

    Args:
        is_spared: Whether nothing begins a turn now, or another strategy does: the bot speaks.
    """

    def __init__(self, is_spared: Callable[[], bool], *, enable_interruptions: bool = True) -> None:
        super().__init__(enable_interruptions=enable_interruptions)
        self._is_spared = is_spared

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        if isinstance(frame, ProposedUserStartedSpeakingFrame) and self._is_spared():
            return ProcessFrameResult.CONTINUE
        return await super().process_frame(frame)


@dataclass(slots=True)
class ProviderSpeech:
    """Speech of the caller that the provider has heard."""

    claimed: bool = False
    """Whether it is part of a turn. Other speech was over the bot's."""


class ProviderTurnEnd(BaseUserTurnStopStrategy):
    """Ends the turn when the provider hears the caller stop, or at once if it has heard that before it was a turn.

    Args:
        unclaimed_s: So long before it was a turn, in seconds.
    """

    def __init__(self, *, unclaimed_s: float = UNCLAIMED_S) -> None:
        super().__init__()
        self._unclaimed_s = unclaimed_s
        self._in_turn = False
        self._speaking = False
        self._stopped_at = float("-inf")  # of speech that has not ended a turn yet
        self._ending: asyncio.Task[None] | None = None
        self.speech = ProviderSpeech()
        """The latest."""

    @property
    def resolves_proposed_turn_stop_frames(self) -> bool:
        """True: nobody behind this strategy decides once more."""
        return True

    async def handle_user_turn_started(self) -> None:
        self._in_turn = True
        if (
            not self._speaking and self._now() - self._stopped_at < self._unclaimed_s
        ):  # behind the turn's beginning
            self._claim()

    def _claim(self) -> None:
        """End the turn, which is speech that is over."""
        self.speech.claimed = True
        if self._ending is None or self._ending.done():
            self._ending = self.task_manager.create_task(self._end_soon(), f"{self}::turn_end")

    async def _end_soon(self) -> None:
        await asyncio.sleep(BEGUN_S)
        await self.trigger_user_turn_stopped()

    async def handle_user_turn_stopped(self) -> None:
        self._in_turn = False
        self._stopped_at = float("-inf")

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        if isinstance(frame, ProposedUserStartedSpeakingFrame):
            self._speaking = True
            self.speech = ProviderSpeech()
        elif isinstance(frame, ProposedUserStoppedSpeakingFrame):
            self._speaking = False
            self._stopped_at = self._now()
            if self._in_turn:
                self.speech.claimed = True
                await self.trigger_user_turn_stopped()
        elif isinstance(frame, TranscriptionFrame) and self._in_turn and self._owes_end:
            self._claim()  # words that were kept until the bot had finished, and have begun the turn
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and self._in_turn and self._owes_end:
            await self.trigger_user_turn_stopped()  # pipecat ends no turn while the VAD hears speech
        return ProcessFrameResult.CONTINUE

    @property
    def _owes_end(self) -> bool:
        return not self._speaking and self._stopped_at > float("-inf")

    async def cleanup(self) -> None:
        await super().cleanup()
        task, self._ending = self._ending, None
        if task is not None and not task.done():
            await self.task_manager.cancel_task(task)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def hear_no_old_words(
    strategy: BaseUserTurnStartStrategy | BaseUserTurnStopStrategy, is_old: Callable[[Frame], bool]
) -> None:
    """Keep from a strategy the words of speech that it has decided on already.

    A speech-to-speech model writes down what the caller has said when the turn is over, or later.

    Args:
        strategy: The strategy, before it runs.
        is_old: Whether a transcript is of such speech.
    """
    process = strategy.process_frame

    async def process_frame(frame: Frame) -> ProcessFrameResult | None:
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame) and is_old(frame):
            return ProcessFrameResult.CONTINUE
        return await process(frame)

    strategy.process_frame = process_frame  # type: ignore[method-assign]
