"""What a realtime server hears: where speech starts and stops in the audio that it is sent. Without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["ServerVad", "SpeechBoundary"]

WINDOW_S = 0.02
ONSET_WINDOWS = 3
"""So many loud windows of the last `OF_WINDOWS` are speech: a click is none."""
OF_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class SpeechBoundary:
    """A boundary of speech.

    Attributes:
        kind: Whether speech has started or stopped.
        at_ms: Where in all audio that was sent, in milliseconds. Of a start, less the padding before it; of a stop,
            with the silence that has shown it.
        since: When the audio at `at_ms` arrived, in seconds of the loop's clock.
    """

    kind: Literal["started", "stopped"]
    at_ms: int
    since: float


class ServerVad:
    """Finds speech by its loudness, in windows of 20 ms.

    Args:
        rate: The sample rate of the audio in Hz.
        level: The root mean square from which a window is loud, of 32767.
    """

    def __init__(self, rate: int, *, level: float = 180.0) -> None:
        self.rate = rate
        self.silence_s = 0.5
        """Speech stops after so long a silence."""
        self.padding_s = 0.3
        """The audio before a start that belongs to the speech."""
        self.speaking = False
        self._level = level
        self._rest = np.zeros(0, np.int16)
        self._size = int(rate * WINDOW_S)
        self._windows = 0  # of all audio so far
        self._recent = [False] * OF_WINDOWS
        self._quiet = 0

    @property
    def heard_s(self) -> float:
        """How much audio there was, in seconds."""
        return self._windows * WINDOW_S + len(self._rest) / self.rate

    def hear(self, pcm: bytes, now: float) -> list[SpeechBoundary]:
        """Follow audio.

        Args:
            pcm: PCM16 little-endian mono at `rate`.
            now: When it arrived, in seconds.

        Returns:
            The boundaries in it, in order.
        """
        samples = np.concatenate((self._rest, np.frombuffer(pcm, "<i2").astype(np.int16)))
        count = len(samples) // self._size
        windows = samples[: count * self._size].reshape(count, self._size).astype(np.float64)
        self._rest = samples[count * self._size :]
        found = []
        for power in np.square(windows).mean(axis=1):
            boundary = self._window(bool(power >= self._level**2), now)
            if boundary is not None:
                found.append(boundary)
        return found

    def forget(self) -> None:
        """Begin anew: the buffer was committed or cleared."""
        self.speaking = False
        self._recent = [False] * OF_WINDOWS
        self._quiet = 0

    def _window(self, loud: bool, now: float) -> SpeechBoundary | None:
        self._windows += 1
        self._recent = [*self._recent[1:], loud]
        self._quiet = 0 if loud else self._quiet + 1
        end_s = self._windows * WINDOW_S
        if not self.speaking and loud and sum(self._recent) >= ONSET_WINDOWS:
            self.speaking = True
            since_s = OF_WINDOWS * WINDOW_S + self.padding_s
            return SpeechBoundary("started", round(max(0.0, end_s - since_s) * 1000), now - since_s)
        if self.speaking and self._quiet * WINDOW_S >= self.silence_s - 1e-9:
            self.forget()
            return SpeechBoundary("stopped", round(end_s * 1000), now)
        return None
