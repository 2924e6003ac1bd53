"""The jitter buffer: packets come in as the network delivers them, and leave 20 ms at a time, in order.

It waits just long enough for late packets: the delay follows from how late the recent packets were.
A packet that has not come in time is concealed; one that comes too late, or twice, is dropped. A delay that
is no longer needed is taken out of the speech again, where nobody hears it.

Audio stays `bytes` as long as it is not changed: forty calls are two thousand packets a second, and an
array for each would cost more than everything else here.

It has neither sockets nor timers. Its owner calls `add` when a packet arrives and `take` every 20 ms, both
with `now` in seconds of one clock. It stands on the audio floor because the legs that take calls over RTP
and the simulated network of the tests use the same one.

Source: RFC 3550, appendices A.1 (sequence numbers), A.3 (loss) and A.8 (jitter).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.concealment import Concealer, shorten
from piopiy_pipeline.audio.frame import FRAME_S, frame_samples

__all__ = ["JitterBuffer", "JitterStats", "MediaPacket", "Taken"]

_WINDOW = 500  # packets (10 s) whose lateness is remembered
_COVERED = 0.98  # the share of the packets that the delay is to cover
_MARGIN_S = 0.005
_MAX_DROPOUT, _MAX_MISORDER = 3000, 100  # RFC 3550, A.1
_REMEMBERED = (1 << _MAX_MISORDER) - 1
_RESTART_S = 2.0  # a packet that is so much earlier or later than the others belongs to another stream
_SHORTEN_EVERY_S = 0.1


class MediaPacket(NamedTuple):
    """One decoded packet of a voice."""

    sequence: int
    """Counts packets modulo 2^16, as in RTP."""
    timestamp: int
    """Counts samples modulo 2^32, as in RTP."""
    pcm: bytes
    """PCM16 little-endian mono, of any length up to 120 ms."""


class Taken(NamedTuple):
    """The next 20 ms as PCM16 mono: the caller's voice, in part or wholly concealed, or a pause."""

    pcm: bytes
    kind: Literal["voice", "concealed", "silence"]


@dataclass(frozen=True, slots=True)
class JitterStats:
    """Counters of a jitter buffer since its start. Packets are counted, and times are in seconds."""

    received: int
    """Packets that arrived, late ones and duplicates too."""
    lost: int
    """Packets that have not arrived, by the gaps between their numbers."""
    late: int
    """Packets that arrived when their time was over, and were dropped."""
    duplicate: int
    """Packets that arrived a second time."""
    reordered: int
    """Packets that arrived behind one that was sent later."""
    dropped: int
    """Packets that there was no room for, or that fit no stream."""
    restarts: int
    """How often another stream began in the place of the one before."""
    concealed_s: float
    """How much sound was made up."""
    shortened_s: float
    """How much sound was taken out, to shorten the delay."""
    delay_s: float
    """How much later than with the fastest packet the sound leaves the buffer."""
    target_s: float
    """What that delay is to become."""
    jitter_s: float
    """Interarrival jitter, RFC 3550 A.8."""


class _Queued(NamedTuple):
    timestamp: int  # unwrapped
    sequence: int  # unwrapped
    end: int  # the timestamp after its last sample
    pcm: bytes


class JitterBuffer:
    """The incoming voice of one call.

    Args:
        rate: Sample rate in Hz.
        initial_ms: The delay to begin with.
        min_ms: The shortest delay.
        max_ms: The longest delay. More sound than this never waits: the oldest is dropped.

    Raises:
        ValueError: The three delays are not in order.
    """

    def __init__(
        self, *, rate: int, initial_ms: float = 40.0, min_ms: float = 10.0, max_ms: float = 400.0
    ) -> None:
        if not 0 <= min_ms <= initial_ms <= max_ms:
            raise ValueError(
                f"a jitter buffer of {min_ms:g} to {max_ms:g} ms that begins with {initial_ms:g}: "
                "give 0 <= min_ms <= initial_ms <= max_ms"
            )
        self.rate = rate
        self._min_s, self._initial_s, self._max_s = min_ms / 1000, initial_ms / 1000, max_ms / 1000
        self._frame = frame_samples(rate)
        self._longest = int(0.12 * rate)
        self._concealer = Concealer(rate=rate)
        self._received = self._late = self._duplicate = self._reordered = self._dropped = 0
        self._restarts = self._concealed = self._shortened = 0
        self._expected_before = self._unique = 0  # RFC 3550's expected count, of the streams before this
        self._jitter_s = 0.0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._queue: list[_Queued] = []  # by timestamp
        self._seen = 0  # a bit for each of the latest numbers, the newest one's the lowest
        self._transits: deque[float] = deque()  # in the order of arrival
        self._sorted = array("d")  # the same by size; a list's floats would lie all over the memory
        self._newest: MediaPacket | None = None
        self._newest_sequence = self._newest_timestamp = 0  # of that packet, unwrapped
        self._first_sequence = 0
        self._odd_sequence: int | None = None  # of a packet that may be the first of another stream
        self._last_transit: float | None = None
        self._first_arrival: float | None = None  # while the first packets are waited for
        self._due: int | None = None  # the timestamp of the next sample to be played
        self._last_sequence: int | None = None  # of the packet that was played last
        self._held = 0  # samples made up without `due` going on
        self._ready = b""  # up to `due`, and not taken yet
        self._quick_at = float("-inf")  # when something was last taken out, or was to be

    # ------------------------------------------------------------------ in

    def add(self, packet: MediaPacket, now: float) -> Literal["queued", "late", "duplicate", "dropped"]:
        """Take a packet that has arrived at `now`.

        Returns:
            What became of it.

        Raises:
            ValueError: Its audio ends in the middle of a sample, is empty, or is longer than 120 ms.
        """
        pcm = packet.pcm
        size = len(pcm) // 2
        if len(pcm) % 2 or not 0 < size <= self._longest:
            raise ValueError(f"a packet of {len(pcm)} bytes: 16-bit samples for up to 120 ms, please")
        self._received += 1
        if self._newest is None:
            self._first_sequence = self._newest_sequence = packet.sequence
            self._newest_timestamp = packet.timestamp
            self._newest = packet
        ahead = _signed_16(packet.sequence - self._newest.sequence)
        sequence = self._newest_sequence + ahead
        timestamp = self._newest_timestamp + _signed_32(packet.timestamp - self._newest.timestamp)
        transit = now - timestamp / self.rate
        if not self._belongs(ahead, transit):
            if self._odd_sequence != packet.sequence:
                self._odd_sequence = (packet.sequence + 1) & 0xFFFF
                self._dropped += 1
                return "dropped"
            self._restart()
            self._received -= 1  # it is counted below
            return self.add(packet, now)
        self._odd_sequence = None
        if not self._see(ahead):
            self._duplicate += 1
            return "duplicate"
        self._measure(transit)
        if ahead < 0:
            self._reordered += 1
        else:
            self._newest, self._newest_sequence, self._newest_timestamp = packet, sequence, timestamp
        end = timestamp + size
        if self._due is None:
            if self._first_arrival is None:
                self._first_arrival = now
        elif end <= self._due:
            self._late += 1
            return "late"
        queued = _Queued(timestamp, sequence, end, pcm)
        queue = self._queue
        if not queue or queue[-1][:2] < (timestamp, sequence):  # as nearly all of them
            queue.append(queued)
        else:
            insort(queue, queued, key=lambda one: one[:2])
        if len(queue) > 1:
            self._bound()
        return "queued"

    def _belongs(self, ahead: int, transit: float) -> bool:
        in_order = -_MAX_MISORDER < ahead < _MAX_DROPOUT
        return in_order and (not self._sorted or abs(transit - self._sorted[0]) < _RESTART_S)

    def _restart(self) -> None:
        self._restarts += 1
        self._expected_before += self._newest_sequence - self._first_sequence + 1
        self._concealer.forget()
        self._begin_stream()

    def _see(self, ahead: int) -> bool:
        """Note a packet by its number, counted from the newest one's. Returns False if it was here before."""
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & _REMEMBERED
        else:
            bit = 1 << -ahead
            if self._seen & bit:
                return False
            self._seen |= bit
        self._unique += 1
        return True

    def _measure(self, transit: float) -> None:
        if self._last_transit is not None:
            self._jitter_s += (abs(transit - self._last_transit) - self._jitter_s) / 16
        self._last_transit = transit
        self._transits.append(transit)
        insort(self._sorted, transit)
        if len(self._transits) > _WINDOW:
            del self._sorted[bisect_left(self._sorted, self._transits.popleft())]

    def _bound(self) -> None:
        while (
            self._queue[-1].end - self._queue[0].timestamp > self._max_s * self.rate and len(self._queue) > 1
        ):
            self._queue.pop(0)
            self._dropped += 1
            if self._due is not None:
                self._due = max(self._due, self._queue[0].timestamp)
                self._held = 0

    # ------------------------------------------------------------------ out

    @property
    def supplied(self) -> bool:
        """Whether the next 20 ms have arrived, with nothing missing."""
        due, queue = self._due, self._queue
        if due is None or not queue or queue[0].timestamp > due:
            return False
        return queue[0].end - due + len(self._ready) // 2 >= self._frame

    def take(self, now: float) -> Taken:
        """Take the next 20 ms, which are due at `now`."""
        if self._due is None and not self._begin(now):
            return Taken(_bytes(self._concealer.silence(self._frame)), "silence")
        kind: Literal["voice", "concealed", "silence"] = "voice"
        wanted = 2 * self._frame
        while (size := len(self._ready)) < wanted:
            how = self._pull(now, (wanted - size) // 2)
            if how != "voice":
                kind = how
        if kind == "voice" and now - self._quick_at >= _SHORTEN_EVERY_S:
            self._catch_up(now)
        frame, self._ready = self._ready[:wanted], self._ready[wanted:]
        if (
            self._held > self._max_s * self.rate
        ):  # nothing has come for long: what comes next begins a new stretch
            self._due, self._first_arrival, self._held = None, None, 0
        return Taken(frame, kind)

    def _begin(self, now: float) -> bool:
        """Return whether the first packets have waited long enough to play them."""
        if self._first_arrival is None or not self._queue:
            return False
        wait_s = self._target_s if len(self._transits) >= _WINDOW // 10 else self._initial_s
        if now - self._first_arrival < wait_s - 1e-9:
            return False
        self._due = self._queue[0].timestamp
        self._last_sequence = self._queue[0].sequence - 1
        return True

    def _pull(self, now: float, wanted: int) -> Literal["voice", "concealed", "silence"]:
        """Append the next samples to those that are ready: those of a packet, or others instead."""
        assert self._due is not None
        while self._queue and self._queue[0].end <= self._due:
            self._queue.pop(0)
            self._late += 1
        if not self._queue:
            return self._make_up(wanted, hold=True)
        head = self._queue[0]
        gap = head.timestamp - self._due
        if gap > 0 and gap <= self._held:  # what is missing has been made up for already
            self._due, gap = head.timestamp, 0
        if gap > 0:
            if head.sequence == (self._last_sequence or 0) + 1:  # nothing is missing: nothing was sent
                size = min(wanted, gap)
                self._ready += _bytes(self._concealer.silence(size))
                self._due += size
                return "silence"
            short = self._delay_s(now) < self._target_s
            return self._make_up(wanted if short else min(wanted, gap), hold=short)
        self._queue.pop(0)
        pcm = head.pcm[-2 * gap :] if gap else head.pcm
        if self._concealer.concealing:
            pcm = _bytes(self._concealer.heard(np.frombuffer(pcm, "<i2")))
        else:
            self._concealer.passed(pcm)
        self._ready += pcm
        self._due = head.end
        self._last_sequence = head.sequence
        self._held = 0
        return "voice"

    def _make_up(self, size: int, *, hold: bool) -> Literal["concealed"]:
        """Conceal; with `hold` what is missing may still come, and will be played then."""
        assert self._due is not None
        self._ready += _bytes(self._concealer.conceal(size))
        self._concealed += size
        if hold:
            self._held += size
        else:
            self._due += size
        return "concealed"

    def _catch_up(self, now: float) -> None:
        """Take a little out when the sound is later than it needs to be."""
        if self._delay_s(now) < self._target_s + FRAME_S:
            return
        if len(self._ready) < 4 * self._frame:
            if not self._queue or self._queue[0].timestamp != self._due:
                return
            self._pull(now, self._frame)
        # Also where it cannot be: a hiss will not do in 20 ms either, and to look for a pitch costs time.
        self._quick_at = now
        shorter = shorten(np.frombuffer(self._ready, "<i2"), self.rate)
        if shorter is None or shorter.size < self._frame:
            return
        self._shortened += len(self._ready) // 2 - shorter.size
        self._ready = _bytes(shorter)

    # ------------------------------------------------------------------ how it goes

    def _delay_s(self, now: float) -> float:
        """Return how much later than the fastest packets the next sample is played, if it is played `now`."""
        if self._due is None or not self._sorted:
            return 0.0
        return now + (len(self._ready) // 2 - self._due) / self.rate - self._sorted[0]

    @property
    def _target_s(self) -> float:
        if not self._sorted:
            return self._initial_s
        late = self._sorted[int(_COVERED * (len(self._sorted) - 1))] - self._sorted[0]
        return min(max(late + _MARGIN_S, self._min_s), self._max_s)

    def stats(self, now: float) -> JitterStats:
        """Return the counters as of `now`."""
        expected = self._expected_before
        if self._newest is not None:
            expected += self._newest_sequence - self._first_sequence + 1
        return JitterStats(
            received=self._received,
            lost=max(0, expected - self._unique),
            late=self._late,
            duplicate=self._duplicate,
            reordered=self._reordered,
            dropped=self._dropped,
            restarts=self._restarts,
            concealed_s=self._concealed / self.rate,
            shortened_s=self._shortened / self.rate,
            delay_s=self._delay_s(now),
            target_s=self._target_s,
            jitter_s=self._jitter_s,
        )


def _signed_16(difference: int) -> int:
    """Return the difference of two numbers that wrap at 16 bits, as the shorter way round."""
    return (difference + 0x8000 & 0xFFFF) - 0x8000


def _signed_32(difference: int) -> int:
    """Return the difference of two numbers that wrap at 32 bits, as the shorter way round."""
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def _bytes(pcm: NDArray[np.int16]) -> bytes:
    return pcm.astype("<i2", copy=False).tobytes()
