"""A bridge between two legs: each one's audio goes to the other, frame by frame. No I/O.

A transferred call has left its agent, and with it the agent's media stream and playout. What is left is two
legs whose clocks differ a little, and whose packets come as the network delivers them. A `Relay` for each
direction evens that out, and never lets delay pile up.
"""

from __future__ import annotations

from piopiy_pipeline.audio.frame import FRAME_MS
from piopiy_pipeline.audio.resample import resampler_between
from piopiy_pipeline.gateway.core.leg import Leg

__all__ = ["Bridge", "Relay"]

PREFILL_MS = 40
"""Milliseconds of audio that wait before the first frame leaves, and again after a pause."""
MOST_MS = 200
"""More than this never waits: the oldest is dropped, because delay hurts a conversation more than a gap."""


class Relay:
    """Carries audio in one direction: it takes PCM16 mono in pieces of any size, and returns frames of 20 ms.

    Args:
        rate_in: The sample rate of what comes in, in Hz.
        rate_out: The sample rate of the frames, in Hz.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._resampler = resampler_between(rate_in, rate_out)
        self._bytes_per_ms = rate_out * 2 // 1000
        self._frame = self._bytes_per_ms * FRAME_MS
        self._waiting = bytearray()
        self._flowing = False
        self.dropped_bytes = 0
        """How much was dropped, at `rate_out`."""

    def add(self, pcm: bytes) -> None:
        """Take audio that arrived: PCM16 mono at `rate_in`, of any length."""
        self._waiting += pcm if self._resampler is None else self._resampler.process(pcm)
        too_much = len(self._waiting) - MOST_MS * self._bytes_per_ms
        if too_much > 0:
            # Down to the prefill, so that one late packet is not paid for with many small gaps.
            drop = (too_much + (MOST_MS - PREFILL_MS) * self._bytes_per_ms) & ~1
            del self._waiting[:drop]
            self.dropped_bytes += drop

    def frame(self) -> bytes | None:
        """Return the next 20 ms at `rate_out`, or None while nothing is due. Call it on every frame tick."""
        needed = self._frame if self._flowing else max(self._frame, PREFILL_MS * self._bytes_per_ms)
        if len(self._waiting) < needed:
            self._flowing = False
            return None
        self._flowing = True
        frame = bytes(self._waiting[: self._frame])
        del self._waiting[: self._frame]
        return frame


class Bridge:
    """Joins two legs.

    Args:
        near: The leg whose call it is.
        far: The leg that was dialled.
    """

    def __init__(self, near: Leg, far: Leg) -> None:
        self.far = far
        self._to_far = Relay(near.rate, far.rate)
        self._to_near = Relay(far.rate, near.rate)

    def near_audio(self, pcm: bytes) -> None:
        """Take what the near side said: PCM16 mono at its leg's rate."""
        self._to_far.add(pcm)

    def far_audio(self, pcm: bytes) -> None:
        """Take what the far side said: PCM16 mono at its leg's rate."""
        self._to_near.add(pcm)

    def on_frame_tick(self) -> bytes | None:
        """Send the far side the 20 ms that are due, and return those for the near side, which its call sends."""
        frame = self._to_far.frame()
        if frame is not None:
            self.far.send_audio(frame)
        return self._to_near.frame()
