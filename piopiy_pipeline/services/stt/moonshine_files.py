"""Where the files of a moonshine model are: inside the wheel of moonshine-voice, where `moonshine_download` puts
them, or in that package's cache.

The package is looked up and never imported: importing it takes 0.1 s and loads what downloads models. Nothing
is fetched here, because a call must not wait for a download.
"""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_dir

from piopiy_pipeline.services.stt.moonshine_download import DOWNLOADED

__all__ = [
    "SPACE",
    "SpeechModelMissing",
    "common_words",
    "find_speech_model",
    "language_code",
    "read_tokens",
]

FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
"""What a folder must have. The streaming models of the package are made of other files and are not used."""

SPACE = "▁"
"""What stands for the space before a word in a token."""

_PACKAGE = "moonshine_voice"


class SpeechModelMissing(RuntimeError):
    """No model of that language is installed. The message says what to run."""


def language_code(language: str) -> str:
    """Return the code of a language without a region: "en" of "en-GB", "en_gb" and "EN". There is one model of each."""
    return language.replace("_", "-").partition("-")[0].lower()


def find_speech_model(language: str) -> Path:
    """Return the folder of a language's model.

    Args:
        language: Its code, such as "en" or "es". A region after it ("en-GB") does not matter.

    Raises:
        SpeechModelMissing: There is none. The package has models of other languages than English
            under a licence of their own, for its user to fetch with the package's command.
    """
    code = language_code(language)
    downloaded = [DOWNLOADED] if DOWNLOADED.name == f"tiny-{code}" else []
    for folder in (*_bundled(code), *downloaded, *_fetched(code)):
        if all((folder / name).is_file() for name in FILES):
            return folder
    if code == "en":
        raise SpeechModelMissing(
            "there is no speech model: pip install 'piopiy-pipeline[moonshine]' or, where moonshine-voice has no "
            "wheel with one, python -m piopiy_pipeline.services.stt.moonshine_download"
        )
    raise SpeechModelMissing(
        f"no model of moonshine hears {language!r} here: with moonshine-voice installed, fetch one with "
        f"`python -m moonshine_voice.download --stt --language {code}`"
    )


def _bundled(code: str) -> list[Path]:
    spec = importlib.util.find_spec(_PACKAGE)
    places = (spec.submodule_search_locations or ()) if spec else ()
    return [Path(place) / "assets" / f"{size}-{code}" for place in places for size in ("base", "tiny")]


def _fetched(code: str) -> list[Path]:
    """Return the folders of the package's cache: `<host>/model/<name>/quantized/<name>`."""
    cache = Path(os.environ.get(f"{_PACKAGE.upper()}_CACHE") or user_cache_dir(_PACKAGE))
    return sorted(cache.glob(f"*/model/*-{code}/quantized/*-{code}"))


def common_words(language: str) -> frozenset[str]:
    """Return the words in lower case that a model has a token for: the common ones of its language.

    Args:
        language: Its code.

    Raises:
        SpeechModelMissing: There is no model of it.
    """
    return _common_words(find_speech_model(language) / "tokenizer.bin")


@lru_cache(maxsize=8)  # it takes 0.1 s, and each call with hot words asks
def _common_words(file: Path) -> frozenset[str]:
    data = file.read_bytes()
    words = (token.decode("utf-8", "ignore") for token in read_tokens(data))
    return frozenset(
        word[1:] for word in words if word.startswith(SPACE) and word[1:].isalpha() and word.islower()
    )


def read_tokens(data: bytes) -> list[bytes]:
    """Read a tokenizer file: each token's length, in one byte or in two if it is 128 or more, and its bytes."""
    tokens: list[bytes] = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += 128 * data[at] - 128
            at += 1
        tokens.append(data[at : at + length])
        at += length
    return tokens
