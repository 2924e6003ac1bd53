"""One direction of a call over a `Line`: 20 ms enter at one end, and 20 ms leave at the other.

It joins the sound of the line, its network and the jitter buffer behind it. The link of a simulation calls
`carry` once for every frame of 20 ms, with its time. There is no clock inside.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Literal

from piopiy_pipeline.audio.frame import frame_bytes
from piopiy_pipeline.audio.jitter_buffer import JitterBuffer, JitterStats, MediaPacket
from piopiy_pipeline.testing.line.impairment import ImpairedPath
from piopiy_pipeline.testing.line.line import Line, LineSound

__all__ = ["Direction", "Wire"]

Direction = Literal["to_bot", "to_caller"]

_SAME_MOMENT_S = 1e-9


class Wire:
    """Carries one direction of one call over a line.

    Args:
        line: The line.
        direction: ``"to_bot"`` or ``"to_caller"``.
        rate: The sample rate of the audio in Hz.
        seed: Decides everything random.
        on_lost: Called with the number (from 0) of each packet that the listener will not hear: when it is sent,
            if the network loses it; when it arrives, if that is too late for the jitter buffer.
    """

    def __init__(
        self,
        line: Line,
        direction: Direction,
        *,
        rate: int,
        seed: int,
        on_lost: Callable[[int], None] | None = None,
    ) -> None:
        self.rate = rate
        self.direction = direction
        self._frame_bytes = frame_bytes(rate)
        noisy = direction == "to_bot" and line.noise is not None
        self._sound = LineSound(line, rate=rate, seed=seed, noise=noisy) if noisy or line.narrow else None
        own = line.to_bot if direction == "to_bot" else line.to_caller
        network = own if own is not None else line.network
        self._path = (
            None if network is None else ImpairedPath[MediaPacket](network, seed=f"{seed}/{direction}")
        )
        self._buffer = None if network is None else JitterBuffer(rate=rate)
        self._under_way: list[tuple[float, int, MediaPacket]] = []
        self._sent = 0
        self._arrivals = 0  # keeps packets that arrive at the same moment in the order of sending
        self._on_lost = on_lost

    @property
    def perfect(self) -> bool:
        """Whether everything comes out as it goes in, so that `carry` need not be called."""
        return self._sound is None and self._path is None

    def stats(self, now: float) -> JitterStats | None:
        """Return the statistics of the jitter buffer; None if there is none."""
        return None if self._buffer is None else self._buffer.stats(now)

    def carry(self, frame: bytes, now: float) -> bytes:
        """Send a frame, and return the one that is heard at the same time.

        Args:
            frame: 20 ms of PCM16 mono.
            now: The time in seconds.

        Returns:
            20 ms of PCM16 mono.

        Raises:
            ValueError: The frame has another length.
        """
        if len(frame) != self._frame_bytes:
            raise ValueError(
                f"{len(frame)} bytes are no 20 ms at {self.rate} Hz: {self._frame_bytes} would be"
            )
        if self._sound is not None:
            frame = self._sound.process(frame)
        if self._path is None or self._buffer is None:
            return frame
        number, self._sent = self._sent, self._sent + 1
        samples = self._frame_bytes // 2
        packet = MediaPacket(number & 0xFFFF, (number * samples) & 0xFFFFFFFF, frame)
        arrivals = self._path.send(packet, now)
        if not arrivals:
            self._lost(number)
        for arrival in arrivals:
            heapq.heappush(self._under_way, (arrival.at, self._arrivals, packet))
            self._arrivals += 1
        while self._under_way and self._under_way[0][0] <= now + _SAME_MOMENT_S:
            at, _, arrived = heapq.heappop(self._under_way)
            if self._buffer.add(arrived, at) in ("late", "dropped"):
                self._lost(number - ((number - arrived.sequence) & 0xFFFF))
        return self._buffer.take(now).pcm

    def _lost(self, number: int) -> None:
        if self._on_lost is not None:
            self._on_lost(number)
