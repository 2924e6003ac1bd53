"""`Line`: the telephone line between a caller and the bot, with what it does to the sound and to the packets.

A `Line` is a value that a test gives to `simulate`. The recordings stay clean, and are used again on other lines.
`Line.apply` changes a recording without a call, for example to test an STT. `wire.Wire` carries the audio of a
call over a line, 20 ms at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.arguments import check_kind, shown
from piopiy_pipeline.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.testing.line.impairment import Impairment

__all__ = ["NOMINAL_DBFS", "Line", "LineSound", "Noise", "speech_level", "to_level"]

Pcm = NDArray[np.int16]
Codec = Literal["linear", "pcmu", "pcma"]
NoiseKind = Literal["white", "pink", "hum", "babble"]

NOMINAL_DBFS = -26.0
"""The level of speech on a telephone line, below full scale (ITU-T P.56's active speech level, as in P.830)."""

_WINDOW_S = 0.02
_ACTIVE_DB = 30.0  # what lies further below the loudest 20 ms is a pause
_LOOP_S = 20.0
_TELEPHONE_RATE = 8000
_TALKERS = 6


def speech_level(pcm: Pcm, rate: int) -> float:
    """Measure the level of the speech in a recording, without its pauses.

    Args:
        pcm: int16 of shape ``[samples]``. Speech is every 20 ms within 30 dB of the loudest.
        rate: The sample rate in Hz.

    Returns:
        The level in dBFS; ``-inf`` for silence.
    """
    size = max(1, int(rate * _WINDOW_S))
    padded = np.zeros(-(-pcm.size // size) * size)
    padded[: pcm.size] = pcm
    power = np.square(padded.reshape(-1, size)).mean(axis=1)
    if not power.size or not power.max():
        return float("-inf")
    active = power[power >= power.max() / 10 ** (_ACTIVE_DB / 10)]
    return float(10 * np.log10(active.mean() / 32768.0**2))


def to_level(pcm: Pcm, dbfs: float, rate: int) -> Pcm:
    """Bring the speech of a recording to a level. Peaks beyond full scale are clipped.

    Args:
        pcm: Mono, int16 of shape ``[samples]``.
        dbfs: The level of the speech in dBFS.
        rate: The sample rate in Hz.

    Returns:
        The recording. A recording without sound is returned as it is.
    """
    level = speech_level(pcm, rate)
    if level == float("-inf"):
        return pcm
    return _clip(pcm * 10 ** ((dbfs - level) / 20))


@dataclass(frozen=True, slots=True)
class Noise:
    """What sounds behind the caller for the whole call.

    Attributes:
        sound: ``"white"``, ``"pink"`` (a fan, rain), ``"hum"`` (50 Hz mains and its harmonics), ``"babble"`` (the
            noise of six voices, with the spectrum and the syllables of speech but no words), or the path of a
            recording, which is played in a loop.
        snr_db: How far it lies below the level of the speech, in dB.

    Raises:
        TypeError: `snr_db` is no number.
        ValueError: There is no such sound, the recording cannot be read, or nothing is heard in it.
    """

    sound: NoiseKind | Path
    snr_db: float

    def __post_init__(self) -> None:
        if not isinstance(self.sound, Path) and self.sound not in ("white", "pink", "hum", "babble"):
            raise ValueError(
                f"Noise({shown(self.sound)}): 'white', 'pink', 'hum', 'babble', or the Path of a recording"
            )
        if isinstance(self.sound, Path) and not read_wav(self.sound, _TELEPHONE_RATE).any():
            raise ValueError(f"{self.sound}: a noise that is silent")
        check_kind("Noise: snr_db", self.snr_db, (int, float), "a number of dB")
        if not -200 <= self.snr_db <= 200:
            raise ValueError(f"Noise: snr_db must be from -200 to 200 dB, not {shown(self.snr_db)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line: how it sounds, and how its network behaves. The default is a perfect one.

        Line(codec="pcmu", noise=Noise("babble", snr_db=15))
        Line(network=Impairment(jitter_ms=40, loss=GilbertElliott.bursts(loss=0.05)))

    Attributes:
        level_dbfs: The level of the caller's speech in dBFS. None leaves the recordings as they are, but with
            `noise` they are brought to the nominal -26 dBFS, because its distance would mean nothing otherwise.
        noise: What sounds behind the caller, also while they are silent.
        codec: ``"linear"``, or ``"pcmu"`` and ``"pcma"``, which are G.711 in both directions, and narrow.
        band: ``"wide"``, or ``"narrow"``: 8 kHz, so that nothing above 3.4 kHz gets through in either direction.
        network: What happens to packets in both directions.
        to_bot: Replaces `network` in the direction to the bot.
        to_caller: Replaces `network` in the direction to the caller. A direction without a network has no packets
            and no jitter buffer, and takes no time.

    Raises:
        TypeError: A value is of another kind.
        ValueError: A value is out of range.
    """

    level_dbfs: float | None = None
    noise: Noise | None = None
    codec: Codec = "linear"
    band: Literal["wide", "narrow"] = "wide"
    network: Impairment | None = None
    to_bot: Impairment | None = None
    to_caller: Impairment | None = None

    def __post_init__(self) -> None:
        if self.codec not in ("linear", "pcmu", "pcma"):
            raise ValueError(f"Line(codec={shown(self.codec)}): 'linear', 'pcmu' or 'pcma'")
        if self.band not in ("wide", "narrow"):
            raise ValueError(f"Line(band={shown(self.band)}): 'wide' or 'narrow'")
        check_kind("Line: level_dbfs", self.level_dbfs, (int, float, type(None)), "a number of dB, or None")
        check_kind("Line: noise", self.noise, (Noise, type(None)), "a Noise, or None")
        for name in ("network", "to_bot", "to_caller"):
            check_kind(
                f"Line: {name}", getattr(self, name), (Impairment, type(None)), "an Impairment, or None"
            )
        if self.level_dbfs is not None and not -80 <= self.level_dbfs <= 0:
            raise ValueError(f"Line(level_dbfs={shown(self.level_dbfs)}): dB below full scale, from -80 to 0")

    @property
    def speech_dbfs(self) -> float | None:
        """The level that recordings are brought to; None when they stay as they are."""
        if self.level_dbfs is None and self.noise is not None:
            return NOMINAL_DBFS
        return self.level_dbfs

    @property
    def narrow(self) -> bool:
        """Whether the sound goes through 8 kHz."""
        return self.codec != "linear" or self.band == "narrow"

    def recording(self, pcm: Pcm, rate: int) -> Pcm:
        """Return a recording as the caller says it into this line: at its level, and clean otherwise."""
        return pcm if self.speech_dbfs is None else to_level(pcm, self.speech_dbfs, rate)

    def apply(self, pcm: Pcm, rate: int, *, seed: int = 0) -> Pcm:
        """Return a recording as it sounds at the other end: with level, noise, band and codec.

        Args:
            pcm: int16 of shape ``[samples]``.
            rate: The sample rate in Hz.
            seed: Decides the noise.

        Returns:
            As many samples, with the delay of the filters taken out. The network has no part in it.
        """
        sound = LineSound(self, rate=rate, seed=seed)
        lag = round(sound.delay_s * rate)
        size = rate // 50
        padded = np.zeros(-(-(pcm.size + lag) // size) * size, np.int16)
        padded[: pcm.size] = self.recording(pcm, rate)
        out = b"".join(
            sound.process(padded[n : n + size].astype("<i2").tobytes()) for n in range(0, padded.size, size)
        )
        return np.frombuffer(out, "<i2")[lag : lag + pcm.size].astype(np.int16)


class LineSound:
    """The sound of one direction of one call over a line: PCM16 in, and as much of it out.

    Args:
        line: The line.
        rate: The sample rate of the audio in Hz. Pieces are whole milliseconds.
        seed: Decides the noise.
        noise: False for the direction to the caller, because the noise is behind the caller.
    """

    def __init__(self, line: Line, *, rate: int, seed: int, noise: bool = True) -> None:
        self._line = line
        narrows = line.narrow and rate != _TELEPHONE_RATE
        self._down = Resampler(rate, _TELEPHONE_RATE) if narrows else None
        self._up = Resampler(_TELEPHONE_RATE, rate) if narrows else None
        self._rate = rate
        self._seed = seed
        self._noisy = noise and line.noise is not None
        self._position = 0

    @property
    def delay_s(self) -> float:
        """The delay of the filters in seconds."""
        return sum(resampler.delay_s for resampler in (self._down, self._up) if resampler)

    @cached_property
    def _noise_loop(self) -> NDArray[np.float32]:
        noise, level = self._line.noise, self._line.speech_dbfs
        assert noise is not None
        assert level is not None
        loop = _noise_of_level_one(noise.sound, self._rate, self._seed)
        return loop * np.float32(32768.0 * 10 ** ((level - noise.snr_db) / 20))

    def process(self, pcm: bytes) -> bytes:
        """Return the next piece as it sounds at the other end: PCM16, as many bytes."""
        if self._noisy:
            samples = np.frombuffer(pcm, "<i2")
            at = (self._position + np.arange(samples.size)) % self._noise_loop.size
            pcm = _clip(samples + self._noise_loop[at]).astype("<i2").tobytes()
            self._position += samples.size
        if self._down is not None:
            pcm = self._down.process(pcm)
        if self._line.codec != "linear":
            samples = np.frombuffer(pcm, "<i2").astype(np.int16)
            ulaw = self._line.codec == "pcmu"
            coded = ulaw_decode(ulaw_encode(samples)) if ulaw else alaw_decode(alaw_encode(samples))
            pcm = coded.astype("<i2").tobytes()
        return pcm if self._up is None else self._up.process(pcm)


@lru_cache(maxsize=8)
def _noise_of_level_one(sound: NoiseKind | Path, rate: int, seed: int) -> NDArray[np.float32]:
    """Make a loop of noise with an RMS of 1, in the frequency domain, so that its ends meet."""
    if isinstance(sound, Path):
        loop = read_wav(sound, rate).astype(np.float64)
    else:
        loop = _synthetic(sound, rate, np.random.default_rng(seed))
    unit: NDArray[np.float32] = (loop / np.sqrt(np.square(loop).mean())).astype(np.float32)
    unit.flags.writeable = False
    return unit


def _synthetic(kind: NoiseKind, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    size = int(_LOOP_S * rate)
    hertz: NDArray[np.float64] = np.fft.rfftfreq(size, 1 / rate).astype(np.float64)
    if kind == "hum":
        at = np.arange(size) / rate
        return _sum([np.sin(2 * np.pi * 50 * n * at + n) / n for n in (1, 2, 3, 4, 5, 7)])
    if kind == "babble":
        return _sum([_talker(size, hertz, rng) for _ in range(_TALKERS)])
    shape = np.ones(hertz.size) if kind == "white" else 1 / np.sqrt(np.maximum(hertz, 20.0))
    return _shaped(shape, size, rng)


def _talker(size: int, hertz: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Make noise with the long-term spectrum of speech (flat to 500 Hz, then 9 dB an octave down), in syllables."""
    spectrum = np.where(hertz < 100, hertz / 100, 1.0) * np.minimum(1.0, (500 / np.maximum(hertz, 1)) ** 1.5)
    syllables = _shaped(np.exp(-np.square((hertz - 4) / 2)), size, rng)  # around 4 a second
    loudness = np.exp(syllables / syllables.std())
    voice: NDArray[np.float64] = _shaped(spectrum, size, rng) * loudness
    return voice


def _shaped(spectrum: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    phases = np.exp(2j * np.pi * rng.random(spectrum.size))
    wave = np.fft.irfft(spectrum * phases, size)
    unit: NDArray[np.float64] = wave / np.sqrt(np.square(wave).mean())
    return unit


def _sum(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    whole: NDArray[np.float64] = np.sum(parts, axis=0)
    return whole


def _clip(samples: NDArray[np.floating]) -> Pcm:
    pcm: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return pcm
