"""One direction of a call over a `Line`: 20 ms in at one end, 20 ms out at the other.

It puts together what stands apart: the sound of the line, its network, and the jitter buffer behind it.
Whoever drives it (the simulation's link) calls `carry` once for every frame of 20 ms, with its time; there
is no clock inside.
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
    """Carries one direction of one call at `rate` Hz over `line`.

    `on_lost` is called with the number of each packet that the listener will not hear, counted from 0:
    what the network lost, when it was sent, and what came too late for the jitter buffer, when it came.
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
        """Whether what goes in comes out as it is: then there is no need to ask."""
        return self._sound is None and self._path is None

    def stats(self, now: float) -> JitterStats | None:
        """What the jitter buffer has seen; None where there is none."""
        return None if self._buffer is None else self._buffer.stats(now)

    def carry(self, frame: bytes, now: float) -> bytes:
        """The frame that is sent `now`; returns the one that is heard now. Both are 20 ms of PCM16.

        Raises `ValueError` for a frame of another length.
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
