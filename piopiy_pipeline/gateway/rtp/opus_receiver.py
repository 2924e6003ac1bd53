"""Opus packets to sound in order: a lost packet is rebuilt from the one after it, or concealed by libopus. No I/O.

An Opus decoder has a state, so packets are decoded in the order in which they were sent. Behind a missing one
the next ones wait until the jitter buffer has nothing left to play (`release`). Then the last missing packet is
rebuilt from the copy that the packet after it may carry (in-band FEC), and those before it are concealed. When no
packet waits at that time, nobody knows whether one is missing: then the jitter buffer conceals by itself.

Source: RFC 6716, sections 2.1.7 (FEC) and 4.4 (concealment); RFC 7587, section 4.2 (timestamps of lost packets).
"""

from __future__ import annotations

from typing import NamedTuple

from piopiy_pipeline.gateway.rtp.codecs import CodecError, OpusCodec
from piopiy_pipeline.gateway.rtp.reception import StreamPosition

__all__ = ["DecodedPacket", "OpusReceiver"]

MOST_WAITING = 16
"""Packets that may wait for a missing one: 320 ms of them, which is less than the jitter buffer holds."""
MOST_CONCEALED = 5
"""Packets in a row that are concealed, 100 ms as a rule: what is missing beyond that is left to the jitter buffer."""
_WRONG = 2  # a pause is one wrong timestamp; of a wrong clock all are
_LONGEST_MS = 60  # of a packet with a copy of the one before it


class DecodedPacket(NamedTuple):
    """The sound of one packet. `pcm` is empty when the packet held no Opus."""

    position: StreamPosition
    pcm: bytes
    arrived: float
    """When it arrived, or would have, in seconds."""


class _Waiting(NamedTuple):
    timestamp: int
    payload: bytes | None  # None: a packet of the stream without sound, as those of keys
    arrived: float


class OpusReceiver:
    """The Opus packets of one stream, decoded with `codec`."""

    def __init__(self, codec: OpusCodec) -> None:
        self.codec = codec
        self.late = 0
        """Packets that arrived when their place was filled already, or twice."""
        self.rebuilt = 0
        """Lost packets whose audio was taken from the packet after them, or concealed."""
        self._ratio = codec.clock // codec.rate
        self._sequence: int | None = None  # of the packet that is to be decoded next
        self._timestamp: int | None = None  # of that packet; None: unknown
        self._last = 0  # the timestamp of the packet before it
        self._samples = 0  # the length of that packet
        self._wrong = 0  # how many timestamps in a row did not agree with the sound before them
        self._waiting: dict[int, _Waiting] = {}

    @property
    def waiting(self) -> bool:
        """Whether packets wait for a missing one."""
        return bool(self._waiting)

    def add(self, position: StreamPosition, payload: bytes | None, arrived: float) -> list[DecodedPacket]:
        """Take a packet that has arrived.

        Args:
            position: The place of the packet in the stream; the timestamp counts at 48 kHz.
            payload: The Opus packet; None for a packet of the same stream without sound.
            arrived: The time of arrival in seconds.

        Returns:
            The sound that is ready, in order.
        """
        if self._sequence is None:
            self._sequence = position.sequence
        if position.sequence < self._sequence or position.sequence in self._waiting:
            self.late += 1
            return []
        self._waiting[position.sequence] = _Waiting(position.timestamp, payload, arrived)
        ready = self._decode_in_order()
        while len(self._waiting) > MOST_WAITING:
            ready += self.release()
        return ready

    def release(self) -> list[DecodedPacket]:
        """Wait no longer for the packets that are missing now. Returns their audio, and that of those after them."""
        if not self._waiting or self._sequence is None:
            return []
        behind = min(self._waiting)
        ready = self._rebuild(self._sequence, behind)
        self._sequence, self._timestamp = behind, None
        return ready + self._decode_in_order()

    def _decode_in_order(self) -> list[DecodedPacket]:
        ready: list[DecodedPacket] = []
        assert self._sequence is not None
        while (packet := self._waiting.pop(self._sequence, None)) is not None:
            position = StreamPosition(self._sequence, packet.timestamp)
            self._sequence += 1
            expected, self._timestamp = self._timestamp, None
            if packet.payload is None:
                continue
            if expected is not None:
                self._wrong = 0 if packet.timestamp == expected else self._wrong + 1
            try:
                pcm = self.codec.decode(packet.payload)
                self._last, self._samples = packet.timestamp, len(pcm) // 2
                self._timestamp = packet.timestamp + self._samples * self._ratio
            except CodecError:
                pcm = b""
            ready.append(DecodedPacket(position, pcm, packet.arrived))
        return ready

    def _rebuild(self, first: int, behind: int) -> list[DecodedPacket]:
        """Return the sound of the missing packets from `first` up to the one before `behind`."""
        packet, count = self._waiting[behind], behind - first
        if self._timestamp is None or packet.payload is None:
            return []
        samples, rest = divmod((packet.timestamp - self._timestamp) // self._ratio, count)
        if self._wrong >= _WRONG:
            samples, rest = self._samples, 0  # the timestamps are counted on another clock
        step = self.codec.rate // 400  # libopus works in units of 2.5 ms
        if rest or samples % step or not 0 < samples <= self.codec.rate * _LONGEST_MS // 1000:
            return []  # there was a pause, too
        ready: list[DecodedPacket] = []
        try:
            for n in range(min(count - 1, MOST_CONCEALED)):
                position = self._between(first + n, behind)
                # As if it had come like the packet behind: its lateness is no measure of the network's jitter.
                on_time = packet.arrived - (count - n) * samples / self.codec.rate
                ready.append(DecodedPacket(position, self.codec.conceal(samples), on_time))
            # A copy comes one packet late, and the jitter buffer has to learn that.
            position = self._between(behind - 1, behind)
            ready.append(DecodedPacket(position, self.codec.recover(packet.payload, samples), packet.arrived))
        except CodecError:  # it began like Opus, and is none
            pass
        self.rebuilt += len(ready)
        return ready

    def _between(self, sequence: int, behind: int) -> StreamPosition:
        """The place of a missing packet, between the last one and the one behind the missing ones."""
        before = self._sequence - 1 if self._sequence is not None else behind - 1
        stamp = self._waiting[behind].timestamp
        return StreamPosition(
            sequence, self._last + (stamp - self._last) * (sequence - before) // (behind - before)
        )
