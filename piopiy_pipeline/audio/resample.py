"""Resampling of live audio, a piece at a time, without holding any of it back.

A live call needs 20 ms of output for 20 ms of input. soxr's streams, which are the choice for recordings,
work in blocks: from 8 to 16 kHz at its medium quality, nothing comes out for the first 115 ms. So this is a
polyphase FIR filter (windowed sinc, Kaiser) as one matrix product for each piece; its delay is the filter's
own, 1.5 to 3 ms, and a piece of 20 ms costs about 20 µs.

Source: Crochiere and Rabiner, Multirate Digital Signal Processing, 1983, chapter 4; Kaiser's
formulas for the window as in Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.5.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

__all__ = ["Resampler", "resampler_between"]

_CROSSINGS = 24  # zero crossings of the sinc on each side, counted at the lower of the two rates
_CUTOFF = 0.92  # of the lower rate's Nyquist frequency: flat to 3.35 kHz of 4, 70 dB down at 4.0
_KAISER_BETA = 6.8
_MAX_PHASES = 1000


class Resampler:
    """Resamples one stream of PCM16 little-endian mono. With equal rates it passes the bytes through.

    Args:
        rate_in: Sample rate of the input in Hz.
        rate_out: Sample rate of the output in Hz.

    Raises:
        ValueError: A rate is not positive, or the ratio of the two is not made of small numbers (44,100
            to 16,000 Hz is; 16,001 to 16,000 Hz is not).
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        if rate_in <= 0 or rate_out <= 0:
            raise ValueError(f"sample rates must be positive, not {rate_in} and {rate_out} Hz")
        self.rate_in = rate_in
        self.rate_out = rate_out
        divisor = gcd(rate_in, rate_out)
        self._step = rate_in // divisor  # this many samples in ...
        self._phases = rate_out // divisor  # ... make this many out
        if max(self._step, self._phases) > _MAX_PHASES:
            raise ValueError(f"cannot resample {rate_in} to {rate_out} Hz: the ratio has no small terms")
        blocks_a_ms, rest = divmod(rate_in, 1000 * self._step)
        if blocks_a_ms and not rest:  # a millisecond at a time is what matrices are quickest at
            self._step *= blocks_a_ms
            self._phases *= blocks_a_ms
        self._same = rate_in == rate_out
        self._half = 0 if self._same else ceil(_CROSSINGS * max(1.0, rate_in / rate_out))
        self._matrix = None if self._same else _matrix(self._step, self._phases, self._half)
        self.reset()

    @property
    def delay_s(self) -> float:
        """How many seconds the output lags behind the input."""
        return self._half / self.rate_in

    def reset(self) -> None:
        """Forget what came before: the next piece begins a new stretch of audio."""
        self._pending: NDArray[np.float32] = np.zeros(2 * self._half, dtype=np.float32)

    def process(self, pcm: bytes) -> bytes:
        """Resample the next piece. One of a whole number of milliseconds comes out at its exact length.

        Raises:
            ValueError: `pcm` ends in the middle of a sample.
        """
        if len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
        if self._matrix is None:
            return pcm
        self._pending = np.concatenate((self._pending, np.frombuffer(pcm, dtype="<i2").astype(np.float32)))
        blocks = (len(self._pending) - 2 * self._half) // self._step
        if blocks <= 0:
            return b""
        width = self._matrix.shape[0]
        stride = self._pending.strides[0]
        windows = np.lib.stride_tricks.as_strided(
            self._pending, shape=(blocks, width), strides=(self._step * stride, stride), writeable=False
        )
        samples = (windows @ self._matrix).reshape(-1)
        self._pending = self._pending[blocks * self._step :]
        np.rint(samples, out=samples)
        np.clip(samples, -32768, 32767, out=samples)
        return samples.astype("<i2").tobytes()

    def flush(self) -> bytes:
        """End a stretch of audio: return what the filter still holds. The next piece begins a new stretch."""
        if self._matrix is None:
            return b""
        unfinished = (len(self._pending) - 2 * self._half) % self._step
        held = unfinished + self._half
        tail = self.process(bytes(2 * (self._half + -held % self._step)))
        self.reset()
        return tail[: 2 * ceil(held * self._phases / self._step)]


def resampler_between(rate_in: int, rate_out: int) -> Resampler | None:
    """Return a new resampler from `rate_in` to `rate_out` Hz, or None where the rates are the same."""
    return None if rate_in == rate_out else Resampler(rate_in, rate_out)


@lru_cache(maxsize=64)
def _matrix(step: int, phases: int, half: int) -> NDArray[np.float32]:
    """Return the filter once for each output, shifted to its place: shape ``[inputs, outputs]`` of a block.

    Output `k` of a block lies at `half + k * step / phases` of the block's inputs.
    """
    width = 2 * half + step
    cutoff = _CUTOFF * min(1.0, phases / step)
    inputs = np.arange(width, dtype=np.float64)[:, None]
    centres = half + np.arange(phases, dtype=np.float64)[None, :] * step / phases
    distance = inputs - centres
    inside = np.abs(distance) <= half
    window = np.zeros_like(distance)
    window[inside] = np.i0(_KAISER_BETA * np.sqrt(1 - (distance[inside] / half) ** 2)) / np.i0(_KAISER_BETA)
    taps = cutoff * np.sinc(cutoff * distance) * window
    taps /= taps.sum(axis=0, keepdims=True)  # silence stays silent and a level keeps its height
    matrix: NDArray[np.float32] = np.ascontiguousarray(taps, dtype=np.float32)
    matrix.flags.writeable = False
    return matrix
