"""The reception of one source: which packets are its own, how many are missing, and their jitter. No I/O.

Source: RFC 3550, appendices A.1 (sequence numbers), A.3 (loss) and A.8 (jitter).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Reception", "StreamPosition"]

MAX_DROPOUT, MAX_MISORDER = 3000, 100
MIN_SEQUENTIAL = 2
_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32


class StreamPosition(NamedTuple):
    """The place of a packet in its stream: the sequence number and the timestamp, extended so that they never wrap."""

    sequence: int
    timestamp: int


class Reception:
    """The packets of one synchronization source.

    Args:
        ssrc: The number of the source.
        clock: The rate of the timestamps in Hz.
        trusted: Whether its first packet counts at once; otherwise it has to send two packets in order before.
    """

    def __init__(self, ssrc: int, *, clock: int, trusted: bool) -> None:
        self.ssrc = ssrc
        self.received = 0
        """How many packets counted, duplicates too."""
        self.jitter_s = 0.0
        """The interarrival jitter in seconds (A.8)."""
        self._clock = clock
        self._probation = 0 if trusted else MIN_SEQUENTIAL - 1
        self._base = self._highest = -1  # extended: with the number of times that it wrapped
        self._timestamp = 0  # of the packet with the highest number, extended likewise
        self._transit: float | None = None
        self._expected_before = self._received_before = 0

    @property
    def expected(self) -> int:
        """How many packets were sent, by their sequence numbers."""
        return self._highest - self._base + 1 if self.received else 0

    @property
    def lost(self) -> int:
        """How many packets are missing (A.3); negative when there were more duplicates than losses."""
        return self.expected - self.received

    @property
    def highest(self) -> int:
        """The extended highest sequence number received, modulo 2^32."""
        return self._highest & 0xFFFFFFFF

    def add(
        self, sequence: int, timestamp: int, arrived: float, *, sound: bool = True
    ) -> StreamPosition | None:
        """Count a packet.

        Args:
            sequence: The sequence number of the packet (16 bits).
            timestamp: The timestamp of the packet (32 bits).
            arrived: The time of its arrival in seconds.
            sound: Whether it tells of jitter; all packets of a key have the timestamp of the key's beginning.

        Returns:
            Its place in the stream; None when it does not count, because the source is on probation or the sequence
            number is far off.
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
            self._highest = position.sequence
            if sound:  # keys may count on another clock
                self._timestamp = position.timestamp
        self.received += 1
        if not sound:
            return position
        transit = arrived - position.timestamp / self._clock
        if self._transit is not None:
            self.jitter_s += (abs(transit - self._transit) - self.jitter_s) / 16
        self._transit = transit
        return position

    def count_at(self, clock: int) -> None:
        """Take the rate of the timestamps from now on, in Hz. They need not be related to those before."""
        self._clock = clock
        self._transit = None

    def fraction_lost(self) -> float:
        """Return the fraction (0.0 to 1.0) of packets that are missing since this was called last."""
        expected, received = self.expected - self._expected_before, self.received - self._received_before
        self._expected_before, self._received_before = self.expected, self.received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0

    def _admit(self, sequence: int, timestamp: int) -> bool:
        """Return whether this packet is the first one that counts."""
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
