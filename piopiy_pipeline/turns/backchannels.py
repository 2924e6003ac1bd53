"""Tells a listener's "mhm" from "no, wait": what words mean that are said over the bot's speech. Without I/O.

The lists are short on purpose: what people say while they listen on, in the language of the transcript. Everything
else is an interruption, a plain "yes" or "no" too, because it is an answer. For a language without a list the humming
that all languages share is known, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum

from rapidfuzz import fuzz

__all__ = ["WordsOver", "listens", "nearly_backchannel", "stop_at", "words_in", "words_over"]


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
    "i understand, understood, makes sense, wow, perfect, "
    "yes sir, yes ma'am, gotcha, absolutely, definitely, totally, sounds good, fair enough, that's true, thats true, "
    "lovely, awesome, amazing, interesting, oh my, oh dear, my goodness, that's good, thats good, that's great, "
    "thats great, that's fine, that's nice, you're right, i bet, you bet, no kidding, no problem, no worries, oh well",
    "de": "ja, jaja, jo, genau, okay, ok, gut, klar, alles klar, richtig, stimmt, verstehe, ich verstehe, aha, ach so, "
    "achso, schön, prima, natürlich, sicher, eben, super",
    "es": "ya, vale, claro, ajá, aja, okay, ok, bueno, bien, entiendo, exacto, perfecto, muy bien, de acuerdo, "
    "correcto",
    "fr": "ouais, d'accord, daccord, okay, ok, bien, bien sûr, exactement, je vois, voilà, ah bon, très bien, "
    "parfait, entendu",
    "it": "sì, sì sì, certo, okay, ok, bene, va bene, capisco, ho capito, esatto, giusto, perfetto, d'accordo, chiaro, "
    "già, benissimo",
    "pt": "sim, pois, pois é, certo, tá, tá bom, está bem, okay, ok, claro, entendo, entendi, exato, perfeito, beleza, "
    "isso, muito bem",
    "nl": "ja, jaja, ja ja, okay, oké, ok, goed, juist, precies, klopt, prima, natuurlijk, begrijp ik, ik begrijp het, "
    "ik snap het, inderdaad",
    "hi": "हाँ, हां, जी, ठीक, ठीक है, अच्छा, haan, ji, theek hai, accha, okay, ok",
}
_STOPS = {
    "en": "stop, no, nope, wait, hang on, hold on, one moment, one second, just a second, sorry, excuse me, actually, "
    "enough, be quiet, shut up, listen, pardon, cancel, no way, please stop",
    "de": "stopp, stop, halt, nein, nee, ne, warte, warten, moment, einen moment, entschuldigung, falsch, genug, "
    "wie bitte, bitte nicht, doch nicht",
    "es": "no, para, pare, espera, espere, un momento, perdón, perdone, basta",
    "fr": "non, stop, attends, attendez, un moment, un instant, pardon, arrête, arrêtez",
    "it": "no, basta, aspetti, aspetta, un attimo, un momento, scusi, scusa, stop, si fermi, ferma, mi scusi",
    "pt": "não, pare, para, espere, espera, um momento, um minuto, desculpe, chega, stop, perdão",
    "nl": "nee, neen, stop, wacht, wacht even, een moment, momentje, sorry, pardon, genoeg, ho",
    "hi": "नहीं, रुको, रुकिए, nahi, nahin, ruko, rukiye",
}

_STOP_WITHIN = 4
"""A word that asks for a stop counts among so many first ones; later it is part of a sentence like any other."""
_NEAR = 75.0
"""Least likeness of letters, 0 to 100, of a phrase that is nearly another."""
_NEAR_LETTERS = 4
"""Shorter phrases are like too many others."""


def words_in(text: str) -> list[str]:
    """Return the words of a text in lower case, without marks."""
    return re.findall(r"[^\s.,;:!?…\"()\[\]¿¡।_–—-]+", text.lower().replace("’", "'"))


def _phrases(lists: dict[str, str]) -> dict[str, frozenset[tuple[str, ...]]]:
    return {
        language: frozenset(tuple(words_in(phrase)) for phrase in phrases.split(","))
        for language, phrases in lists.items()
    }


_BACKCHANNEL_WORDS = _phrases(_BACKCHANNELS)
_STOP_WORDS = _phrases(_STOPS)
_NONE: frozenset[tuple[str, ...]] = frozenset()


def words_over(text: str, language: str = "en") -> WordsOver:
    """Return what the caller's words over the bot's speech mean.

    Args:
        text: The words, as a recogniser writes them.
        language: Their language, by its code (``en``, ``en-GB``).
    """
    words = words_in(text)
    if not words:
        return WordsOver.NOTHING
    if listens(words, language):  # "no kidding" is no stop
        return WordsOver.BACKCHANNEL
    return WordsOver.OTHER if _stop_at(words, language, _same) is None else WordsOver.STOP


def stop_at(words: Sequence[str], language: str) -> slice | None:
    """Return where words ask for a stop, or nearly do, as a recogniser may misspell them; None if they do not."""
    exact = _stop_at(words, language, _same)
    return exact if exact is not None else _stop_at(words, language, _near_phrase)


def listens(words: Sequence[str], language: str) -> bool:
    """Return whether words are what a listener says."""
    return _made_of(words, _BACKCHANNEL_WORDS.get(_code(language), _NONE), _same)


def nearly_backchannel(words: Sequence[str], language: str) -> bool:
    """Return whether words are spelled nearly like what a listener says."""
    return _made_of(words, _BACKCHANNEL_WORDS.get(_code(language), _NONE), _near)


_Alike = Callable[[Sequence[str], tuple[str, ...]], bool]


def _code(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]


def _same(words: Sequence[str], phrase: tuple[str, ...]) -> bool:
    return tuple(words) == phrase


def _near(words: Sequence[str], phrase: tuple[str, ...]) -> bool:
    if len(words) != len(phrase):
        return False
    said, meant = " ".join(words), " ".join(phrase)
    return said == meant or (len(meant) >= _NEAR_LETTERS and fuzz.ratio(said, meant) >= _NEAR)


def _near_phrase(words: Sequence[str], phrase: tuple[str, ...]) -> bool:
    """Like `_near`, for phrases of several words: one short word is too soon like another."""
    return len(phrase) > 1 and _near(words, phrase)


def _stop_at(words: Sequence[str], language: str, alike: _Alike) -> slice | None:
    for at in range(min(len(words), _STOP_WITHIN)):
        for stop in _STOP_WORDS.get(_code(language), _NONE):
            if alike(words[at : at + len(stop)], stop):
                return slice(at, at + len(stop))
    return None


def _made_of(words: Sequence[str], phrases: frozenset[tuple[str, ...]], alike: _Alike) -> bool:
    """Return whether words are a sequence of phrases and of sounds, each of them whole."""
    reached = [True] + [False] * len(words)
    for at, word in enumerate(words):
        if not reached[at]:
            continue
        if _HUM.fullmatch(word):
            reached[at + 1] = True
        for phrase in phrases:
            if alike(words[at : at + len(phrase)], phrase):
                reached[at + len(phrase)] = True
    return reached[-1]
