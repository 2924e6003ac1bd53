"""The caller's voice: Opus packets as they arrive, PCM in order and without holes. No I/O.

Nothing is held back that is in order: what hears it (a VAD, a recogniser) wants it soon, and does not
mind if it comes unevenly, so there is no playout clock here. Behind a missing packet the next ones
wait a little, in case it comes yet; then its sound is taken from the spare copy in the packet behind
it, or made up. The time line never shrinks: a gap of timestamps is as long in what comes out, up to a
second; a pause that is longer is one in which nothing was sent.
"""

from __future__ import annotations

from piopiy_pipeline.audio.opus import CLOCK, OpusDecoder, OpusError
from piopiy_pipeline.gateway.rtp.reception import Reception, StreamPosition

__all__ = ["Uplink"]

WAITING = 3
"""Packets that may wait for a missing one: 60 ms as browsers send."""
WAIT_S = 0.1
"""And no longer than this, if no more come."""
MADE_UP_S = 0.1
"""So much of a gap is made up; the rest of it is silence."""
FILLED_S = 1.0
"""Longer gaps are pauses: filled with silence up to this."""
AHEAD_S = 3.0
"""What a network held back comes at once. More sound than this ahead of the clock nobody spoke: it is left out."""


class Uplink:
    """One caller's packets to PCM16 little-endian mono at `rate` Hz. Times are in seconds of one clock."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.reception: Reception | None = None
        """The source that is heard now: its packets, loss and jitter."""
        self.late = 0
        """Packets that came when their place was filled already, or twice."""
        self.broken = 0
        """Packets that held no Opus."""
        self.flooded = 0
        """Packets that were left out because nobody speaks so fast."""
        self._decoder = OpusDecoder(rate)
        self._ratio = CLOCK // rate
        self._waiting: dict[int, tuple[int, bytes]] = {}  # by sequence number, extended
        self._waiting_since = 0.0
        self._next: StreamPosition | None = None
        self._concealed = 0
        self._ahead = 0.0  # samples by which the sound is longer than the time that it took
        self._ahead_at = 0.0
        self._lost_before = self._received_before = 0

    @property
    def concealed_s(self) -> float:
        """Sound that was made up."""
        return self._concealed / self.rate

    @property
    def received(self) -> int:
        """Packets that arrived."""
        return self._received_before + (self.reception.received if self.reception else 0)

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return self._lost_before + (max(0, self.reception.lost) if self.reception else 0)

    def add(self, ssrc: int, sequence: int, timestamp: int, payload: bytes, now: float) -> list[bytes]:
        """A packet has arrived. Returns the sound that is ready, in order."""
        if self.reception is None or self.reception.ssrc != ssrc:
            self._begin(ssrc)
        assert self.reception is not None
        position = self.reception.add(sequence, timestamp, now)
        if position is None:  # so far off that it is another stream under the same name
            self._begin(ssrc)
            position = self.reception.add(sequence, timestamp, now)
            assert position is not None
        if self._next is None:
            self._next = position
        if position.sequence < self._next.sequence or position.sequence in self._waiting:
            self.late += 1
            return []
        if not self._waiting and position.sequence == self._next.sequence:
            return self._play(position, payload, now)
        if not self._waiting:
            self._waiting_since = now
        self._waiting[position.sequence] = (position.timestamp, payload)
        return self._release(now)

    def tick(self, now: float) -> list[bytes]:
        """Time has passed; the sound that need not wait any longer."""
        return self._release(now) if self._waiting else []

    def _begin(self, ssrc: int) -> None:
        if self.reception is not None:
            self._received_before += self.reception.received
            self._lost_before += max(0, self.reception.lost)
        self.reception = Reception(ssrc, clock=CLOCK, trusted=True)
        self._waiting.clear()
        self._next = None

    def _release(self, now: float) -> list[bytes]:
        ready: list[bytes] = []
        assert self._next is not None
        while self._waiting:
            sequence = self._next.sequence
            if sequence not in self._waiting:
                if len(self._waiting) < WAITING and now - self._waiting_since < WAIT_S:
                    break
                sequence = min(self._waiting)
            timestamp, payload = self._waiting.pop(sequence)
            ready += self._play(StreamPosition(sequence, timestamp), payload, now)
            self._waiting_since = now
        return ready

    def _play(self, position: StreamPosition, payload: bytes, now: float) -> list[bytes]:
        assert self._next is not None
        self._ahead = max(0.0, self._ahead - (now - self._ahead_at) * self.rate)
        self._ahead_at = now
        if self._ahead > AHEAD_S * self.rate:
            self.flooded += 1
            self._next = StreamPosition(position.sequence + 1, position.timestamp)
            return []
        gap = (position.timestamp - self._next.timestamp) // self._ratio
        ready = self._fill(gap, payload, lost=position.sequence > self._next.sequence) if gap > 0 else []
        try:
            pcm = self._decoder.decode(payload)
        except OpusError:
            self.broken += 1
            pcm = b""
        self._next = StreamPosition(position.sequence + 1, position.timestamp + len(pcm) // 2 * self._ratio)
        if pcm:
            ready.append(pcm)
        self._ahead += sum(map(len, ready)) // 2
        return ready

    def _fill(self, gap: int, behind: bytes, *, lost: bool) -> list[bytes]:
        """Sound for `gap` samples before the packet `behind`."""
        ready: list[bytes] = []
        gap = min(gap, int(FILLED_S * self.rate))
        step = self.rate // 400  # libopus works in 2.5 ms
        if lost:
            try:
                spare = min(self._decoder.duration(behind), gap) // step * step
            except OpusError:
                spare = 0
            made_up = min(gap - spare, int(MADE_UP_S * self.rate)) // step * step
            piece = self.rate // 50
            ready += [
                self._decoder.conceal(min(piece, made_up - start)) for start in range(0, made_up, piece)
            ]
            silence = gap - spare - made_up
            if silence > 0:
                ready.append(bytes(2 * silence))
            if spare:
                try:
                    ready.append(self._decoder.recover(behind, spare))
                except OpusError:  # it began like Opus, and is none
                    ready.append(bytes(2 * spare))
            self._concealed += gap
        else:
            ready.append(bytes(2 * gap))
        return ready
