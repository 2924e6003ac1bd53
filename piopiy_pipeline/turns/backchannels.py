"""Tells a listener's "mhm" from "no, wait": what words mean that are said over the bot's speech. Without I/O.

The lists are short on purpose: what people say while they listen on, in the language of the transcript. Everything
else is an interruption, a plain "yes" or "no" too, because it is an answer. For a language without a list the humming
that all languages share is known, and no more.
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["WordsOver", "words_over"]


class WordsOver(StrEnum):
    """What words over the bot's speech mean."""

    NOTHING = "nothing"
    """There are none."""
    BACKCHANNEL = "backchannel"
    """The caller listens: "mhm", "yeah", "I see"."""
    STOP = "stop"
    """The caller asks the bot to stop: "no", "wait", "hang on"."""
    OTHER = "other"
    """The caller says something."""


_HUM = re.compile(
    r"(?:m+|h+|h+m+|m+h+m+|a+h+|o+h+|a+ha+|u+h+|u+h*m+|e+h+|a+|o+|hu+h|e+r+m*|ä+h*m*|ö+h*m*|hu+m+)"
)
"""Sounds, as recognisers write them: mm, hmm, mhm, ah, oh, aha, uh, um, huh, er."""

_BACKCHANNELS = {
    "en": "yeah, yep, yup, okay, ok, k, right, all right, alright, sure, i see, got it, i got it, of course, "
    "exactly, great, good, cool, fine, nice, really, true, that's right, thats right, uh huh, mm hmm, i know, "
    "i understand, understood, makes sense, wow, perfect",
    "de": "ja, jaja, jo, genau, okay, ok, gut, klar, alles klar, richtig, stimmt, verstehe, ich verstehe, aha, ach so, "
    "achso, schön, prima, natürlich, sicher, eben, super",
    "es": "ya, vale, claro, ajá, aja, okay, ok, bueno, bien, entiendo, exacto, perfecto, muy bien, de acuerdo, "
    "correcto",
    "fr": "ouais, d'accord, daccord, okay, ok, bien, bien sûr, exactement, je vois, voilà, ah bon, très bien, "
    "parfait, entendu",
    "hi": "हाँ, हां, जी, ठीक, ठीक है, अच्छा, haan, ji, theek hai, accha, okay, ok",
}
_STOPS = {
    "en": "stop, no, nope, wait, hang on, hold on, one moment, one second, just a second, sorry, excuse me, actually, "
    "enough, be quiet, shut up, listen, pardon, cancel, no way",
    "de": "stopp, stop, halt, nein, nee, ne, warte, warten, moment, einen moment, entschuldigung, falsch, genug, "
    "wie bitte, bitte nicht, doch nicht",
    "es": "no, para, pare, espera, espere, un momento, perdón, perdone, basta",
    "fr": "non, stop, attends, attendez, un moment, un instant, pardon, arrête, arrêtez",
    "hi": "नहीं, रुको, रुकिए, nahi, nahin, ruko, rukiye",
}

_STOP_WITHIN = 4
"""A word that asks for a stop counts among so many first ones; later it is part of a sentence like any other."""


def _phrases(lists: dict[str, str]) -> dict[str, frozenset[tuple[str, ...]]]:
    return {
        language: frozenset(tuple(_words(phrase)) for phrase in phrases.split(","))
        for language, phrases in lists.items()
    }


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s.,;:!?…\"()\[\]¿¡।_–—-]+", text.lower().replace("’", "'"))


_BACKCHANNEL_WORDS = _phrases(_BACKCHANNELS)
_STOP_WORDS = _phrases(_STOPS)


def words_over(text: str, language: str = "en") -> WordsOver:
    """Return what the caller's words over the bot's speech mean.

    Args:
        text: The words, as a recogniser writes them.
        language: Their language, by its code (``en``, ``en-GB``).
    """
    words = _words(text)
    if not words:
        return WordsOver.NOTHING
    code = language.lower().replace("_", "-").partition("-")[0]
    stops = _STOP_WORDS.get(code, frozenset())
    for at in range(min(len(words), _STOP_WITHIN)):
        if any(tuple(words[at : at + len(stop)]) == stop for stop in stops):
            return WordsOver.STOP
    if _made_of(words, _BACKCHANNEL_WORDS.get(code, frozenset())):
        return WordsOver.BACKCHANNEL
    return WordsOver.OTHER


def _made_of(words: list[str], phrases: frozenset[tuple[str, ...]]) -> bool:
    """Return whether words are a sequence of phrases and of sounds, each of them whole."""
    reached = [True] + [False] * len(words)
    for at, word in enumerate(words):
        if not reached[at]:
            continue
        if _HUM.fullmatch(word):
            reached[at + 1] = True
        for phrase in phrases:
            if tuple(words[at : at + len(phrase)]) == phrase:
                reached[at + len(phrase)] = True
    return reached[-1]
