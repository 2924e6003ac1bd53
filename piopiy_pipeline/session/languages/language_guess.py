"""Which language a text is in, by py3langid (BSD, 5 MB, the extra `languages`). It loads off the loop."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

from piopiy_pipeline.offload import offload
from piopiy_pipeline.session.languages.language_evidence import LanguageGuess
from piopiy_pipeline.session.languages.spoken_language import WIDELY_SPOKEN

__all__ = ["guess_language", "is_installed", "load_guesser"]

MAX_CHARACTERS = 400
"""So much of a turn is looked at, which bounds what a guess takes: docs/languages.md measures it."""
_guessers: list[Any] = []


def is_installed() -> bool:
    """Return whether the extra `languages` is there."""
    return find_spec("py3langid") is not None


async def load_guesser() -> None:
    """Load the model, once in a process."""
    if not _guessers and is_installed():
        guesser = await offload(_load)
        if not _guessers:
            _guessers.append(guesser)


def _load() -> Any:
    langid = importlib.import_module("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def guess_language(text: str, languages: Collection[str]) -> LanguageGuess | None:
    """Return what a text is in. None: nobody knows, or the model is not loaded.

    Args:
        text: What was said.
        languages: The languages of the bot. The text may be in any other that is widely spoken, too: among those of a
            bot, Italian would be French.
    """
    if not _guessers:
        return None
    among = {
        language: float(likelihood)
        for language, likelihood in _guessers[0].rank(text[-MAX_CHARACTERS:])
        if language in languages or language in WIDELY_SPOKEN
    }
    total = sum(among.values())
    if not total:
        return None
    best = max(among, key=lambda language: among[language])
    return LanguageGuess(best, among[best] / total)
