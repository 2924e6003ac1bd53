"""Loads what callers say: recordings at the call's rate, with their words and the bounds of their speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import SpeechBounds, speech_bounds
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.services.tts.speech_synthesis import synthesize
from piopiy_pipeline.testing.virtual_time.time_module import real_time

__all__ = ["Recording", "Spoken", "check_no_file", "load_recording", "words_beside"]

Spoken = Path | str | NDArray[np.int16]
"""A WAV file, a sentence for a synthetic voice, or samples at the call's rate."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One utterance of a caller.

    Attributes:
        name: Its name in events and reports.
        pcm: PCM16 little-endian mono, at the rate of the call.
        text: Its words; empty if they are not known.
        speech: Where in it somebody speaks, in samples.
    """

    name: str
    pcm: bytes
    text: str
    speech: SpeechBounds


def load_recording(
    what: Spoken,
    rate: int,
    *,
    text: str | None = None,
    name: str | None = None,
    through: Callable[[NDArray[np.int16]], NDArray[np.int16]] | None = None,
) -> Recording:
    """Load an utterance. Files and sentences are kept for the next time.

    Args:
        what: The path of a WAV file, a sentence for a synthetic voice, or samples: int16 of shape ``[samples]``
            at `rate`.
        rate: The sample rate of the call in Hz.
        text: Its words. If they are not given, a file's words are in a text file beside it (``yes.txt`` for
            ``yes.wav``), and a sentence's are its own.
        name: Its name, instead of that of the file or the sentence itself.
        through: Changes the samples, for example to the level of a line.

    Raises:
        ValueError: It is not there, it cannot be read or spoken, or nobody speaks in it.
        SynthesisError: (a `ValueError`) There is no voice for a sentence, or it has failed.
    """
    if isinstance(what, Path):
        loaded = _from_file(what, rate)
    elif isinstance(what, str):
        loaded = _from_sentence(what, rate)
    else:
        loaded = _recording("samples", np.ascontiguousarray(what, np.int16), "", rate)
    if through is not None:
        pcm = through(np.frombuffer(loaded.pcm, np.int16))
        loaded = replace(
            loaded, pcm=pcm.astype("<i2").tobytes()
        )  # the speech is where it was, whatever the noise
    return replace(loaded, text=loaded.text if text is None else text, name=name or loaded.name)


def words_beside(path: Path) -> str:
    """Return the words of a recording from the text file beside it; "" if there is none.

    Raises:
        ValueError: The text file cannot be read.
    """
    beside = path.with_suffix(".txt")
    try:
        return beside.read_text(encoding="utf-8-sig").strip() if beside.is_file() else ""
    except OSError as error:
        raise ValueError(f"{beside}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{beside}: not in UTF-8: save it in that encoding") from None


def check_no_file(text: str, done: str) -> None:
    """Check that a sentence is not the name of a recording.

    Args:
        text: The sentence.
        done: What would be done with the name: it is read out, or typed.

    Raises:
        ValueError: It ends as the name of a WAV file does.
    """
    if text.strip().lower().endswith(".wav"):
        raise ValueError(f"{text!r} would be {done}: for a file, pass Path({text!r})")


@lru_cache(maxsize=256)
def _from_file(path: Path, rate: int) -> Recording:
    try:
        pcm = read_wav(path, rate)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    return _recording(path.name, pcm, words_beside(path), rate)


@lru_cache(maxsize=256)
def _from_sentence(text: str, rate: int) -> Recording:
    check_no_file(text, "read out")
    try:
        with real_time():  # it waits for a process, and a wait would move the clock of the simulation
            pcm = synthesize(text, rate)
    except ValueError as error:
        raise type(error)(f"{text!r} cannot be spoken: {error}") from None
    return _recording(text, pcm, text, rate)


def _recording(name: str, pcm: NDArray[np.int16], text: str, rate: int) -> Recording:
    speech = speech_bounds(pcm, rate)
    if speech is None:
        raise ValueError(f"{name}: there is nothing but silence in it")
    return Recording(name, pcm.astype("<i2").tobytes(), text, speech)
