"""`SpokenLanguage`: a language that a bot may change to in a call. A value: it serves any number of calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language

from piopiy_pipeline.arguments import check_kind

__all__ = ["WIDELY_SPOKEN", "SpokenLanguage", "base_of", "name_of", "spoken_languages"]

_NAMES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "kn": "Kannada", "ko": "Korean", "ml": "Malayalam",
    "mr": "Marathi", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
WIDELY_SPOKEN = frozenset(_NAMES)
"""The languages of which one is likely that of a caller; dialects and small ones would only make these less clear."""


@dataclass(frozen=True, kw_only=True)
class SpokenLanguage:
    """How a bot speaks one of its languages.

    Attributes:
        voice: The voice of the TTS, by the provider's name or id, or one of the services that ``Action(tts=[...])`` was
            given. None: the voice that the call began with.
        instructions: What the model is told when the call changes to this language. None: to answer in it.
        says: What is said first, in the new voice. None for nothing.

    Raises:
        TypeError: A value is of the wrong kind.
    """

    voice: str | TTSService | None = None
    instructions: str | None = None
    says: str | None = None

    def __post_init__(self) -> None:
        for field in ("instructions", "says"):
            check_kind(f"SpokenLanguage: {field}", getattr(self, field), (str, type(None)), "a text, or None")
        what = "a voice's name, a TTS service, or None"
        check_kind("SpokenLanguage: voice", self.voice, (str, TTSService, type(None)), what)
        if isinstance(self.voice, str) and not self.voice.strip():
            raise ValueError(
                "SpokenLanguage: voice is empty: leave it out for the voice that the call began with"
            )


def spoken_languages(
    given: Mapping[str, SpokenLanguage | None] | None,
) -> dict[str, SpokenLanguage]:
    """Return what an author says as `languages`, checked. The first one is that in which a call begins.

    Raises:
        ValueError: There is no such language, or only one.
        TypeError: It is no mapping of languages.
    """
    if given is None:
        return {}
    check_kind("languages", given, Mapping, 'a mapping such as {"en": None, "de": SpokenLanguage(voice=...)}')
    languages: dict[str, SpokenLanguage] = {}
    for code, how in given.items():
        check_kind(f"languages: {code!r}", how, (SpokenLanguage, type(None)), "a SpokenLanguage, or None")
        try:
            languages[str(Language(code))] = how or SpokenLanguage()
        except ValueError:
            raise ValueError(f"languages: there is no language {code!r}; write 'de' or 'en-GB'") from None
    if len(languages) < 2:
        raise ValueError(
            "languages: with one language there is nothing to notice: name two at least, or none"
        )
    bases = [base_of(code) for code in languages]
    if twice := next((base for base in bases if bases.count(base) > 1), None):
        raise ValueError(
            f"languages: {twice!r} is there twice, and callers of both sound alike: name one of them"
        )
    return languages


def base_of(language: str) -> str:
    """Return the language without its region: ``de`` of ``de-AT``."""
    return language.lower().replace("_", "-").partition("-")[0]


def name_of(language: str) -> str:
    """Return the English name of a language, for a model; of one that has none here, its code."""
    return _NAMES.get(base_of(language), language)
