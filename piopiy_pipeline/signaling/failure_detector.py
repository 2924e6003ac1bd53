"""Decides when a peer that sends heartbeats has gone silent. No I/O: every `now` is in seconds of one clock.

How long a silence must be depends on how regular the heartbeats were: a peer on a machine whose cores are busy is
late now and then, and that must not cost its calls. The limit is a multiple of the longest gap of late, between a
floor and a cap. An adaptive limit of this kind is the idea of the accrual failure detectors (Hayashibara et al.,
"The phi accrual failure detector", 2004). The longest gap takes the place of a normal distribution, because the gaps
of a busy machine have a heavy tail, which mean and deviation hide: `tests/signaling/test_failure_detector.py`
compares both.
"""

from __future__ import annotations

from piopiy_pipeline.signaling.liveness import HEARTBEAT_S

__all__ = ["FailureDetector"]


class FailureDetector:
    """Watches the heartbeats of one peer.

    Args:
        now: The time of its first heartbeat.
        floor_s: No silence shorter than this counts, in seconds.
        cap_s: A silence of this length counts, however irregular the heartbeats were.
    """

    FACTOR = 2.0
    """A silence must be so many times as long as the longest gap of late."""
    HALF_LIFE_S = 120.0
    """In so many seconds, a gap that was long counts half as much."""
    LATE_S = 0.02
    """If this side asks so many seconds too late, it was busy itself, and heartbeats may wait to be read."""
    READ_S = 0.1
    """In so many seconds it has read them."""
    GRACES = 3
    """How often in a row being late puts a verdict off: a side that is always late would never get one."""

    def __init__(self, now: float, *, floor_s: float = 1.0, cap_s: float = 2.0) -> None:
        self.silent = False
        """Whether the peer has gone silent. Its next sign of life ends that."""
        self._floor_s = floor_s
        self._cap_s = cap_s
        self._heartbeat_at = now
        self._longest_s = HEARTBEAT_S
        self._heard_at = now
        self._graces = 0
        self._put_off_s = 0.0

    @property
    def limit_s(self) -> float:
        """How long a silence must be now, in seconds."""
        return min(max(self.FACTOR * self._longest_s, self._floor_s), self._cap_s)

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called, if nothing comes before; None while the peer is silent."""
        return None if self.silent else self._heard_at + self.limit_s + self._put_off_s

    def heartbeat(self, now: float) -> None:
        """Take a heartbeat."""
        gap = now - self._heartbeat_at
        self._heartbeat_at = now
        faded = self._longest_s * 0.5 ** (gap / self.HALF_LIFE_S)
        self._longest_s = max(HEARTBEAT_S, faded, min(gap, self._cap_s / self.FACTOR))
        self.sign_of_life(now)

    def sign_of_life(self, now: float) -> None:
        """Take any message: whoever can send one is alive."""
        self._heard_at = now
        self.silent = False
        self._graces = 0
        self._put_off_s = 0.0

    def tick(self, now: float) -> bool:
        """Return whether the peer is silent from now on. True is returned once for each silence."""
        wake_at = self.wake_at
        if wake_at is None or now < wake_at:
            return False
        late_s = now - wake_at
        if late_s > self.LATE_S and self._graces < self.GRACES:
            self._graces += 1
            self._put_off_s += late_s + self.READ_S
            return False
        self.silent = True
        return True
