"""How one source is received: which packets are its own, how many are missing, how unevenly they come.

Source: RFC 3550, appendices A.1 (sequence numbers), A.3 (loss) and A.8 (jitter).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reception", "StreamPosition"]

MAX_DROPOUT, MAX_MISORDER = 3000, 100
MIN_SEQUENTIAL = 2
_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32


class StreamPosition(NamedTuple):
    """Where a packet belongs in its source's stream: both numbers grow without wrapping."""

    sequence: int
    timestamp: int


class Reception:
    """The packets of one synchronization source `ssrc`, whose timestamps run at `clock` Hz.

    A source that is not `trusted` has to send two packets in order before the first counts.
    """

    def __init__(self, ssrc: int, *, clock: int, trusted: bool) -> None:
        self.ssrc = ssrc
        self.received = 0
        """Packets that counted, duplicates too."""
        self.jitter_s = 0.0
        """Interarrival jitter, A.8."""
        self._clock = clock
        self._probation = 0 if trusted else MIN_SEQUENTIAL - 1
        self._base = self._highest = -1  # extended: with the number of times that it wrapped
        self._timestamp = 0  # of the packet with the highest number, extended likewise
        self._transit: float | None = None
        self._expected_told = self._received_told = 0

    @property
    def expected(self) -> int:
        """Packets that were sent, by their numbers."""
        return self._highest - self._base + 1 if self.received else 0

    @property
    def lost(self) -> int:
        """Packets that are missing; negative where more came twice than are missing, as in A.3."""
        return self.expected - self.received

    @property
    def highest(self) -> int:
        """The extended highest sequence number received, of 32 bits."""
        return self._highest & 0xFFFFFFFF

    def add(
        self, sequence: int, timestamp: int, arrived: float, *, sound: bool = True
    ) -> StreamPosition | None:
        """A packet that arrived at `arrived` seconds. Only one of `sound` tells of jitter: a key's packets
        all have the time of its beginning.

        None for one that does not count: of a source on probation, or with a number that is far off.
        """
        if not self.received and not self._admit(sequence, timestamp):
            return None
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead >= MAX_DROPOUT:
            if ahead <= _SEQUENCES - MAX_MISORDER:
                return None
            ahead -= _SEQUENCES
        step = (timestamp - self._timestamp) & 0xFFFFFFFF
        if step >= _TIMESTAMPS >> 1:
            step -= _TIMESTAMPS
        position = StreamPosition(self._highest + ahead, self._timestamp + step)
        if ahead > 0:
            self._highest, self._timestamp = position
        self.received += 1
        if not sound:
            return position
        transit = arrived - position.timestamp / self._clock
        if self._transit is not None:
            self.jitter_s += (abs(transit - self._transit) - self.jitter_s) / 16
        self._transit = transit
        return position

    def fraction_lost(self) -> float:
        """Of the packets expected since the last call of this, how many are missing: 0.0 to 1.0."""
        expected, received = self.expected - self._expected_told, self.received - self._received_told
        self._expected_told, self._received_told = self.expected, self.received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0

    def _admit(self, sequence: int, timestamp: int) -> bool:
        """The first packets: whether this one is the first that counts."""
        if self._probation:
            in_order = sequence == (self._highest + 1) & 0xFFFF and self._highest >= 0
            self._probation = self._probation - 1 if in_order else MIN_SEQUENTIAL - 1
            if self._probation or not in_order:
                self._highest = sequence
                return False
        # One cycle up, so that a packet from before the first has a number too.
        self._base = self._highest = sequence + _SEQUENCES
        self._timestamp = timestamp + _TIMESTAMPS
        return True
