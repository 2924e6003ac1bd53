"""What callers sound like while a bot speaks: noises, backchannels and interruptions, from a seed.

Noises are synthesised: coughs, clearings of a throat, sniffs, breaths, knocks, doors, keys, dishes, clicks of a
handset, traffic, a ring, music, and people talking in the room. Backchannels and interruptions are said by voices of
flite and espeak-ng, in "second" and "report" by neural voices, too, and by actors; there are recordings of people and
things as well (`barge_in_people`). All parts but "report" are what the policy was adjusted on: "first" and "second"
were once what was reported. "report" was made after the policy and read once. Parts share no seed, no recording and
hardly a phrase; a neural voice has another pace. Backchannels of the last two are frequent ones of telephone calls
(Jurafsky and others on Switchboard, 1998).
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from benchmarks.barge_in_people import recorded, spoken_by_neural_voice
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.services.tts.espeak_worker import EspeakVoice

__all__ = ["RATE", "Kind", "Part", "Sound", "bot_speech", "sounds"]

RATE = 16000
Part = Literal["tune", "check", "first", "second", "report"]
Kind = Literal["noise", "backchannel", "interruption"]
Samples = NDArray[np.float64]

BACKCHANNELS: dict[Part, tuple[str, ...]] = {
    "tune": ("mhm", "uh huh", "yeah", "okay", "right", "I see", "mm", "sure", "got it", "yup", "yeah yeah"),
    "check": (
        "mm hmm", "aha", "yep", "okay okay", "all right", "I understand", "hmm", "of course", "yeah sure", "great",
        "oh okay",
    ),
    "first": (
        "uhm hm", "mm mm", "yeah okay", "okay right", "exactly", "I see, yeah", "that's right", "ah", "cool",
        "right right", "makes sense",
    ),
    "second": (
        "uh-huh", "yeah", "right", "oh", "okay", "oh yeah", "huh", "sure", "really", "oh wow", "oh, I see",
        "that's true", "I know", "yeah, okay, right",
    ),
    "report": (
        "mm-hmm", "oh okay", "yeah, I see", "oh really", "that's great", "no kidding", "of course", "uh-huh, yeah",
        "yep, okay", "I bet", "alright then", "oh, nice",
    ),
}  # fmt: skip
INTERRUPTIONS: dict[Part, tuple[str, ...]] = {
    "tune": (
        "No, wait", "Stop", "Hang on a second", "That is not what I asked for", "Can I speak to a person please",
        "Actually I need it for Saturday", "What time do you close today", "Sorry, could you say that again",
    ),
    "check": (
        "No, no, wait", "Please stop", "Hold on", "I would rather have the other one", "I want to talk to somebody",
        "But I said five people", "How much does it cost", "Excuse me, what was the address",
        "My name is spelled differently",
    ),
    "first": (
        "Wait, wait", "No, that is wrong", "Just a second", "I did not order that", "Let me talk to your manager",
        "Make it six people instead", "Is there parking nearby", "Pardon me, which day was that", "Enough, thank you",
    ),
    "second": (
        "Stop, please", "Wait a moment", "No, no", "Hold on a second", "Sorry, what was that", "On Saturday instead",
        "Six people, not five", "I need an agent", "Can you repeat that", "That's the wrong address",
    ),
    "report": (
        "Wait, wait, wait", "No, not that one", "Excuse me", "Hang on", "I don't want that", "Can I get a refund",
        "What about Tuesday", "Four o'clock", "Hello, are you there", "Change it to five",
    ),
}  # fmt: skip
FLITE: dict[Part, tuple[str, ...]] = {
    "tune": ("slt", "rms"),
    "check": ("awb", "kal16"),
    "first": ("kal",),
    "report": (),
}
ESPEAK: dict[Part, tuple[str, ...]] = {
    "tune": ("en-us", "en-us+f2", "en-gb-x-rp+m3"),
    "check": ("en-gb-x-rp", "en-us+f4", "en-us+m7"),
    "first": ("en-gb-scotland", "en-us+f3", "en-us+m1", "en-029"),
    "second": ("en-us+f5", "en-gb-x-gbcwmd", "en-us+m4"),
    "report": ("en-us+f1", "en-us+m6"),
}
NEURAL: dict[Part, tuple[tuple[str, float], ...]] = {
    "tune": (), "check": (), "first": (), "second": (("heart", 0.95), ("joe", 1.0), ("heart", 1.15), ("joe", 1.0)),
    "report": (("heart", 0.85), ("joe", 1.0), ("heart", 1.05), ("heart", 1.25)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound of the caller: its samples begin with its first sound and end with its last.

    Attributes:
        kind: What it is.
        name: Which one.
        pcm: int16 of shape ``[samples]`` at `RATE`.
        text: What is said, or "".
    """

    kind: Kind
    name: str
    pcm: NDArray[np.int16]
    text: str = ""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


# ------------------------------------------------------------------ voices


@lru_cache(maxsize=512)
def flite(text: str, voice: str) -> bytes:
    """Return what a voice of flite says, PCM16 mono at `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(wav)], check=True, timeout=60)
        return read_wav(wav, RATE).tobytes()


@lru_cache(maxsize=512)
def espeak(text: str, voice: str, words_a_minute: int) -> bytes:
    """Return what a voice of espeak-ng says, PCM16 mono at `RATE`."""
    pcm, _ = _espeak().speak(text, voice, words_a_minute, 50, RATE)
    return pcm


@lru_cache(maxsize=1)
def _espeak() -> EspeakVoice:
    return EspeakVoice()


def bot_speech(seconds: float) -> NDArray[np.int16]:
    """Return speech of a bot, without long pauses, int16 at `RATE`."""
    text = (
        "We have two tables left on Friday evening, one by the window and another one out on the terrace under the old "
        "lime trees, where it is quieter and where you can see the whole garden with the fountain in its middle. "
    )
    once = np.frombuffer(flite(text, "slt"), np.int16)
    return np.tile(once, int(seconds * RATE / len(once)) + 1)[: int(seconds * RATE)]


# ------------------------------------------------------------------ noises


def _noise(rng: np.random.Generator, seconds: float, low: float, high: float) -> Samples:
    """Return noise of a band of frequencies, with a peak of 1."""
    n = max(2, int(seconds * RATE))
    spectrum = np.fft.rfft(rng.standard_normal(n))
    at = np.fft.rfftfreq(n, 1 / RATE)
    spectrum *= 1 / (1 + (low / np.maximum(at, 1)) ** 4) / (1 + (at / high) ** 4)
    out = np.fft.irfft(spectrum, n)
    return np.asarray(out / np.abs(out).max())


def _shape(n: int, attack_s: float, decay_s: float) -> Samples:
    t = np.arange(n) / RATE
    shape: Samples = np.minimum(t / attack_s, 1) * np.exp(-np.maximum(t - attack_s, 0) / decay_s)
    return shape


def _burst(
    rng: np.random.Generator, seconds: float, low: float, high: float, attack_s: float, decay_s: float
) -> Samples:
    sound = _noise(rng, seconds, low, high)
    return sound * _shape(len(sound), attack_s, decay_s)


def _join(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def _quiet(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE))


def _voiced(rng: np.random.Generator, seconds: float, pitch: float, formants: tuple[float, ...]) -> Samples:
    """Return a buzz of a throat through resonances."""
    n = int(seconds * RATE)
    jitter = np.cumsum(rng.standard_normal(n)) * 0.02
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.02 * np.sin(np.arange(n) / 900)) / RATE) + jitter * 0.1
    source = np.sign(np.sin(phase)) * 0.3 + rng.standard_normal(n) * 0.4
    spectrum = np.fft.rfft(source)
    at = np.fft.rfftfreq(n, 1 / RATE)
    gain = sum(1 / (1 + ((at - f) / 180) ** 2) for f in formants)
    out = np.fft.irfft(spectrum * gain, n)
    return np.asarray(out / np.abs(out).max())


def _cough(rng: np.random.Generator) -> Samples:
    parts = []
    for _ in range(rng.integers(1, 4)):
        burst = _burst(rng, 0.06, 500, 5000, 0.004, 0.05)
        tail = _voiced(rng, rng.uniform(0.1, 0.25), rng.uniform(110, 260), (600, 1300, 2500)) * 0.6
        tail *= _shape(len(tail), 0.01, 0.09)
        parts += [burst, tail, _quiet(rng.uniform(0.08, 0.25))]
    return _join(*parts[:-1])


def _throat(rng: np.random.Generator) -> Samples:
    sound = _voiced(rng, rng.uniform(0.25, 0.5), rng.uniform(70, 140), (500, 1000, 2300))
    rough = 0.6 + 0.4 * np.sign(np.sin(2 * np.pi * rng.uniform(22, 40) * np.arange(len(sound)) / RATE))
    return sound * rough * _shape(len(sound), 0.03, 0.3)


def _sniff(rng: np.random.Generator) -> Samples:
    return _burst(rng, rng.uniform(0.15, 0.4), 1500, 6000, 0.08, 0.15)


def _breath(rng: np.random.Generator) -> Samples:
    return _burst(rng, rng.uniform(0.5, 1.2), 300, 3000, 0.25, 0.4) * 0.5


def _sneeze(rng: np.random.Generator) -> Samples:
    ah = _voiced(rng, 0.25, rng.uniform(150, 250), (700, 1200, 2600)) * 0.4
    return _join(ah, _burst(rng, 0.35, 1000, 6500, 0.005, 0.12))


def _door(rng: np.random.Generator) -> Samples:
    return _burst(rng, 0.5, 60, rng.uniform(400, 900), 0.003, rng.uniform(0.08, 0.16))


def _knocks(rng: np.random.Generator) -> Samples:
    parts: list[Samples] = []
    for _ in range(rng.integers(2, 5)):
        parts += [_burst(rng, 0.08, 150, 1500, 0.002, 0.025), _quiet(rng.uniform(0.12, 0.2))]
    return _join(*parts[:-1])


def _keys(rng: np.random.Generator) -> Samples:
    parts: list[Samples] = []
    for _ in range(rng.integers(5, 14)):
        parts += [_burst(rng, 0.03, 1200, 7000, 0.001, 0.008), _quiet(rng.uniform(0.05, 0.2))]
    return _join(*parts[:-1])


def _dishes(rng: np.random.Generator) -> Samples:
    n = int(0.8 * RATE)
    t = np.arange(n) / RATE
    tones = [
        np.sin(2 * np.pi * f * t) * np.exp(-t / rng.uniform(0.05, 0.25)) for f in rng.uniform(1800, 5200, 6)
    ]
    hit = np.zeros(n)
    hit[:800] = _burst(rng, 0.05, 1500, 7000, 0.001, 0.01)
    return np.asarray(hit + sum(tones) * 0.2)


def _handset(rng: np.random.Generator) -> Samples:
    return _join(
        _burst(rng, 0.05, 100, 3500, 0.001, 0.015), _quiet(0.1), _burst(rng, 0.15, 200, 2500, 0.02, 0.05)
    )


def _traffic(rng: np.random.Generator) -> Samples:
    return _burst(rng, rng.uniform(1.5, 3.0), 60, 900, 0.7, 0.8)


def _horn(rng: np.random.Generator) -> Samples:
    n = int(rng.uniform(0.2, 0.7) * RATE)
    t = np.arange(n) / RATE
    horn = sum(np.sign(np.sin(2 * np.pi * f * t)) for f in (rng.uniform(390, 430), rng.uniform(480, 520)))
    return np.asarray(horn * _shape(n, 0.02, 2.0) * 0.4)


def _ring(rng: np.random.Generator) -> Samples:
    n = int(0.9 * RATE)
    t = np.arange(n) / RATE
    return np.asarray(np.sin(2 * np.pi * np.where(np.sin(2 * np.pi * 20 * t) > 0, 1318, 1567) * t) * 0.5)


def _music(rng: np.random.Generator) -> Samples:
    parts: list[Samples] = []
    for _ in range(rng.integers(3, 6)):
        n = int(rng.uniform(0.25, 0.5) * RATE)
        t = np.arange(n) / RATE
        root = rng.choice([220.0, 246.9, 261.6, 293.7, 329.6])
        chord = sum(np.sin(2 * np.pi * root * r * t) / (1 + i) for i, r in enumerate((1, 1.25, 1.5, 2, 3)))
        parts.append(np.asarray(chord * _shape(n, 0.02, 0.4)))
    return _join(*parts) * 0.4


NOISES: dict[str, Callable[[np.random.Generator], Samples]] = {
    "cough": _cough, "throat": _throat, "sniff": _sniff, "breath": _breath, "sneeze": _sneeze, "door": _door,
    "knocks": _knocks, "keys": _keys, "dishes": _dishes, "handset": _handset, "traffic": _traffic, "horn": _horn,
    "ring": _ring, "music": _music,
}  # fmt: skip


# ------------------------------------------------------------------ the corpus


def _trimmed(samples: Samples, dbfs: float) -> NDArray[np.int16]:
    """Return the sound without silence around it, its loudest 30 ms at `dbfs`."""
    block = RATE * 30 // 1000
    padded = np.pad(samples, (0, -len(samples) % block))
    rms = np.sqrt((padded.reshape(-1, block) ** 2).mean(axis=1))
    samples = samples * 10 ** (dbfs / 20) / max(rms.max(), 1e-9)
    loud = np.flatnonzero(np.abs(samples) > 10 ** (-45 / 20))
    samples = samples[loud[0] : loud[-1] + 1] if len(loud) else samples
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16)


def _said(text: str, part: Part, n: int) -> tuple[str, Samples]:
    """Return the n-th voice's name, and how it says a text."""
    voices = [("flite", v) for v in FLITE[part]] + [("espeak", v) for v in ESPEAK[part]]
    neural = NEURAL[part]
    if (at := n % (len(voices) + len(neural))) >= len(voices):
        name, speed = neural[at - len(voices)]
        return f"neural {name}", spoken_by_neural_voice(text, name, speed)
    kind, voice = voices[at]
    pace = (150, 175, 200)[n // len(voices) % 3]
    pcm = flite(text, voice) if kind == "flite" else espeak(text, voice, pace)
    return f"{kind} {voice}", np.frombuffer(pcm, np.int16).astype(np.float64) / 32768


def sounds(part: Part, kind: Kind, count: int) -> list[Sound]:
    """Return so many sounds of one kind. They are the same in every run.

    Levels are from -30 to -15 dBFS, as callers' voices are.

    Args:
        part: Which part of the corpus.
        kind: ``noise``, ``backchannel`` or ``interruption``.
        count: How many.
    """
    rng = np.random.default_rng(
        [
            {"tune": 1, "check": 2, "first": 3, "second": 4, "report": 5}[part],
            {"noise": 1, "backchannel": 2, "interruption": 3}[kind],
        ]
    )
    made: list[Sound] = []
    if part in ("second", "report"):
        made = [
            Sound(kind, name, _trimmed(pcm, rng.uniform(-30, -15)), text)
            for name, text, pcm in recorded(part, kind)
        ]
    for n in range(count - len(made)):
        level = rng.uniform(-30, -15)
        if kind == "noise":
            name = list(NOISES)[n % len(NOISES)]
            made.append(Sound(kind, name, _trimmed(NOISES[name](rng), level)))
            continue
        texts = (BACKCHANNELS if kind == "backchannel" else INTERRUPTIONS)[part]
        text = texts[n % len(texts)]
        voice, samples = _said(text, part, n // len(texts) + n)
        pace = rng.uniform(0.9, 1.15)
        samples = soxr.resample(samples, RATE, RATE / pace)
        made.append(Sound(kind, f"{text} ({voice})", _trimmed(np.asarray(samples), level), text))
    return made[:count]
