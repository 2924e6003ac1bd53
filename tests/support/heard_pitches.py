"""What a caller hears of agents that each have a pitch of their own: which agent, when, and how long nobody."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from typing import Any

import numpy as np

__all__ = ["FRAME_S", "PITCHES", "HeardPitches", "Lateness", "pitch_of"]

PITCHES = (300.0, 500.0, 800.0, 1200.0)
"""The pitch of each agent, in Hz. They are far apart, because it is told from 20 ms."""
LOUD = 1500
FRAME_S = 0.02


class Lateness:
    """Notes when this process's own loop stood still: what callers did not hear then is no fault of anybody's."""

    EVERY_S = 0.01

    def __init__(self) -> None:
        self.stood: deque[tuple[float, float]] = deque(maxlen=2000)
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time()
        self._timer = self._loop.call_soon(self._look)

    def _look(self) -> None:
        before, self._at = self._at, self._loop.time()
        if self._at - before > 2 * self.EVERY_S:
            self.stood.append((before + self.EVERY_S, self._at))
        self._timer = self._loop.call_later(self.EVERY_S, self._look)

    def between(self, since: float, until: float) -> float:
        """Return for how long it stood still between these two times, in seconds."""
        return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in self.stood)

    @property
    def longest_s(self) -> float:
        """For how long it stood still at most, in seconds."""
        return max((end - begin for begin, end in self.stood), default=0.0)

    def close(self) -> None:
        """Note no more."""
        self._timer.cancel()


class HeardPitches:
    """Notes what one caller hears: of each 20 ms the time and the pitch, 0.0 for silence.

    Args:
        lateness: That of the process in which the caller is.
        rate: Of what is heard, in Hz.
    """

    def __init__(self, lateness: Lateness, *, rate: int) -> None:
        self.heard: list[tuple[float, float]] = []
        self.rate = rate
        self._lateness = lateness
        self._loop = asyncio.get_running_loop()

    def note(self, samples: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        """Hear this from now on, int16 of shape [samples] and of any length."""
        now, step = self._loop.time(), round(FRAME_S * self.rate)
        for number, at in enumerate(range(0, samples.size, step)):
            self.heard.append((now + number * FRAME_S, pitch_of(samples[at : at + step], self.rate)))

    def agent_heard(self, since: float = 0.0, until: float = math.inf) -> float | None:
        """Return the pitch of the agent that was heard last between these times; None in silence."""
        return next((pitch for at, pitch in reversed(self.heard) if since <= at <= until and pitch), None)

    def first_heard(self, pitch: float, since: float) -> float | None:
        """Return when this pitch was first heard since then."""
        return next((at for at, one in self.heard if at >= since and one == pitch), None)

    def longest_silence_s(self, since: float, until: float) -> float:
        """Return the longest time without a sound between these two times, but for what this process slept through."""
        loud = [since, *(at for at, pitch in self.heard if since <= at <= until and pitch), until]
        pauses = [(before, after) for before, after in itertools.pairwise(loud) if after - before > FRAME_S]
        longest_s = FRAME_S
        for before, after in sorted(pauses, key=lambda pause: pause[0] - pause[1]):
            if after - before <= longest_s:
                break  # a call has thousands, and to look each of them up would make this process late
            longest_s = max(longest_s, after - before - self._lateness.between(before, after))
        return longest_s


def pitch_of(samples: np.ndarray[Any, np.dtype[np.int16]], rate: int) -> float:
    """Return the pitch among `PITCHES` that is nearest to that of a tone; 0.0 if nothing is loud."""
    if samples.size < rate // 100 or np.abs(samples.astype(np.int32)).max() < LOUD:
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples))
    hz = float(np.argmax(spectrum)) * rate / samples.size
    return min(PITCHES, key=lambda pitch: abs(pitch - hz))
