"""A microphone for tests with aiortc: what it is given is sent in real time."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

__all__ = ["FRAME", "RATE", "Microphone"]

RATE = 48_000
FRAME = RATE // 50


class Microphone(MediaStreamTrack):
    """Sends what is put into it, in real time, and silence otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm: NDArray[np.int16] = np.zeros(0, np.int16)
        self._frames = 0
        self._began: float | None = None

    def say(self, pcm: NDArray[np.int16]) -> None:
        """Speak, int16 of shape [samples] at 48 kHz."""
        self._pcm = np.concatenate((self._pcm, pcm))

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._frames * 0.02 - loop.time()))
        pcm, self._pcm = self._pcm[:FRAME], self._pcm[FRAME:]
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(np.pad(pcm, (0, FRAME - pcm.size)).astype("<i2").tobytes())
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = self._frames * FRAME
        self._frames += 1
        return frame
