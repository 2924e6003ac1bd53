"""Finds the keys in the telephone events of one source, each once, whatever its packets look like. No I/O.

By RFC 4733 all packets of a key have the timestamp of its beginning. Phones and gateways are not that exact: some count
the timestamp on within a key, others give several keys the same one, or a random one to every packet; some leave out
the marker or the end, and the network loses and reorders what is left. So the packets are read in the order of their
sequence numbers, and a packet belongs to the key before it when all that it says fits: the code, the end bit, the
duration, and how long ago the packet before was sent. The timestamp decides only once it has proved itself.

Source: RFC 4733, section 2.5.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.gateway.rtp.dtmf import KeyEvent, parse_event

__all__ = ["HOLD_S", "KeyReceiver"]

HOLD_S = 0.1
"""How long a key waits for packets that are missing before it: one of them may hold an earlier key."""
MOST_WAITING = 16
"""Packets that wait for a missing one, at most."""
_SAME_S = 0.09
"""Two packets of one key are at most this much further apart than their durations say, and those of two keys are more:
a key and the pause after it nearly always last for longer than 120 ms. An end is repeated up to four times."""
_PLAUSIBLE_S = 0.5  # timestamps that are further apart tell nothing of the time between two packets of a key
_PAUSED_S = 0.15  # a packet that comes so much later than its number says was sent after a pause
_LONGEST = 0xFFFF
_TIMESTAMPS = 1 << 32


class _EventPacket(NamedTuple):
    sequence: int
    timestamp: int
    event: KeyEvent | None  # None: it is sound, or an event that is no key
    arrived: float


class KeyReceiver:
    """The keys of one source.

    Args:
        clock: The rate in which durations are counted, in Hz.
    """

    def __init__(self, *, clock: int = 8000) -> None:
        self.clock = clock
        self.sound_clock = 8000
        """The rate of the timestamps of sound in Hz."""
        self.forget()

    def forget(self) -> None:
        """Forget the numbers seen so far, because another source sends from now on."""
        self._next: int | None = None  # the sequence number that is read next
        self._waiting: dict[int, _EventPacket] = {}
        self._last: _EventPacket | None = None  # the last packet of the last key
        self._sound = self._sound_before = (
            0,
            0,
        )  # number and timestamp of the last sound, now and before that packet
        self._tells_apart: bool | None = None  # whether different keys have different timestamps
        self._within: Literal["same", "rising", "random"] | None = None  # the timestamps of a key's packets
        self._packet_s = (
            FRAME_S  # a packet of the stream while a key is sent: less with sound between its packets
        )

    @property
    def waiting(self) -> bool:
        """Whether packets wait for a missing one."""
        return bool(self._waiting)

    def receive(self, sequence: int, timestamp: int, payload: bytes | None, arrived: float) -> str:
        """Take a packet of the stream.

        Args:
            sequence: Its number, extended so that it never wraps.
            timestamp: Its timestamp as it came, modulo 2^32.
            payload: The telephone event; None for a packet of sound.
            arrived: The time of its arrival in seconds.

        Returns:
            The keys that begin, each one of `KEYS`; "" nearly always.
        """
        if self._next is None:
            self._next = sequence
        if sequence < self._next or sequence in self._waiting:
            return ""  # it came twice, or much too late
        if payload is None and sequence == self._next and not self._waiting:  # as nearly all of them
            self._next += 1
            self._sound = (sequence, timestamp)
            return ""
        event = parse_event(payload) if payload is not None else None
        self._waiting[sequence] = _EventPacket(sequence, timestamp, event, arrived)
        keys = self._in_order()
        while len(self._waiting) > MOST_WAITING:
            keys += self._skip()
        return keys

    def release(self, now: float) -> str:
        """Wait no longer for packets that are missing for too long at `now`. Returns the keys after them."""
        keys = ""
        while self._waiting and now - min(self._waiting.values(), key=_arrival).arrived >= HOLD_S:
            keys += self._skip()
        return keys

    def _skip(self) -> str:
        self._next = min(self._waiting)
        return self._in_order()

    def _in_order(self) -> str:
        keys = ""
        assert self._next is not None
        while (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            if packet.event is None:
                self._sound = (packet.sequence, packet.timestamp)
                continue
            if self._last is None or not self._goes_on(self._last, packet):
                keys += packet.event.key
            self._last, self._sound_before = packet, self._sound
        return keys

    def _goes_on(self, last: _EventPacket, packet: _EventPacket) -> bool:
        """Return whether a packet belongs to the same key as the one before it."""
        before, event = last.event, packet.event
        assert before is not None
        assert event is not None
        step = (packet.timestamp - last.timestamp) % _TIMESTAMPS
        grown, adjacent = event.duration - before.duration, packet.sequence == last.sequence + 1
        if event.key != before.key or (before.end and not event.end):
            self._tells_apart = step != 0
            return False
        if grown < 0:
            # A key that is held for longer than the field can hold goes on in another segment (2.5.1.3).
            full = before.duration + 0.1 * self.clock > _LONGEST
            segment = full or step == before.duration > self.clock
            if not before.end and (segment or (event.end and adjacent)):
                return True
            self._tells_apart = step != 0
            return False
        stamped_s = step / max(self.clock, self.sound_clock)
        elapsed_s = self._elapsed_s(last, packet)
        if stamped_s < _PLAUSIBLE_S and self._within != "random":
            elapsed_s = max(elapsed_s, stamped_s)
        fits = elapsed_s - grown / self.clock <= _SAME_S
        beside = packet.sequence == last.sequence + 2 and self._sound[0] == last.sequence + 1
        if (adjacent or beside) and fits and grown > 0:
            self._within = "same" if step == 0 else "rising" if stamped_s < _PLAUSIBLE_S else "random"
            self._packet_s = FRAME_S / (2 if beside else 1)
            return True
        if step == 0:
            return fits or self._tells_apart is True
        return fits and self._within != "same"

    def _elapsed_s(self, last: _EventPacket, packet: _EventPacket) -> float:
        """Return how long after `last` a packet was sent: by the numbers, because there is no jitter in them.

        Some send sound and events side by side, twice as many packets as usual: then the time of the sound counts.
        """
        by_number = (packet.sequence - last.sequence) * self._packet_s
        by_arrival = packet.arrived - last.arrived
        if by_arrival > by_number + _PAUSED_S:
            return by_arrival
        (before, began), (sound, ended) = self._sound_before, self._sound
        if sound < last.sequence or not before:
            return by_number
        more = (packet.sequence - sound) - (last.sequence - before)
        return min(by_number, (ended - began) % _TIMESTAMPS / self.sound_clock + more * self._packet_s)


def _arrival(packet: _EventPacket) -> float:
    return packet.arrived
