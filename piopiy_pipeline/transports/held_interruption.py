"""An interruption that waits for the playout's answer, and the frames that came after it. Without I/O.

The interruption goes down the pipeline when it is known what the caller has heard. What comes from the
stages before meanwhile belongs to the next answer, and waits behind it: as long as the playout may take to answer.
"""

from __future__ import annotations

from collections import deque

from pipecat.frames.frames import Frame, InterruptionFrame

from piopiy_pipeline.transports.ledger import Cut

__all__ = ["HeldInterruption"]


class HeldInterruption:
    """Holds an interruption until the playout has answered, and the frames that came after it."""

    def __init__(self) -> None:
        self.frame: InterruptionFrame | None = None
        """The interruption that waits."""
        self.cut: Cut[Frame] | None = None
        """What it has cut off, once the playout has answered."""
        self.estimate = 0
        """The position heard when it came, in samples: what counts if the clock does not answer."""
        self._behind: deque[Frame] = deque()

    @property
    def holds(self) -> bool:
        """Whether a frame that comes now must wait."""
        return self.frame is not None or bool(self._behind)

    @property
    def unanswered(self) -> bool:
        """Whether the playout's answer is still to come."""
        return self.frame is not None and self.cut is None

    def begin(self, frame: InterruptionFrame, estimate: int) -> None:
        """Hold this interruption; `estimate` is the position heard by now, in samples."""
        self.frame, self.estimate = frame, estimate

    def wait_behind(self, frame: Frame) -> None:
        """Keep a frame until the interruption has gone down the pipeline."""
        self._behind.append(frame)

    def answered(self, cut: Cut[Frame]) -> None:
        """Take the outcome, because the playout has answered."""
        self.cut = cut

    def end(self) -> None:
        """Forget the interruption, because it has gone down the pipeline."""
        self.frame = self.cut = None

    def next_behind(self) -> Frame | None:
        """Return the next frame that has waited; None if there is none, or if another interruption is held by
        now.
        """
        return self._behind.popleft() if self._behind and self.frame is None else None
