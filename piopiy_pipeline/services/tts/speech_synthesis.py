"""Speaks sentences for callers: with flite if it is installed, else with espeak-ng of the ``offline`` extra.

For tests, simulations and `piopiy call --say`, where a caller needs some voice. A bot's voice is a TTS service.
Nothing here needs pipecat.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.wav import WavError, read_wav

__all__ = ["SynthesisError", "find_voice", "synthesize"]

MAX_CHARACTERS = 1000
_SYNTHESIS_S = 30.0
_FLITE_VOICE = "slt"
_ESPEAK_VOICE, _ESPEAK_WORDS_A_MINUTE, _ESPEAK_PITCH = "en-us", 150, 50


class SynthesisError(ValueError):
    """There is no voice, or it has failed. What was to be said is not at fault."""


def find_voice() -> str | None:
    """Return the voice: ``"flite"``, which sounds more like a caller, else ``"espeak-ng"``; None without both."""
    if shutil.which("flite"):
        return "flite"
    return "espeak-ng" if find_spec("espeakng_loader") is not None else None


def synthesize(text: str, rate: int) -> NDArray[np.int16]:
    """Speak a sentence. Blocks, for up to half a minute.

    Args:
        text: What to say, in English; at most 1000 characters.
        rate: The sample rate of the result in Hz.

    Returns:
        Mono PCM, int16 of shape ``[samples]``.

    Raises:
        ValueError: There is nothing to say, or too much.
        SynthesisError: There is no voice here, or it has failed.
    """
    if not text.strip():
        raise ValueError("there is nothing to say")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS} characters; cut it into turns")
    match find_voice():
        case "flite":
            return _flite(text, rate)
        case "espeak-ng":
            return _espeak(text, rate)
        case _:
            raise SynthesisError(
                "there is no voice; install flite (apt-get install flite, brew install flite),"
                " or pip install 'piopiy-pipeline[offline]'"
            )


def _flite(text: str, rate: int) -> NDArray[np.int16]:
    with tempfile.TemporaryDirectory(prefix="piopiy-say-") as folder:
        wav = Path(folder) / "say.wav"
        # flite takes a text without a space for the name of a file.
        _run(["flite", "-voice", _FLITE_VOICE, "-t", f"{text} ", "-o", str(wav)])
        try:
            return read_wav(wav, rate)
        except WavError as error:
            raise SynthesisError(f"flite made no sound ({error})") from None


def _espeak(text: str, rate: int) -> NDArray[np.int16]:
    """Speak in the worker process that the bots' voice has, because espeak-ng's state is global."""
    from piopiy_pipeline.services.workers.worker_processes import (  # flite needs none of it
        Worker,
        WorkerFailed,
        WorkerLost,
    )

    worker = Worker("piopiy_pipeline.services.tts.espeak_worker", name="espeak")
    try:
        pcm, _ = worker.request("speak", text, _ESPEAK_VOICE, _ESPEAK_WORDS_A_MINUTE, _ESPEAK_PITCH, rate)
    except (WorkerFailed, WorkerLost) as error:
        raise SynthesisError(str(error)) from None
    finally:
        worker.close()
    return np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)


def _run(command: list[str]) -> None:
    name = command[0]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SYNTHESIS_S)
    except subprocess.TimeoutExpired:
        raise SynthesisError(f"{name} did not finish within {_SYNTHESIS_S:g} s") from None
    except subprocess.CalledProcessError as error:
        raise SynthesisError(f"{name} failed: {' '.join(error.stderr.split())[:200]}") from None
    except OSError as error:
        raise SynthesisError(f"{name} cannot be run ({error.strerror})") from None
