"""Packet loss concealment, and how a little time is taken out of speech. No I/O.

Both rest on the pitch: speech repeats itself from period to period, so that one period more, or one
less, is hardly heard. A gap is filled with the last period, which is repeated and fades out; a delay that
has become needlessly long is shortened by blending two periods into one.

It works on samples alone. The jitter buffer uses it; a decoder that conceals by itself does not need it.

Sources: the scheme of ITU-T G.711 Appendix I (pitch by correlation, repetition, 20% less every 10 ms, a
crossfade that is longer after a longer gap), without its 3.75 ms of delay; WSOLA (Verhelst and Roelands,
ICASSP 1993) for taking time out.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Concealer", "Pitch", "find_pitch", "shorten"]

Pcm = NDArray[np.int16]
Samples = NDArray[np.float32]

SHORTEST_S, LONGEST_S = 0.005, 0.015  # one period of a deep voice, two or three of a high one
_TEMPLATE_S = 0.02
_HISTORY_S = _TEMPLATE_S + LONGEST_S + 0.005
_HOLD_S = 0.01  # a gap is filled at full level for this long
_FADE_S = 0.05  # and fades out in this time
_CROSSFADE_S, _LONGEST_CROSSFADE_S = 0.004, 0.01
_VOICED = 0.5  # correlation of one period with the next
_QUIET_RMS = 104.0  # -50 dBFS: too quiet for a seam to be heard
_LOUDEST_FLOOR_RMS = 184.0  # -45 dBFS: louder sound is not taken for background noise
_FLOOR_RISE = 1.01  # a frame of 20 ms: 6 dB in 1.4 s
_UNSEEN = 50  # frames (1 s) that are analysed together: one at a time costs ten times as much


class Pitch(NamedTuple):
    """The lag in samples at which sound resembles itself most, and the correlation there (at most 1.0)."""

    period: int
    correlation: float


def find_pitch(samples: Samples, rate: int) -> Pitch:
    """Find the period, of 5 to 15 ms, at the end of a sound.

    Args:
        samples: float32 of shape ``[n]``, at least 35 ms.
        rate: Sample rate in Hz.

    Raises:
        ValueError: There are too few samples.
    """
    shortest, longest = int(SHORTEST_S * rate), int(LONGEST_S * rate)
    size = int(_TEMPLATE_S * rate)
    if samples.size < size + longest:
        raise ValueError(f"{samples.size} samples at {rate} Hz are less than the 35 ms that a pitch needs")
    template = samples[-size:]
    earlier = samples[-size - longest : samples.size - shortest]
    windows = np.lib.stride_tricks.sliding_window_view(earlier, size)  # [lags, size], longest lag first
    squares = np.concatenate(([0.0], np.cumsum(np.square(earlier, dtype=np.float64))))
    energies = squares[size:] - squares[:-size]
    own = float(np.square(template, dtype=np.float64).sum())
    scores = (windows @ template) / np.sqrt(np.maximum(energies * own, 1.0))
    best = int(scores.argmax())
    return Pitch(longest - best, float(scores[best]))


def shorten(pcm: Pcm, rate: int, *, alike: float = 0.85) -> Pcm | None:
    """Take one period, 5 to 15 ms, out of a sound.

    This is not heard in quiet sound, nor where two periods resemble each other. Both ends stay as they are.

    Args:
        pcm: int16 of shape ``[n]``.
        rate: Sample rate in Hz.
        alike: The correlation of two periods from which on they count as resembling, 0 to 1.

    Returns:
        The shorter sound, or None if it would be heard or `pcm` is shorter than 35 ms.
    """
    if pcm.size < int((_TEMPLATE_S + LONGEST_S) * rate):
        return None
    samples = pcm.astype(np.float32)
    if _rms(samples) <= _QUIET_RMS:
        period = int(LONGEST_S * rate)
    else:
        # Backwards, so that the period is that of the beginning, where the seam will be.
        period, correlation = find_pitch(samples[::-1], rate)
        if correlation < alike:
            return None
    rise = np.linspace(0.0, 1.0, period, dtype=np.float32)
    seam = samples[:period] * (1 - rise) + samples[period : 2 * period] * rise
    return _pcm(np.concatenate((seam, samples[2 * period :])))


class Concealer:
    """Follows one voice, and replaces what is missing of it.

    All sound that is played must go through `passed` or `heard`, or come from `conceal` or `silence`, in the
    order in which it is played. When the voice has faded out there is noise at the level of the call's own
    background, because complete silence sounds like a call that was cut off.

    Args:
        rate: Sample rate in Hz.
    """

    def __init__(self, *, rate: int) -> None:
        self.rate = rate
        self._recent: deque[Samples] = deque()
        self._recent_size = 0
        self._history_size = int(_HISTORY_S * rate)
        self._cycle: Samples | None = None  # None while nothing is missing
        self._offset: Samples = np.zeros(0, np.float32)
        self._made = 0  # samples made since the voice was last heard
        self._floor = 0.0
        self._floor_known = False
        self._rng = np.random.default_rng(0)
        self._unseen: list[bytes] = []  # what was played last, and not looked at yet

    @property
    def concealing(self) -> bool:
        """Whether the sound that was played last came from `conceal`."""
        return self._cycle is not None

    def passed(self, pcm: bytes) -> None:
        """Take sound that arrived and is played as it is, where nothing was missing before: PCM16 mono.

        Cheaper than `heard`, which is for the audio after a gap.
        """
        self._unseen.append(pcm)
        if len(self._unseen) >= _UNSEEN:
            self._look()

    def heard(self, pcm: Pcm) -> Pcm:
        """Take sound that arrived, int16 of shape ``[n]``.

        Returns:
            The sound to play. Behind a gap its beginning is blended with what was made up for the gap.
        """
        self._look()
        samples = pcm.astype(np.float32)
        self._follow_floor(_rms(samples))
        if self._cycle is None:
            self._remember(samples)
            return pcm
        gap_s = self._made / self.rate
        length_s = min(_CROSSFADE_S + 0.4 * gap_s, _LONGEST_CROSSFADE_S)
        size = min(int(length_s * self.rate), samples.size)
        rise = np.linspace(0.0, 1.0, size, dtype=np.float32)
        samples[:size] = self._make(size) * (1 - rise) + samples[:size] * rise
        self._cycle = None
        self._remember(samples)
        return _pcm(samples)

    def conceal(self, samples: int) -> Pcm:
        """Make up this many samples in the place of sound that did not arrive: int16 of shape ``[samples]``."""
        self._look()
        if self._cycle is None:
            self._begin()
        made = self._make(samples)
        self._remember(made)
        return _pcm(made)

    def silence(self, samples: int) -> Pcm:
        """Make this many samples of background noise, for a pause in which nothing was sent."""
        self._look()
        made = self._noise(samples)
        self._cycle = None
        self._remember(made)
        return _pcm(made)

    def forget(self) -> None:
        """Forget the voice: another one begins."""
        self._unseen.clear()
        self._recent.clear()
        self._recent_size = 0
        self._cycle = None
        self._floor_known = False

    def _look(self) -> None:
        """Analyse the sound that has `passed` and was not analysed yet."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        size = len(unseen[0])
        if any(len(pcm) != size for pcm in unseen):
            for pcm in unseen:
                samples = np.frombuffer(pcm, "<i2").astype(np.float32)
                self._follow_floor(_rms(samples))
                self._remember(samples)
            return
        frames = np.frombuffer(b"".join(unseen), "<i2").astype(np.float32).reshape(len(unseen), -1)
        for level in np.sqrt(np.einsum("fs,fs->f", frames, frames) / frames.shape[1]).tolist():
            self._follow_floor(level)
        for samples in frames[-1 - 2 * self._history_size // size :]:
            self._remember(samples.copy())

    def _begin(self) -> None:
        history = self._history()
        self._made = 0
        if _rms(history) <= _QUIET_RMS:
            self._cycle = np.zeros(1, np.float32)
            self._offset = np.zeros(0, np.float32)
            self._made = int((_HOLD_S + _FADE_S) * self.rate)  # nothing is there that could fade
            return
        period, correlation = find_pitch(history, self.rate)
        if correlation < _VOICED:
            period = int(LONGEST_S * self.rate)  # a hiss that repeats at a short period would buzz
        cycle = history[-period:].copy()
        # So that the end of a period runs into its beginning: what came before that beginning.
        size = period // 4
        rise = np.linspace(0.0, 1.0, size, dtype=np.float32)
        cycle[-size:] = cycle[-size:] * (1 - rise) + history[-period - size : -period] * rise
        self._cycle = cycle
        step = float(history[-1] - history[-period - 1])
        self._offset = step * (1 - rise)

    def _make(self, size: int) -> Samples:
        assert self._cycle is not None
        at = self._made + np.arange(size)
        made: Samples = self._cycle[at % self._cycle.size]
        if self._made < self._offset.size:
            part = self._offset[self._made : self._made + size]
            made[: part.size] += part
        hold, fade = _HOLD_S * self.rate, _FADE_S * self.rate
        gain = np.clip(1 - (at - hold) / fade, 0.0, 1.0).astype(np.float32)
        self._made += size
        if gain[-1] < 1.0:
            made = made * gain + self._noise(size) * (1 - gain)
        return made

    def _noise(self, size: int) -> Samples:
        if not self._floor_known or self._floor < 1.0:
            return np.zeros(size, np.float32)
        level = min(self._floor, _LOUDEST_FLOOR_RMS)
        return self._rng.standard_normal(size, np.float32) * np.float32(level)

    def _follow_floor(self, level: float) -> None:
        if not self._floor_known or level < self._floor:
            self._floor, self._floor_known = level, True
        else:
            self._floor = min(level, max(self._floor, 1.0) * _FLOOR_RISE)

    def _remember(self, samples: Samples) -> None:
        self._recent.append(samples)
        self._recent_size += samples.size
        while self._recent_size - self._recent[0].size >= self._history_size:
            self._recent_size -= self._recent.popleft().size

    def _history(self) -> Samples:
        """Return the last 40 ms, with silence before the beginning."""
        history = np.zeros(self._history_size, np.float32)
        if self._recent:
            recent = np.concatenate(self._recent)[-self._history_size :]
            history[history.size - recent.size :] = recent
        return history


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.dot(samples, samples) / samples.size)) if samples.size else 0.0


def _pcm(samples: Samples) -> Pcm:
    pcm: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return pcm
