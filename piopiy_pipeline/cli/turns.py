"""The script of a call: recordings and sentences, made into utterances at the call's rate."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.speech import speech_bounds
from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.cli.caller import Utterance
from piopiy_pipeline.cli.errors import BadInput, Failed

__all__ = ["find_voice", "load_script", "synthesize"]

MAX_SENTENCE = 1000
_SYNTHESIS_S = 30.0
_FLITE_VOICE = "rms"


def load_script(
    wavs: Sequence[Path], sentences: Sequence[str], rate: int, *, telephone: bool
) -> list[Utterance]:
    """The recordings and then the sentences, as utterances at `rate` Hz.

    With `telephone` each goes through G.711 µ-law. Raises `BadInput` for what cannot be spoken.
    """
    try:
        turns = [(path.name, read_wav(path, rate)) for path in wavs]
    except WavError as error:
        raise BadInput(str(error)) from None
    turns += [(_quoted(text), synthesize(text, rate)) for text in sentences]
    return [_utterance(name, pcm, rate, telephone) for name, pcm in turns]


def _utterance(name: str, pcm: NDArray[np.int16], rate: int, telephone: bool) -> Utterance:
    if telephone:
        pcm = ulaw_decode(ulaw_encode(pcm))
    speech = speech_bounds(pcm, rate)
    if speech is None:
        raise BadInput(f"{name}: there is nothing but silence in it")
    return Utterance(name, pcm, speech)


def find_voice() -> Path | None:
    """The program that speaks sentences: flite, which sounds more like a caller, else espeak-ng."""
    for name in ("flite", "espeak-ng", "espeak"):
        if found := shutil.which(name):
            return Path(found)
    return None


def synthesize(text: str, rate: int) -> NDArray[np.int16]:
    """`text`, spoken by flite if it is on PATH, else by espeak-ng, as mono PCM at `rate` Hz.

    Raises `BadInput` when there is nothing to say, `Failed` when there is no voice to say it.
    """
    if not text.strip():
        raise BadInput("--say: there is nothing to say")
    if len(text) > MAX_SENTENCE:
        raise BadInput(f"--say: longer than {MAX_SENTENCE} characters; cut it into turns")
    with tempfile.TemporaryDirectory(prefix="piopiy-say-") as folder:
        wav = Path(folder) / "say.wav"
        voice = find_voice()
        if voice is None:
            raise Failed(_NO_VOICE)
        if voice.name == "flite":
            # flite takes a text without a space for the name of a file.
            _run([str(voice), "-voice", _FLITE_VOICE, "-t", f"{text} ", "-o", str(wav)], None)
        else:
            _run([str(voice), "-w", str(wav), "--stdin"], text)
        try:
            return read_wav(wav, rate)
        except WavError as error:
            raise Failed(f"--say: the voice made no sound for {_quoted(text)} ({error})") from None


_NO_VOICE = "--say needs a voice: install flite or espeak-ng (apt-get install flite, brew install espeak-ng)"


def _run(command: list[str], text: str | None) -> None:
    name = Path(command[0]).name
    try:
        subprocess.run(command, input=text, text=True, capture_output=True, check=True, timeout=_SYNTHESIS_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"--say: {name} did not finish within {_SYNTHESIS_S:g} s") from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"--say: {name} failed: {' '.join(error.stderr.split())[:200]}") from None
    except OSError as error:
        raise Failed(f"--say: {name} cannot be run ({error.strerror})") from None


def _quoted(text: str, limit: int = 40) -> str:
    short = " ".join(text.split())
    return f"“{short if len(short) <= limit else short[: limit - 1] + '…'}”"
