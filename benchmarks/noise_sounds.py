"""Noises without words as a telephone hears them, made by a script: the same seed makes the same samples.

All are float samples at 16 kHz, 1.0 at full scale. Voice-like ones are there on purpose: coughs, laughs, hums and
a baby's cry pass a voice detection, and a speech model makes words of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["KINDS", "noise"]

RATE = 16_000

Samples = NDArray[np.float64]


def noise(kind: str, seed: int) -> Samples:
    """Return one noise of a kind, with silence of a line around it, between -36 and -14 dB at its loudest 50 ms.

    Args:
        kind: One of `KINDS`.
        seed: Decides all that is left to chance.
    """
    rng = np.random.default_rng([seed, *kind.encode()])
    sound = KINDS[kind](rng)
    step = RATE // 20
    frames = sound[: max(step, len(sound) // step * step)]
    loudest = np.sqrt((np.resize(frames, (max(1, len(frames) // step), step)) ** 2).mean(axis=1).max())
    sound = sound / (loudest + 1e-9) * 10 ** (rng.uniform(-36, -14) / 20)
    line = rng.normal(0, 10 ** (rng.uniform(-70, -55) / 20), len(sound) + RATE // 2)
    line[RATE // 4 : RATE // 4 + len(sound)] += sound
    return np.clip(line, -1, 1)


def _time(seconds: float) -> Samples:
    return np.arange(int(seconds * RATE)) / RATE


def _band(sound: Samples, low: float, high: float) -> Samples:
    """Keep a band of a sound, in Hz."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum, len(sound))


def _formants(sound: Samples, peaks: list[tuple[float, float]]) -> Samples:
    """Shape a sound as a throat does: peaks of (Hz, width in Hz)."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    gain = sum(1 / (1 + ((hertz - at) / width) ** 2) for at, width in peaks)
    return np.fft.irfft(spectrum * gain, len(sound))


def _burst(rng: Generator, seconds: float, attack: float, decay: float) -> Samples:
    t = _time(seconds)
    return np.asarray(rng.normal(0, 1, len(t)) * (1 - np.exp(-t / attack)) * np.exp(-t / decay))


def _joined(pieces: list[Samples], gaps: list[float]) -> Samples:
    parts: list[Samples] = []
    for piece, gap in zip(pieces, gaps, strict=True):
        parts += [piece, np.zeros(int(gap * RATE))]
    return np.concatenate(parts)


def _buzz(pitch: Samples) -> Samples:
    """A voice's source: pulses at a pitch in Hz that may change, one value a sample."""
    phase = np.cumsum(pitch / RATE)
    return np.asarray(np.sum([np.sin(2 * np.pi * n * phase) / n for n in range(1, 25)], axis=0))


def _throat(rng: Generator) -> list[tuple[float, float]]:
    return [(rng.uniform(350, 800), 90), (rng.uniform(1000, 1900), 130), (rng.uniform(2300, 3000), 200)]


def _cough(rng: Generator) -> Samples:
    coughs = []
    for _ in range(rng.integers(1, 4)):
        burst = _formants(_burst(rng, rng.uniform(0.2, 0.45), 0.004, rng.uniform(0.04, 0.12)), _throat(rng))
        t = np.arange(len(burst)) / RATE
        voiced = _formants(_buzz(rng.uniform(110, 260) * np.exp(-t)), _throat(rng))
        coughs.append(burst / np.abs(burst).max() + rng.uniform(0, 0.5) * voiced * np.exp(-t / 0.08) / 4)
    return _joined(coughs, [float(rng.uniform(0.05, 0.3)) for _ in coughs])


def _throat_clearing(rng: Generator) -> Samples:
    t = _time(rng.uniform(0.4, 0.9))
    rough = 1 + 0.8 * np.sign(np.sin(2 * np.pi * rng.uniform(25, 45) * t))
    source = _buzz(rng.uniform(80, 130) + 10 * rng.normal(0, 1, len(t)).cumsum() / 400) * rough
    return np.asarray(_formants(source + rng.normal(0, 2, len(t)), _throat(rng)) * np.sin(np.pi * t / t[-1]))


def _laugh(rng: Generator) -> Samples:
    base, throat = rng.uniform(150, 350), _throat(rng)
    syllables = []
    for n in range(rng.integers(3, 8)):
        t = _time(rng.uniform(0.08, 0.14))
        pitch = base * (1.1 - 0.04 * n) * (1 - t)
        syllables.append(
            _formants(_buzz(pitch) + rng.normal(0, 1, len(t)), throat) * np.sin(np.pi * t / t[-1])
        )
    return _joined(syllables, [0.08] * len(syllables))


def _sneeze(rng: Generator) -> Samples:
    breath = _band(_burst(rng, 0.5, 0.3, 1.0), 300, 3000) * 0.3
    return np.concatenate([breath, _band(_burst(rng, 0.5, 0.003, 0.12), 700, 7000)])


def _humming(rng: Generator) -> Samples:
    """A closed mouth, some notes."""
    base, notes = rng.uniform(110, 260), []
    for _ in range(rng.integers(1, 5)):
        t = _time(rng.uniform(0.3, 0.9))
        pitch = base * 2 ** (rng.integers(-3, 5) / 12) * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * t))
        notes.append(_formants(_buzz(pitch), [(250, 80), (1000, 60)]) * np.minimum(1, 20 * t))
    return _joined(notes, [0.02] * len(notes))


def _baby(rng: Generator) -> Samples:
    cries, throat = [], [(1000.0, 200.0), (2800.0, 300.0)]
    for _ in range(rng.integers(1, 4)):
        t = _time(rng.uniform(0.5, 1.1))
        pitch = (
            rng.uniform(380, 520)
            * (1 + 0.15 * np.sin(np.pi * t / t[-1]))
            * (1 + 0.02 * np.sin(2 * np.pi * 7 * t))
        )
        cries.append(_formants(_buzz(pitch), throat) * np.abs(np.sin(np.pi * t / t[-1])) ** 0.5)
    return _joined(cries, [0.25] * len(cries))


def _breath(rng: Generator) -> Samples:
    t = _time(rng.uniform(0.6, 2.0))
    return np.asarray(
        _formants(rng.normal(0, 1, len(t)), [(600, 300), (1700, 500)]) * np.sin(np.pi * t / t[-1]) ** 2
    )


def _blow(rng: Generator) -> Samples:
    """Breath into the microphone."""
    t = _time(rng.uniform(0.3, 1.2))
    return np.asarray(_band(rng.normal(0, 1, len(t)).cumsum(), 40, 900) * np.sin(np.pi * t / t[-1]))


def _click(rng: Generator) -> Samples:
    clicks = [_burst(rng, 0.03, 0.0003, rng.uniform(0.001, 0.006)) for _ in range(rng.integers(1, 6))]
    return _joined(clicks, [float(rng.uniform(0.05, 0.4)) for _ in clicks])


def _keyboard(rng: Generator) -> Samples:
    keys = [_band(_burst(rng, 0.06, 0.0005, 0.01), 800, 7000) * rng.uniform(0.3, 1) for _ in range(14)]
    return _joined(keys, [float(rng.uniform(0.02, 0.2)) for _ in keys])


def _door(rng: Generator) -> Samples:
    t = _time(0.7)
    boom = sum(
        np.sin(2 * np.pi * f * t) * np.exp(-t / rng.uniform(0.05, 0.2)) for f in rng.uniform(60, 400, 6)
    )
    return np.asarray(boom + 2 * _burst(rng, 0.7, 0.001, 0.03))


def _crockery(rng: Generator) -> Samples:
    hits = []
    for _ in range(rng.integers(2, 7)):
        t = _time(0.3)
        hits.append(
            np.asarray(sum(np.sin(2 * np.pi * f * t) * np.exp(-t / 0.05) for f in rng.uniform(1500, 7000, 6)))
        )
    return _joined(hits, [float(rng.uniform(0, 0.3)) for _ in hits])


def _hum(rng: Generator) -> Samples:
    t, base = _time(2.5), rng.choice([50.0, 60.0])
    return np.asarray(sum(rng.uniform(0, 1) / n * np.sin(2 * np.pi * base * n * t) for n in range(1, 12)))


def _music(rng: Generator) -> Samples:
    """Chords with a rhythm, and a tune above."""
    beats = []
    base = rng.uniform(160, 260)
    for _ in range(rng.integers(5, 9)):
        t = _time(rng.choice([0.25, 0.35, 0.5]))
        chord = base * 2 ** (rng.choice([0, 5, 7, 9]) / 12) * np.array([1, 2 ** (4 / 12), 2 ** (7 / 12)])
        tune = base * 2 ** (1 + rng.choice([0, 2, 4, 5, 7, 9, 11]) / 12)
        tones = sum(np.sin(2 * np.pi * f * n * t) / n for f in (*chord, tune) for n in range(1, 7))
        drum = _burst(rng, len(t) / RATE, 0.001, 0.03)[: len(t)]
        beats.append(np.asarray(tones * np.exp(-t / 0.4) + drum))
    return np.concatenate(beats)


def _sung(rng: Generator) -> Samples:
    """A voice that sings on vowels."""
    base, notes = rng.uniform(140, 330), []
    for _ in range(rng.integers(3, 6)):
        t = _time(rng.uniform(0.3, 0.8))
        pitch = base * 2 ** (rng.choice([0, 2, 4, 5, 7]) / 12) * (1 + 0.015 * np.sin(2 * np.pi * 5.5 * t))
        notes.append(_formants(_buzz(pitch), _throat(rng)) * np.minimum(1, 15 * t))
    return np.concatenate(notes)


def _tones(rng: Generator) -> Samples:
    """A ring tone, a busy signal, a fax."""
    pair = [(440.0, 480.0), (480.0, 620.0), (350.0, 440.0), (1100.0, 2100.0)][rng.integers(4)]
    t = _time(rng.uniform(0.4, 1.0))
    tone = sum(np.sin(2 * np.pi * f * t) for f in pair)
    return _joined([np.asarray(tone)] * 3, [0.4] * 3)


def _dtmf(rng: Generator) -> Samples:
    t = _time(0.12)
    keys = [
        np.sin(2 * np.pi * rng.choice([697, 770, 852, 941]) * t)
        + np.sin(2 * np.pi * rng.choice([1209, 1336, 1477]) * t)
        for _ in range(rng.integers(1, 8))
    ]
    return _joined(keys, [0.1] * len(keys))


def _crackle(rng: Generator) -> Samples:
    sound = np.zeros(2 * RATE)
    sound[rng.integers(0, len(sound), 400)] = rng.normal(0, 1, 400) ** 3
    return _band(sound, 200, 7000)


def _wind(rng: Generator) -> Samples:
    t = _time(2.5)
    gusts = np.interp(t, np.linspace(0, 2.5, 12), rng.uniform(0.1, 1, 12))
    return _band(rng.normal(0, 1, len(t)).cumsum(), 80, 1200) * gusts


def _steady(rng: Generator) -> Samples:
    """White or pink noise that begins and ends."""
    white = rng.normal(0, 1, int(rng.uniform(0.5, 2.5) * RATE))
    if rng.integers(2):
        return white
    spectrum = np.fft.rfft(white)
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(white))


def _lost_packets(rng: Generator) -> Samples:
    """What is left of a line whose packets are lost: 20 ms pieces repeated and faded."""
    pieces = []
    for _ in range(rng.integers(4, 12)):
        piece = _formants(_buzz(np.full(320, rng.uniform(90, 250))) + rng.normal(0, 1, 320), _throat(rng))
        pieces += [piece * fade for fade in (1.0, 0.7, 0.4, 0.15)][: rng.integers(1, 5)]
    return _joined(pieces, [float(rng.choice([0.0, 0.02, 0.06])) for _ in pieces])


def _bark(rng: Generator) -> Samples:
    barks = []
    for _ in range(rng.integers(1, 4)):
        t = _time(rng.uniform(0.12, 0.25))
        pitch = rng.uniform(300, 600) * (1 + 0.5 * np.sin(np.pi * t / t[-1]))
        source = _buzz(pitch) + rng.normal(0, 1.5, len(t))
        barks.append(_formants(source, [(700, 200), (1500, 300)]) * np.abs(np.sin(np.pi * t / t[-1])) ** 0.4)
    return _joined(barks, [float(rng.uniform(0.1, 0.4)) for _ in barks])


KINDS: dict[str, Callable[[Generator], Samples]] = {
    make.__name__[1:]: make
    for make in (
        _cough,
        _throat_clearing,
        _laugh,
        _sneeze,
        _humming,
        _baby,
        _breath,
        _blow,
        _click,
        _keyboard,
        _door,
        _crockery,
        _hum,
        _music,
        _sung,
        _tones,
        _dtmf,
        _crackle,
        _wind,
        _steady,
        _lost_packets,
        _bark,
    )
}
"""What makes each kind, by its name."""
