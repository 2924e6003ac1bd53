"""Two legs talk to each other: each one's sound to the other, on the gateway's beat. No I/O.

A transferred call has left its agent, and with it the agent's media stream and playout. What is left
is two lines whose clocks differ a little and whose packets come as the network pleases: a `Relay` for
each direction evens that out, and never lets delay pile up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from piopiy_pipeline.audio.playout import FRAME_MS

if TYPE_CHECKING:
    from piopiy_pipeline.audio.resample import Resampler
    from piopiy_pipeline.gateway.core.leg import Leg

__all__ = ["Bridge", "Relay"]

PREFILL_MS = 40
"""So much sound waits before the first frame leaves, and again after a pause."""
MOST_MS = 200
"""More than this never waits: the oldest is dropped, because delay hurts a conversation more than a gap."""


class Relay:
    """One direction: PCM16 mono in pieces of any size at `rate_in`, 20 ms frames at `rate_out`."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._resampler = _resampler(rate_in, rate_out)
        self._bytes_per_ms = rate_out * 2 // 1000
        self._frame = self._bytes_per_ms * FRAME_MS
        self._waiting = bytearray()
        self._flowing = False
        self.dropped_bytes = 0

    def add(self, pcm: bytes) -> None:
        """Sound has come."""
        self._waiting += pcm if self._resampler is None else self._resampler.process(pcm)
        too_much = len(self._waiting) - MOST_MS * self._bytes_per_ms
        if too_much > 0:
            # Down to what was waited for at first, so that one late packet is not paid for with many small gaps.
            drop = (too_much + (MOST_MS - PREFILL_MS) * self._bytes_per_ms) & ~1
            del self._waiting[:drop]
            self.dropped_bytes += drop

    def frame(self) -> bytes | None:
        """The next 20 ms, or None while nothing is due. To be asked on every beat."""
        needed = self._frame if self._flowing else max(self._frame, PREFILL_MS * self._bytes_per_ms)
        if len(self._waiting) < needed:
            self._flowing = False
            return None
        self._flowing = True
        frame = bytes(self._waiting[: self._frame])
        del self._waiting[: self._frame]
        return frame


class Bridge:
    """`near` is the leg whose call it is, `far` the one that was dialled. `beat` is called every 20 ms."""

    def __init__(self, near: Leg, far: Leg) -> None:
        self.near, self.far = near, far
        self._to_far = Relay(near.rate, far.rate)
        self._to_near = Relay(far.rate, near.rate)

    def near_audio(self, pcm: bytes) -> None:
        """The near side's sound, at its leg's rate."""
        self._to_far.add(pcm)

    def far_audio(self, pcm: bytes) -> None:
        """The far side's sound, at its leg's rate."""
        self._to_near.add(pcm)

    def on_frame_tick(self) -> bytes | None:
        """Send the far side what is due, and return what is due to the near side: its call sends it."""
        frame = self._to_far.frame()
        if frame is not None:
            self.far.send_audio(frame)
        return self._to_near.frame()

    @property
    def dropped_s(self) -> float:
        """Sound that was left out, in both directions together."""
        near = self._to_near.dropped_bytes / 2 / self.near.rate
        return near + self._to_far.dropped_bytes / 2 / self.far.rate


def _resampler(rate_in: int, rate_out: int) -> Resampler | None:
    if rate_in == rate_out:
        return None
    from piopiy_pipeline.audio.resample import Resampler

    return Resampler(rate_in, rate_out)
