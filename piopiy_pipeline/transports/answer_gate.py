"""Keeps back an answer that was begun before the caller's turn was over. Without I/O.

It stands where speech goes to the caller, so the voice makes the first sentence meanwhile. What has passed it can
be heard; what has not is known to no stage behind it, nor to the record of the call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import Enum, auto

from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StopFrame,
    SystemFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)

from piopiy_pipeline.transports.frames import EagerWithdrawnFrame

__all__ = ["AnswerGate"]

_OF_ANSWERS = (
    LLMFullResponseStartFrame,
    LLMTextFrame,
    LLMFullResponseEndFrame,
    TTSStartedFrame,
    OutputAudioRawFrame,
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    TTSStoppedFrame,
)


class _Gate(Enum):
    OPEN = auto()
    HOLDING = auto()
    CUT = auto()
    """An interruption has cut off what was held. What still comes of it is dropped until it is withdrawn."""
    RELEASING = auto()
    """What was held is on its way; what comes now waits behind it."""


class AnswerGate:
    """Holds the frames of one answer, in order."""

    def __init__(self) -> None:
        self._state = _Gate.OPEN
        self._held: deque[Frame] = deque()
        self._earlier: Collection[int] = ()
        self._withdrawals = (
            0  # so many `EagerWithdrawnFrame`s are on their way, and before them the rest of answers
        )

    @property
    def holds(self) -> bool:
        """Whether an answer is kept back."""
        return self._state is _Gate.HOLDING

    @property
    def idle(self) -> bool:
        """Whether everything passes, and nothing of an answer that was withdrawn may still come."""
        return self._state is _Gate.OPEN and not self._withdrawals

    @property
    def is_cut(self) -> bool:
        """Whether an interruption has cut off the answer that was kept back, and nobody has withdrawn it."""
        return self._state is _Gate.CUT

    @property
    def withdrawn(self) -> bool:
        """Whether the rest of an answer that was withdrawn may still come."""
        return self._withdrawals > 0

    def hold(self, earlier: Collection[int] = ()) -> None:
        """Keep back what comes from now on.

        Args:
            earlier: The ids of interruptions that may be on their way here, before the answer. They cut off what
                was said before, and not the answer.
        """
        self._state = _Gate.HOLDING
        self._earlier = earlier

    def release(self) -> None:
        """Let everything pass, in order: take it with `next_released`."""
        if self._state is _Gate.HOLDING:
            self._state = _Gate.RELEASING
        elif self._state is _Gate.CUT:
            self._state = _Gate.OPEN

    def next_released(self) -> Frame | None:
        """Return the next frame that was held; None if no more is, and the gate is open."""
        if self._state is not _Gate.RELEASING:
            return None
        if self._held:
            return self._held.popleft()
        self._state = _Gate.OPEN
        return None

    def withdraw(self) -> list[Frame]:
        """Drop what is held, and what comes of the answer until an `EagerWithdrawnFrame`.

        Returns:
            What was held and is no part of the answer, to be handled now.
        """
        if self._state not in (_Gate.HOLDING, _Gate.CUT):
            return []
        self._withdrawals += 1
        return self._open()

    def give_up_waiting(self) -> None:
        """Wait for no `EagerWithdrawnFrame` any more: a stage has swallowed it."""
        self._withdrawals = 0

    def take(self, frame: Frame) -> list[Frame]:
        """Take a frame that arrives, and return those that are to be handled now."""
        if isinstance(frame, EagerWithdrawnFrame):
            self._withdrawals = max(0, self._withdrawals - 1)
            return []
        if isinstance(frame, InterruptionFrame):
            self._withdrawals = 0
            kept = [one for one in self._held if not one.interruptible]
            self._held.clear()
            if self._state is _Gate.RELEASING:
                self._state = _Gate.OPEN
            elif self._state is _Gate.HOLDING and frame.id not in self._earlier:
                self._state = _Gate.CUT
            return [frame, *kept]
        if isinstance(frame, EndFrame | StopFrame):
            if self._state is not _Gate.RELEASING:
                return [*self._open(), frame]
        elif isinstance(frame, SystemFrame):
            return [frame]
        elif (self._withdrawals or self._state is _Gate.CUT) and _is_droppable(frame):
            return []
        if self._state in (_Gate.OPEN, _Gate.CUT):
            return [frame]
        self._held.append(frame)
        return []

    def _open(self) -> list[Frame]:
        releasing, self._state = self._state is _Gate.RELEASING, _Gate.OPEN
        kept = [frame for frame in self._held if releasing or not _is_droppable(frame)]
        self._held.clear()
        return kept


def _is_droppable(frame: Frame) -> bool:
    return isinstance(frame, _OF_ANSWERS) and frame.interruptible
