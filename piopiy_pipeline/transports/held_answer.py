"""Gives an `AnswerGate` the time and the tasks that it has not: where speech arrives at the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.transports.answer_gate import AnswerGate
from piopiy_pipeline.transports.frames import EagerWithdrawnFrame

__all__ = ["HeldAnswer"]

WITHDRAWN_S = 2.0
"""How long what is left of an answer that was withdrawn may take to come."""
TURN_END_S = 0.1
"""How long the end of the caller's turn may take to come, before which nothing of the answer is told."""


class HeldAnswer:
    """Keeps back an answer that was begun before the caller's turn was over.

    Args:
        arrived: Takes what is not kept back, or not any more.
        clock_ns: The pipeline's clock, in nanoseconds.
    """

    def __init__(
        self,
        arrived: Callable[[Frame, FrameDirection], Awaitable[None]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._gate = AnswerGate()
        self._arrived = arrived
        self._clock_ns = clock_ns
        self._came_ns: dict[
            int, int
        ] = {}  # when the sounds and words that are kept back came, by their frames' ids
        self._releasing: asyncio.Task[None] | None = None
        self._passed = asyncio.Event()
        self._passed.set()
        self._confirmed: Callable[[], None] | None = None
        self._turn_end_due: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.audio_at: float | None = None
        """When the first audio of the answer that is kept back has come, on the loop's clock."""
        self.on_cut: Callable[[], None] | None = None
        """Called when an interruption has cut off the answer that is kept back. Withdraw it then."""

    @property
    def holds(self) -> bool:
        """Whether an answer is kept back, and nothing has cut it off."""
        return self._gate.holds

    def hold(self, earlier: Collection[int] = ()) -> None:
        """Keep back what comes from now on.

        Args:
            earlier: The ids of interruptions that may be on their way here, before the answer.
        """
        self.audio_at = None
        self._came_ns.clear()
        self._gate.hold(earlier)

    def came_ns(self, frame: Frame) -> int:
        """Return when a sound or word came, in nanoseconds of the pipeline's clock: now, if it was not kept back.

        The times of words count from the first sound of their context, as it passed the voice.
        """
        return self._came_ns.pop(frame.id, None) or self._clock_ns()

    async def take(self, frame: Frame) -> None:
        """Take a frame that comes down to the transport."""
        if self._gate.idle and isinstance(frame, OutputAudioRawFrame):
            self._passed.set()
            await self._arrived(frame, FrameDirection.DOWNSTREAM)
            return
        if self._gate.holds and isinstance(frame, (OutputAudioRawFrame, TTSTextFrame)):
            self._came_ns[frame.id] = self._clock_ns()
            if self.audio_at is None and isinstance(frame, OutputAudioRawFrame):
                self.audio_at = asyncio.get_running_loop().time()
        for one in self._gate.take(frame):
            await self._arrived(one, FrameDirection.DOWNSTREAM)
            if isinstance(one, UserStoppedSpeakingFrame):
                self._turn_is_over()
        if isinstance(frame, InterruptionFrame) and not isinstance(frame, EagerWithdrawnFrame):
            self._interrupted()
        if not self._gate.withdrawn:
            self._passed.set()

    def _interrupted(self) -> None:
        if self._gate.holds:
            self.audio_at = None  # what came was of the speech before
        elif self._gate.is_cut and (self._confirmed is not None or self.on_cut is None):
            self._gate.release()
        elif self._gate.is_cut and self.on_cut is not None:
            self.on_cut()

    def release(self, confirmed: Callable[[], None]) -> None:
        """Say the answer as soon as the end of the caller's turn has come here. Returns at once.

        Args:
            confirmed: Called then.
        """
        self._confirmed = confirmed
        self._turn_end_due = asyncio.get_running_loop().call_later(TURN_END_S, self._turn_is_over)

    def _turn_is_over(self) -> None:
        confirmed = self._forget_confirmation()
        if confirmed is None:
            return
        confirmed()
        self._gate.release()
        if self._releasing is None or self._releasing.done():
            self._releasing = asyncio.create_task(self._release(), name="transport_out::release")

    def _forget_confirmation(self) -> Callable[[], None] | None:
        confirmed, self._confirmed = self._confirmed, None
        due, self._turn_end_due = self._turn_end_due, None
        if due is not None:
            due.cancel()
        return confirmed

    async def _release(self) -> None:
        while (frame := self._gate.next_released()) is not None:
            await self._arrived(frame, FrameDirection.DOWNSTREAM)

    async def withdraw(self) -> None:
        """Drop the answer. An `EagerWithdrawnFrame` must be on its way through the pipeline."""
        self._came_ns.clear()
        for frame in self._gate.withdraw():
            await self._arrived(frame, FrameDirection.DOWNSTREAM)
        self._passed.clear()
        self._forget_patience()  # it counts from the last answer that was withdrawn
        self._patience = asyncio.get_running_loop().call_later(WITHDRAWN_S, self._gate.give_up_waiting)

    async def withdrawal_passed(self) -> None:
        """Wait until what was left of an answer that was withdrawn has come, in bounded time."""
        try:
            async with asyncio.timeout(WITHDRAWN_S):
                await self._passed.wait()
        except TimeoutError:
            logger.warning("a stage does not let the end of an answer pass")

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()

    def close(self) -> None:
        """Release nothing any more."""
        self._forget_confirmation()
        self._forget_patience()
        task, self._releasing = self._releasing, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
