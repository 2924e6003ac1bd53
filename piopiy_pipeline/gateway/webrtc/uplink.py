"""The caller's audio from a browser: Opus packets become PCM in order and without gaps. No I/O.

A packet that is in order is decoded at once. The VAD and the recogniser want audio soon and do not
mind if it comes unevenly, so there is no playout here. When a packet is missing, the next ones
wait a little for it. If it does not come, its audio is rebuilt from the FEC copy in the packet after
it, or concealed. The timeline never shrinks: a gap in the timestamps has the same length in the result, up to one
second. A longer gap is a pause in which the browser sent nothing.
"""

from __future__ import annotations

from piopiy_pipeline.audio.opus import CLOCK, OpusDecoder, OpusError
from piopiy_pipeline.gateway.rtp.reception import Reception, StreamPosition

__all__ = ["Uplink"]

WAITING = 3
"""How many packets may wait for a missing one. Browsers send 20 ms in each, so 60 ms."""
WAIT_S = 0.1
"""How long packets wait for a missing one when no further packets come."""
CONCEALED_S = 0.1
"""How much of a gap is concealed. The rest of it is silence."""
FILLED_S = 1.0
"""How much of a longer gap is filled with silence."""
AHEAD_S = 3.0
"""How far audio may be ahead of the clock, because a network delivers what it held back at once. What is further
ahead cannot have been spoken, and is dropped."""


class Uplink:
    """Makes PCM16 little-endian mono at `rate` Hz from the packets of one caller. Times are seconds of one clock."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.reception: Reception | None = None
        """Statistics of the current RTP source: packets, loss and jitter."""
        self.late = 0
        """Packets that came after their place was filled, or twice."""
        self.broken = 0
        """Packets that hold no valid Opus."""
        self.flooded = 0
        """Packets that were dropped because more audio came than can have been spoken."""
        self._decoder = OpusDecoder(rate)
        self._ratio = CLOCK // rate
        self._waiting: dict[int, tuple[int, bytes]] = {}  # by sequence number, extended
        self._waiting_since = 0.0
        self._next: StreamPosition | None = None
        self._concealed = 0
        self._ahead = 0.0  # samples by which the audio is longer than the time in which it came
        self._ahead_at = 0.0
        self._lost_before = self._received_before = 0

    @property
    def concealed_s(self) -> float:
        """Seconds of audio that were concealed."""
        return self._concealed / self.rate

    @property
    def received(self) -> int:
        """How many packets have arrived."""
        return self._received_before + (self.reception.received if self.reception else 0)

    @property
    def lost(self) -> int:
        """How many packets never arrived."""
        return self._lost_before + (max(0, self.reception.lost) if self.reception else 0)

    def add(self, ssrc: int, sequence: int, timestamp: int, payload: bytes, now: float) -> list[bytes]:
        """Take an RTP packet.

        Args:
            ssrc: The packet's source.
            sequence: Its sequence number (16 bits).
            timestamp: Its timestamp (32 bits, 48 kHz).
            payload: Its Opus frame.
            now: The time of its arrival, in seconds.

        Returns:
            The PCM that is now ready, in order.
        """
        if self.reception is None or self.reception.ssrc != ssrc:
            self._begin(ssrc)
        assert self.reception is not None
        position = self.reception.add(sequence, timestamp, now)
        if position is None:  # so far off that it is another stream with the same SSRC
            self._begin(ssrc)
            position = self.reception.add(sequence, timestamp, now)
            assert position is not None
        if self._next is None:
            self._next = position
        if position.sequence < self._next.sequence or position.sequence in self._waiting:
            self.late += 1
            return []
        if not self._waiting and position.sequence == self._next.sequence:
            return self._decode(position, payload, now)
        if not self._waiting:
            self._waiting_since = now
        self._waiting[position.sequence] = (position.timestamp, payload)
        return self._release(now)

    def tick(self, now: float) -> list[bytes]:
        """Return the PCM that need not wait for missing packets any longer."""
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
            ready += self._decode(StreamPosition(sequence, timestamp), payload, now)
            self._waiting_since = now
        return ready

    def _decode(self, position: StreamPosition, payload: bytes, now: float) -> list[bytes]:
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
        """Return PCM for a gap of `gap` samples before the packet `behind`."""
        ready: list[bytes] = []
        gap = min(gap, int(FILLED_S * self.rate))
        step = self.rate // 400  # libopus works in 2.5 ms
        if lost:
            try:
                rebuilt = min(self._decoder.duration(behind), gap) // step * step
            except OpusError:
                rebuilt = 0
            concealed = min(gap - rebuilt, int(CONCEALED_S * self.rate)) // step * step
            piece = self.rate // 50
            ready += [
                self._decoder.conceal(min(piece, concealed - start)) for start in range(0, concealed, piece)
            ]
            silence = gap - rebuilt - concealed
            if silence > 0:
                ready.append(bytes(2 * silence))
            if rebuilt:
                try:
                    ready.append(self._decoder.recover(behind, rebuilt))
                except OpusError:  # its first bytes looked like Opus
                    ready.append(bytes(2 * rebuilt))
            self._concealed += gap
        else:
            ready.append(bytes(2 * gap))
        return ready
