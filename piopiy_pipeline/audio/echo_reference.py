"""What the bot played, next to what is heard of the caller: the reference by which an echo is known. No I/O.

A canceller needs both sounds sample by sample, and the delay between a sound and its echo must not jump. The
caller's audio comes as the network delivers it, in bursts, while the bot's leaves by a clock. So neither is placed
by its time of arrival: both are counted in samples, and the distance between the two counts is kept until it is
plainly wrong.
"""

from __future__ import annotations

__all__ = ["EchoReference"]

LAG_MS = 20
"""What was played so long ago is compared with what is heard now. No telephone's echo comes back sooner."""
MOST_LAG_MS = 1200
"""The longest lag that can be asked for."""
SLACK_MS = 100
"""The reference may wait so much longer than `LAG_MS` before it is caught up: a network's jitter is no reason."""
WINDOW_S = 2.0
"""Over so much of the caller's audio the shortest wait of the reference is what counts."""
HOLE_S = 0.3
"""A caller's line without audio for so long (a phone that sends no silence) does not make the reference wait longer."""
MOST_S = 2.0
"""More than this never waits."""


class EchoReference:
    """PCM16 little-endian mono that was played to a caller, to be taken in step with the caller's own.

    Every `now` is in seconds, of one clock that does not go backwards.

    Args:
        rate: The sample rate of both sides in Hz.
    """

    realigned: int
    """How often the distance between both sides was changed."""
    lag_ms: int
    """What was played so long ago is compared with what is heard now."""

    def __init__(self, rate: int) -> None:
        self.realigned = 0
        self.lag_ms = LAG_MS
        self._rate = rate
        self._waiting = bytearray()
        self._began: float | None = None
        self._written = 0  # samples since then
        self._depth: int | None = None  # bytes that waited after the last take; None before the first
        self._since_take = 0
        self._shortest = 0
        self._taken = 0  # bytes in this window

    def played(self, pcm: bytes) -> None:
        """Take audio that leaves for the caller now."""
        self._written += len(pcm) // 2
        self._add(pcm)

    def played_until(self, now: float) -> None:
        """Note that nothing else was played until `now`: what is missing was silence."""
        if self._began is None:
            self._began = now - self._written / self._rate
        missing = int((now - self._began) * self._rate) - self._written
        if missing > MOST_S * self._rate:  # the clock of the frames has stood
            self._began, self._written = now - MOST_S, 0
            missing = int(MOST_S * self._rate)
        if missing > self._rate // 100:  # frames leave a little earlier or later than the clock counts them
            self._written += missing
            self._add(bytes(2 * missing))

    def take(self, size: int) -> bytes:
        """Return the `size` bytes that belong to the caller's next `size` bytes."""
        if self._depth is None:
            self._set_depth(self._bytes(self.lag_ms) + size)
        pcm = bytes(self._waiting[:size])
        del self._waiting[:size]
        if len(pcm) < size:  # the caller's audio comes earlier than it used to
            pcm = pcm.ljust(size, b"\0")
            self.realigned += 1
        self._since_take = 0
        self._depth = len(self._waiting)
        self._catch_up(size)
        return pcm

    def set_lag(self, lag_ms: int) -> None:
        """Compare with what was played `lag_ms` ago, `LAG_MS` to `MOST_LAG_MS`, from the next `take` on."""
        lag_ms = min(max(lag_ms, LAG_MS), MOST_LAG_MS)
        more = self._bytes(lag_ms) - self._bytes(self.lag_ms)
        if more > 0:
            self._waiting[:0] = bytes(more)
        else:
            del self._waiting[:-more]
        self.lag_ms = lag_ms
        self._taken = 0
        if self._depth is not None:
            self._depth = len(self._waiting)

    def _add(self, pcm: bytes) -> None:
        self._waiting += pcm
        self._since_take += len(pcm)
        most = int(2 * MOST_S * self._rate)
        if self._depth is None:
            del self._waiting[:-most]
        elif self._since_take > 2 * HOLE_S * self._rate:
            del self._waiting[: max(0, len(self._waiting) - min(self._depth, most))]

    def _catch_up(self, size: int) -> None:
        """Drop what has waited all through a window: the two clocks differ, or audio of the caller was lost."""
        self._shortest = min(self._shortest, len(self._waiting)) if self._taken else len(self._waiting)
        self._taken += size
        if self._taken < 2 * WINDOW_S * self._rate:
            return
        self._taken = 0
        if self._shortest > self._bytes(self.lag_ms + SLACK_MS):
            del self._waiting[: self._shortest - self._bytes(self.lag_ms)]
            self._depth = len(self._waiting)
            self.realigned += 1

    def _set_depth(self, size: int) -> None:
        if len(self._waiting) > size:
            del self._waiting[:-size]
        else:
            self._waiting[:0] = bytes(size - len(self._waiting))

    def _bytes(self, ms: int) -> int:
        return 2 * (self._rate * ms // 1000)
