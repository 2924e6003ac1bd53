"""A caller's audio without the noise around the caller, and without the echo of the bot's own voice. No I/O.

The work is WebRTC's audio processing, as it runs in browsers (AEC3 and NS), in the package pywebrtc-audio: Apache-2.0,
wheels for Linux, macOS and Windows, no model to fetch. 20 ms take 0.02 ms for noise and 0.15 ms for echo, less than
a trip to a worker thread, so it is done where the audio passes.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.echo_delay import AUDIBLE_DBFS, EchoDelay
from piopiy_pipeline.audio.echo_reference import LAG_MS, EchoReference

__all__ = ["PACKAGE_MISSING", "CleanSound", "SoundCleaner", "can_clean", "is_installed"]

CleanSound = Literal["off", "noise", "echo", "both"]
"""What is taken out of a caller's audio."""

PACKAGE_MISSING = "clean_sound: pywebrtc-audio is not installed: pip install 'piopiy-pipeline[clean]'"

REACH_MS = (10, 450)
"""The delays within which the library is sure to find an echo; the reference is shifted for others."""
SHIFTED_MS = 100
"""The delay that is left when the reference was shifted."""
STEP_MS = 10
"""The library's own frame. What is left of a piece of another length waits for the next."""
NOISE_LEVEL = 1
"""Of 0 to 3 (6, 12, 18, 21 dB): `benchmarks/clean_sound.py` compares them. The highest costs words."""
PRIMER_S, PRIMER_DBFS = 0.5, -70.0
"""Noise of a quiet line that the noise suppression is given first. Otherwise it takes the first sound for noise, and
makes a caller who speaks at once 8 dB quieter for three seconds."""
NO_SPEECH = 0.3
"""Below this probability, by the library's own measure, a step has no speech in it."""

_AUDIBLE_POWER = 32768.0**2 * 10 ** (AUDIBLE_DBFS / 10)


def can_clean(rate: int) -> bool:
    """Return whether audio of this rate in Hz can be cleaned: whole steps of 10 ms, from 8 to 48 kHz."""
    return 8_000 <= rate <= 48_000 and rate * STEP_MS % 1000 == 0


def is_installed() -> bool:
    """Return whether the package is installed, without importing it."""
    return importlib.util.find_spec("pywebrtc_audio") is not None


class SoundCleaner:
    """Cleans the audio of one caller: PCM16 little-endian mono. It adds 6 to 17 ms of delay.

    Args:
        what: What is taken out, not ``off``.
        rate: The sample rate of both sides in Hz, one of which `can_clean` is true.
        noise_level: How much of the noise, 0 to 3.

    Raises:
        ImportError: The package is not installed, or cannot be loaded; `PACKAGE_MISSING` says that to people.
    """

    def __init__(self, what: CleanSound, rate: int, *, noise_level: int = NOISE_LEVEL) -> None:
        from pywebrtc_audio import AudioProcessor

        self.what = what
        self.rate = rate
        self._reference = EchoReference(rate) if what in ("echo", "both") else None
        self._delay = EchoDelay(rate)
        self._delay_ms: int | None = None
        self._processor = AudioProcessor(
            sample_rate=rate,
            echo_cancellation=self._reference is not None,
            noise_suppression=what in ("noise", "both"),
            ns_level=noise_level,
        )
        if what != "echo":
            primer = np.random.default_rng(0).normal(
                0, 32768 * 10 ** (PRIMER_DBFS / 20), int(PRIMER_S * rate)
            )
            quiet = primer.round().astype(np.int16)
            self._processor.process(quiet, None if self._reference is None else np.zeros_like(quiet))
        self._step = 2 * rate * STEP_MS // 1000
        self._rest = b""
        self._echo = _Removed()
        self._noise = _Removed()

    def played(self, pcm: bytes) -> None:
        """Take audio that leaves for the caller now: its echo is to be removed."""
        if self._reference is not None:
            self._reference.played(pcm)

    def played_until(self, now: float) -> None:
        """Note that nothing else was played until `now`, in seconds. To be called every 20 ms."""
        if self._reference is not None:
            self._reference.played_until(now)

    def clean(self, pcm: bytes) -> bytes:
        """Return the caller's audio, cleaned, in whole steps of 10 ms: what is left of `pcm` comes with the next."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._step
        self._rest = pcm[whole:]
        if not whole:
            return b""
        near = np.frombuffer(pcm[:whole], np.int16)
        cleaned: NDArray[np.int16]
        if self._reference is None:
            cleaned = self._processor.process(near)
            bot_speaks = False
        else:
            far = np.frombuffer(self._reference.take(whole), np.int16)
            cleaned = self._processor.process(near, far)
            bot_speaks = _power(far) > _AUDIBLE_POWER
            self._follow(self._reference, self._delay.add(far, near))
        if bot_speaks:
            self._echo.add(near, cleaned)
        elif self._processor.speech_probability < NO_SPEECH:
            self._noise.add(near, cleaned)
        return cleaned.tobytes()

    def _follow(self, reference: EchoReference, delay_ms: int | None) -> None:
        """Shift the reference, if an echo of this delay is out of the library's reach."""
        if delay_ms is None:
            return
        self._delay_ms = delay_ms + reference.lag_ms
        if REACH_MS[0] <= delay_ms <= REACH_MS[1] or (delay_ms < REACH_MS[0] and reference.lag_ms == LAG_MS):
            return
        reference.set_lag(self._delay_ms - SHIFTED_MS)
        self._delay.forget()

    def quality(self) -> dict[str, float]:
        """Return what was removed: `echo_removed_db` while the bot spoke, `noise_removed_db` while nobody did.

        What was not asked for is missing. `echo_delay_ms` is how late an echo came back; missing where none was plain.
        """
        found: dict[str, float] = {}
        if self._reference is not None:
            found["echo_removed_db"] = self._echo.decibels
            found["echo_realigned"] = self._reference.realigned
            if self._delay_ms is not None:
                found["echo_delay_ms"] = self._delay_ms
        if self.what in ("noise", "both"):
            found["noise_removed_db"] = self._noise.decibels
        return found


class _Removed:
    """How much quieter audio became, over all that was added."""

    def __init__(self) -> None:
        self._before = self._after = 0.0

    def add(self, before: NDArray[np.int16], after: NDArray[np.int16]) -> None:
        self._before += _power(before) * len(before)
        self._after += _power(after) * len(after)

    @property
    def decibels(self) -> float:
        if not self._before:
            return 0.0
        return round(float(10 * np.log10(self._before / max(self._after, 1e-3))), 1)


def _power(pcm: NDArray[np.int16]) -> float:
    samples = pcm.astype(np.float32)
    return float(samples @ samples) / len(samples)
