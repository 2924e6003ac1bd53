"""The callers of `benchmarks/hearing.py`: synthetic voices and human recordings, at 16 kHz.

The bot's own voice is never a caller. Human speech comes from two Debian packages: the prompts of Asterisk, among
them numbers, weekdays, dates and times that are joined into answers, and the readings with which pocketsphinx is
tested. What was spoken or fetched once is kept in a cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.services.workers.worker_processes import Worker
from scripts.make_recordings import speak

__all__ = ["HUMAN_PACKAGES", "RATE", "VOICES", "HumanRecordings", "Speakers", "Voice", "fetch_package"]

Pcm = NDArray[np.int16]
RATE = 16_000
"""Sample rate in Hz of every caller before the line."""
LOUDNESS_DBFS = -23.0
"""RMS of what is spoken."""

HUMAN_PACKAGES = {
    "asterisk-core-sounds-en-g722": "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
    "pocketsphinx-testdata": "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
}
"""Debian packages with human speech, and their SHA-256: prompts of one speaker, and readings of several."""
_ENDINGS = (".g722", ".wav", ".raw")
_JOINT_S = 0.04  # the pause between two recordings that are joined


@dataclass(frozen=True, slots=True)
class Voice:
    """A synthetic voice: its kind (`flite`, `hibari` or `espeak`), its name there, and how it speaks.

    `speed` is 1.0 for 160 words a minute; flite does not use it. `pitch` is espeak-ng's, 0 to 99.
    """

    kind: str
    name: str
    speed: float = 1.0
    pitch: int = 50


VOICES = (
    Voice("flite", "slt"),
    Voice("hibari", "heart"),
    Voice("flite", "rms"),
    Voice("espeak", "en-us+f3", 0.95, 55),
    Voice("flite", "awb"),
    Voice("hibari", "heart", 1.15),
    Voice("flite", "kal16"),
    Voice("espeak", "en-gb-x-rp", 1.05, 40),
    Voice("flite", "slt"),
    Voice("hibari", "heart", 0.9),
    Voice("flite", "rms"),
    Voice("espeak", "en-us+m3", 0.85, 35),
)
"""Who speaks, in turn: a sentence keeps its voice over all lines. Half of them are flite's; hibari's is a neural
voice, the most natural one here."""


class Speakers:
    """Speaks texts, and keeps what was spoken. It owns espeak-ng's process until `close`.

    Args:
        cache: The folder in which it keeps the audio.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache / "spoken"
        self._cache.mkdir(parents=True, exist_ok=True)
        self._espeak: Worker | None = None
        self._hibari: Any = None

    def close(self) -> None:
        """End espeak-ng's process."""
        if self._espeak is not None:
            self._espeak.close()

    def say(self, text: str, voice: Voice) -> Pcm:
        """Return what a voice says: int16 of shape ``[n]`` at 16 kHz, trimmed and at `LOUDNESS_DBFS`.

        Raises:
            SystemExit: flite is not installed.
            ImportError: hibari-tts is not installed.
        """
        key = hashlib.sha256(f"{voice}|{text}".encode()).hexdigest()[:24]
        file = self._cache / f"{key}.npy"
        if file.exists():
            return np.asarray(np.load(file), np.int16)
        match voice.kind:
            case "flite":
                pcm = speak(text, voice.name)
            case "hibari":
                pcm = self._say_with_hibari(text, voice)
            case _:
                pcm = self._say_with_espeak(text, voice)
        pcm = level(trim(pcm))
        waiting = file.with_suffix(f".{os.getpid()}.npy")
        np.save(waiting, pcm)
        waiting.rename(file)
        return pcm

    def _say_with_hibari(self, text: str, voice: Voice) -> Pcm:
        if self._hibari is None:
            self._hibari = importlib.import_module("hibari").Hibari()  # an optional package without types
        made = self._hibari(text, speed=voice.speed, seed=0)  # float32 at 24 kHz
        return np.asarray(soxr.resample(made, 24_000, RATE) * 32767, np.int16)

    def _say_with_espeak(self, text: str, voice: Voice) -> Pcm:
        if self._espeak is None:
            self._espeak = Worker("piopiy_pipeline.services.tts.espeak_worker", name="hearing-espeak")
        pace = round(160 * voice.speed)
        made, _ = self._espeak.request("speak", text, voice.name, pace, voice.pitch, RATE)
        return np.frombuffer(made, np.int16)


class HumanRecordings:
    """Human speakers, whose recordings Debian packages: they are fetched and checked.

    Args:
        cache: The folder for the packages and what is in them.

    Raises:
        OSError: A package could not be fetched, or is not the one whose hash stands here.
    """

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "human"
        for package, digest in HUMAN_PACKAGES.items():
            if not (self._folder / package / "usr").exists():
                fetch_package(package, digest, self._folder / package)
        self._roots = [next(self._folder.rglob(name)).parent for name in ("vm-goodbye.g722", "goforward.raw")]

    def say(self, files: str) -> Pcm:
        """Return recordings, joined: int16 of shape ``[n]`` at 16 kHz.

        Args:
            files: Their names without ending, separated by spaces.
        """
        pause = np.zeros(int(_JOINT_S * RATE), np.int16)
        parts: list[Pcm] = []
        for name in files.split():
            files_of_it = (root / f"{name}{ending}" for root in self._roots for ending in _ENDINGS)
            file = next(file for file in files_of_it if file.exists())
            parts += [trim(_decode(file)), pause]
        return level(np.concatenate(parts[:-1]))


def fetch_package(package: str, digest: str, folder: Path) -> None:
    """Fetch a Debian package and unpack it, if it is the one whose SHA-256 is given. What is unpacked is whole, or not
    there.

    Raises:
        OSError: It could not be fetched, or is another one.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise OSError(f"the human recordings need {tool} (Debian package {package})")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "download", package]
    subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=120)
    file = next(folder.glob("*.deb"), None)
    if file is None:
        raise OSError(f"apt-get download {package} brought nothing")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != digest:
        file.unlink()
        raise OSError(f"{file.name} is another package than expected: its SHA-256 is {found}")
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=folder) as unpacking:
        subprocess.run(["dpkg-deb", "-x", str(file.absolute()), unpacking], check=True, timeout=60)
        if not (folder / "usr").exists():  # else another process was quicker
            Path(unpacking, "usr").rename(folder / "usr")


def _decode(path: Path) -> Pcm:
    if path.suffix == ".wav":
        return read_wav(path, RATE)
    if path.suffix == ".raw":
        return np.frombuffer(path.read_bytes(), "<i2").astype(np.int16)
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.asarray(np.concatenate(frames), np.int16)


def trim(pcm: Pcm) -> Pcm:
    """Return the speech without the silence around it."""
    bounds = speech_bounds(pcm, RATE)
    if bounds is None:
        return pcm
    margin = RATE // 20
    return pcm[max(0, bounds.start - margin) : bounds.end + margin]


def level(pcm: Pcm) -> Pcm:
    """Return the speech at `LOUDNESS_DBFS`, measured where there is sound."""
    samples = pcm.astype(np.float64)
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    powers = (blocks**2).mean(axis=1)
    loud = powers[powers > powers.max() / 1000]
    gain = 10 ** (LOUDNESS_DBFS / 20) * 32768 / np.sqrt(loud.mean())
    return np.asarray(np.clip(samples * gain, -32768, 32767), np.int16)
