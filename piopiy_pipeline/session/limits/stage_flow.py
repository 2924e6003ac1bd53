"""`StageFlow`: how many frames one stage pushes of its own, and whether that is too many. Without I/O.

A stage that passes on what it gets is no flood, however much that is: each frame that a stage is given counts
in its favour. So of a chain of stages the one that makes the frames is found, and no other.
"""

from __future__ import annotations

from piopiy_pipeline.session.limits.stream_limits import StreamLimits

__all__ = ["LoopShare", "StageFlow"]

LONGEST_WAIT_S = 0.25
"""A stage that pushes too much waits no longer than this for each frame, in seconds."""
HOPELESS_S = 60
"""A stage that is so many seconds ahead of its rate has failed at once: no wait can make up for it."""
MAX_GIVEN = 1000
"""So many frames that a stage was given are remembered: those that it keeps are forgotten."""
SHARE = 16
"""After so many frames of one call, the other calls have their turn. No clock decides that they have had it already: on
a busy machine time passes in which nobody of the process had one.
"""


class StageFlow:
    """Follows what one stage pushes. `now` is in seconds of one clock.

    Args:
        limits: The limits of the call.
        now: When it begins.
    """

    __slots__ = ("_at", "_burst", "_given", "_rate", "_since", "flood_s", "level", "paced")

    def __init__(self, limits: StreamLimits, now: float) -> None:
        self._rate = limits.frames_a_second
        self._burst = float(limits.burst_frames)
        self._at = now
        self._since: float | None = None
        self._given: set[int] = set()
        self.flood_s = limits.flood_s
        """For how many seconds the stage may push too much."""
        self.level = self._burst
        """So many frames the stage may push at once."""
        self.paced = False
        """Whether the stage has bounds of its own (a voice, a model), so that it is slowed down and no flood."""

    def given(self, frame_id: int, cost: int) -> None:
        """Note that the stage was given a frame, which it may pass on."""
        if self.level < 0:  # so that what it passes on does not wait with what it makes
            if len(self._given) >= MAX_GIVEN:
                self._given.clear()
            self._given.add(frame_id)
        elif self.level < self._burst:
            self.level += cost

    def passes_on(self, frame_id: int) -> bool:
        """Return whether the stage, which pushes too much, was given this frame. Ask when `level` is below 0."""
        known = frame_id in self._given
        self._given.discard(frame_id)
        return known

    def wait_s(self, now: float) -> float:
        """Return for how many seconds the stage is to wait before it pushes more. Ask when `level` is below 0."""
        self.level = min(self._burst, self.level + (now - self._at) * self._rate)
        self._at = now
        if self.level >= self._burst / 2:
            self._since = None
        if self.level >= 0:
            return 0.0
        if self._since is None:
            self._since = now
        return min(LONGEST_WAIT_S, -self.level / self._rate)

    def floods(self, now: float) -> bool:
        """Return whether the stage has pushed too much for too long. Ask behind `wait_s`."""
        if self.paced or self.level >= 0:
            return False
        too_long = self._since is not None and now - self._since >= self.flood_s
        return too_long or self.level < -HOPELESS_S * self._rate

    def begin_anew(self, now: float) -> None:
        """Forget the past: what the stage does was cut off."""
        self._since = now
        self.level = 0.0


class LoopShare:
    """Counts the frames of a call until the other calls of the process are to have their turn."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = SHARE
        """Frames that this call may still push before `spent` is to be asked."""

    def spent(self) -> bool:
        """Return whether the share is used up, and begin the next one if it is."""
        if self.left > 0:
            return False
        self.left = SHARE
        return True
