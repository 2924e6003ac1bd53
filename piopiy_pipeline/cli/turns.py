"""The script of a call: recordings and sentences, made into utterances at the call's rate."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.cli.caller import ScriptedUtterance
from piopiy_pipeline.cli.errors import BadInput, Failed

__all__ = ["find_voice", "load_script", "synthesize"]

MAX_SENTENCE = 1000
_SYNTHESIS_S = 30.0
_FLITE_VOICE = "rms"
_ESPEAK_VOICE, _ESPEAK_WORDS_A_MINUTE, _ESPEAK_PITCH = "en-us", 150, 50


def load_script(
    wavs: Sequence[Path], sentences: Sequence[str], rate: int, *, telephone: bool
) -> list[ScriptedUtterance]:
    """The recordings and then the sentences, as utterances at `rate` Hz.

    With `telephone` each goes through G.711 µ-law. Raises `BadInput` for what cannot be spoken.
    """
    try:
        turns = [(path.name, read_wav(path, rate)) for path in wavs]
    except WavError as error:
        raise BadInput(str(error)) from None
    turns += [(_quoted(text), synthesize(text, rate)) for text in sentences]
    return [_utterance(name, pcm, rate, telephone) for name, pcm in turns]


def _utterance(name: str, pcm: NDArray[np.int16], rate: int, telephone: bool) -> ScriptedUtterance:
    if telephone:
        pcm = ulaw_decode(ulaw_encode(pcm))
    speech = speech_bounds(pcm, rate)
    if speech is None:
        raise BadInput(f"{name}: there is nothing but silence in it")
    return ScriptedUtterance(name, pcm, speech)


def find_voice() -> str | None:
    """Who speaks sentences: ``flite``, which sounds more like a caller, else ``espeak-ng`` of the extra."""
    if shutil.which("flite"):
        return "flite"
    return "espeak-ng" if find_spec("espeakng_loader") is not None else None


def synthesize(text: str, rate: int) -> NDArray[np.int16]:
    """`text`, spoken by flite if it is on PATH, else by espeak-ng, as mono PCM at `rate` Hz.

    Raises `BadInput` when there is nothing to say, `Failed` when there is no voice to say it.
    """
    if not text.strip():
        raise BadInput("--say: there is nothing to say")
    if len(text) > MAX_SENTENCE:
        raise BadInput(f"--say: longer than {MAX_SENTENCE} characters; cut it into turns")
    match find_voice():
        case "flite":
            return _flite(text, rate)
        case "espeak-ng":
            return _espeak(text, rate)
        case _:
            raise Failed(
                "--say needs a voice: install flite (apt-get install flite, brew install flite),"
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
            raise Failed(f"--say: flite made no sound for {_quoted(text)} ({error})") from None


def _espeak(text: str, rate: int) -> NDArray[np.int16]:
    """In the worker process that the bots' voice has: espeak-ng's state is global."""
    from piopiy_pipeline.services.workers import Worker, WorkerFailed, WorkerLost

    worker = Worker("piopiy_pipeline.services.espeak_worker", name="espeak")
    try:
        pcm, _ = worker.request("speak", text, _ESPEAK_VOICE, _ESPEAK_WORDS_A_MINUTE, _ESPEAK_PITCH, rate)
    except (WorkerFailed, WorkerLost) as error:
        raise Failed(f"--say: {error}") from None
    finally:
        worker.close()
    return np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)


def _run(command: list[str]) -> None:
    name = command[0]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SYNTHESIS_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"--say: {name} did not finish within {_SYNTHESIS_S:g} s") from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"--say: {name} failed: {' '.join(error.stderr.split())[:200]}") from None
    except OSError as error:
        raise Failed(f"--say: {name} cannot be run ({error.strerror})") from None


def _quoted(text: str, limit: int = 40) -> str:
    short = " ".join(text.split())
    return f"“{short if len(short) <= limit else short[: limit - 1] + '…'}”"
