"""Recorded people and things over the bot's speech, and neural voices. Part of `barge_in_sounds`.

The recordings are of two Debian packages, which are fetched and checked. Scratch (media under CC BY-SA 3.0) has coughs,
laughs, sneezes, a baby, doors, a dog. Hedgewars (sounds under the GNU FDL 1.3) has actors who hum, laugh, cough, groan,
and say "cut it out" and "leave me alone". Nothing of them is kept in this repository.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.hearing_callers import fetch_package
from piopiy_pipeline.services.tts.speech_synthesis import synthesize

__all__ = ["recorded", "spoken_by_neural_voice"]

Samples = NDArray[np.float64]
RATE = 16_000
LONGEST_S = 3.0
CACHE = Path(tempfile.gettempdir()) / "piopiy-hearing"
"""Where the packages are kept, as `benchmarks.hearing` keeps its own."""
PACKAGES = {
    "scratch": "36c582eb93110f64f06c4e685c41e933ccba2fa68db12f79b10bfe840b21fc10",
    "hedgewars-data": "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
}
SCRATCH = {
    "second": (
        *(
            "Cough-female",
            "Cough-male",
            "Laugh-female",
            "Laugh-male1",
            "Laugh-male2",
            "Laugh-male3",
            "Sneeze-female",
        ),
        *(
            "Sneeze-male",
            "Slurp",
            "FingerSnap",
            "BabyCry",
            "DoorClose",
            "Typing",
            "Footsteps-2",
            "Rattle",
            "Dog1",
        ),
        *("Cat", "Pop", "CarPassing"),
    ),
    "report": (
        *(
            "DoorCreak",
            "Footsteps-1",
            "Bird",
            "Crickets",
            "Dog2",
            "Duck",
            "Goose",
            "Horse",
            "Kitten",
            "Meow",
            "Owl",
        ),
        *("Rooster", "WolfHowl", "BellToll", "Plunge", "SewingMachine", "WaterRunning", "PartyNoise"),
    ),
}
ACTORS = {
    "second": ("British", "Default", "Mobster", "Pirate", "Surfer", "HillBilly", "Russian", "Singer"),
    "report": ("Default_uk", "Default_es", "Default_pl", "Default_ru", "Russian_pl"),
}
FOREIGNERS = {"second": ("Default_es", "Default_pl", "Default_ru", "Russian_pl"), "report": ACTORS["second"]}
SAID = {
    ("second", "noise"): ("Laugh", "Ooff1", "Ooff2", "Ooff3"),
    ("second", "noise", "foreign"): ("PoisonCough", "PoisonMoan"),
    ("second", "backchannel"): ("Hmm",),
    ("second", "interruption"): ("Cutitout", "Leavemealone"),
    ("report", "noise"): ("Laugh", "Ooff1", "Ooff2", "Ooff3"),
    ("report", "noise", "foreign"): ("Ow1", "Ow2", "Ow3", "Ow4"),
    ("report", "backchannel"): ("Hmm",),
}
"""What the actors of a part say, and what, wordless, those of other languages or of the other part do."""
TEXTS = {"Hmm": "hmm", "Cutitout": "Cut it out", "Leavemealone": "Leave me alone"}


def recorded(part: str, kind: str) -> Iterator[tuple[str, str, Samples]]:
    """Yield the name, the words and the samples of each recording of a part and a kind, at 16 kHz.

    Raises:
        OSError: A package could not be fetched, or is another one than expected.
    """
    scratch, hedgewars = (_fetched(package) for package in PACKAGES)
    if kind == "noise":
        for name in SCRATCH[part]:
            yield name, "", _read(next(scratch.rglob(f"{name}.*")))
    people = [(said, ACTORS[part]) for said in SAID.get((part, kind), ())]
    people += [(said, FOREIGNERS[part]) for said in SAID.get((part, kind, "foreign"), ())]
    for said, actors in people:
        for actor in actors:
            file = next(hedgewars.rglob(f"voices/{actor}/{said}.ogg"), None)
            if file is not None:
                yield f"{said} of {actor}", TEXTS.get(said, ""), _read(file)


def spoken_by_neural_voice(text: str, voice: str, speed: float) -> Samples:
    """Return what ``joe`` (piper's) or ``heart`` (hibari's) says, at 16 kHz.

    Raises:
        ImportError: `hibari-tts` is not installed.
    """
    if voice == "joe":
        return synthesize(text, RATE).astype(np.float64) / 32768
    return np.asarray(soxr.resample(_hibari()(text, speed=speed, seed=0), 24_000, RATE), np.float64)


@lru_cache(maxsize=1)
def _hibari() -> Any:
    return importlib.import_module("hibari").Hibari()  # an optional package without types


@lru_cache(maxsize=2)
def _fetched(package: str) -> Path:
    folder = CACHE / "human" / package
    if not (folder / "usr").exists():
        fetch_package(package, PACKAGES[package], folder)
    return folder


def _read(file: Path) -> Samples:
    samples, rate = soundfile.read(file, always_2d=True)
    mono = np.asarray(samples.mean(axis=1), np.float64)
    loud = np.flatnonzero(np.abs(mono) > 0.01 * np.abs(mono).max())
    mono = mono[loud[0] :][: int(LONGEST_S * rate)]
    return np.asarray(soxr.resample(mono, rate, RATE))
