"""Says whether the words of a short sound are believed: a recogniser writes words for a hum, too. Without I/O.

What it writes then is known by three signs. The words mean nothing by themselves ("and then"). Or they are hummed:
most of them have an m or an n ("Amen", "who made him"), because a closed mouth makes no other sound. Or they are
spelled nearly like what a listener says ("bright" for "right"). Such words must be surer than others. Words that ask
for a stop need not be sure: who says "stop" is not made to say it again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from piopiy_pipeline.turns.backchannels import listens, nearly_backchannel, stop_at, words_in

__all__ = ["SHORT_S", "HeardWords", "doubt_of", "looks_heard_wrong", "means_nothing"]

HeardWords = Sequence[tuple[str, float]]
"""Words as a recogniser writes them, each with its confidence from 0 to 1."""

SHORT_S = 1.1
"""A sound that is voiced for longer is believed to be words, but for a few that are hummed or mean nothing."""
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by came can did do for from had has have he her him i if in is it its me my not of "
        "on or she so that the them then there they this to too was we were what will with would you your",
    )
) | {"that's", "it's", "i'm", "there's", "what's", "he's", "she's", "you're", "we're", "they're", "don't"}
"""English words that mean nothing alone."""
_SURE = ((0.4, 0.65), (0.7, 0.55), (0.85, 0.4), (SHORT_S, 0.1))
"""Up to so many voiced seconds, words are believed from this confidence of the least certain one on: no listener hums
for so long as a sentence takes."""
_SURE_OF_LIKELY = 0.85
"""The same for words that look like a hum or like what a listener says."""
_SURE_STOP = 0.35
"""Mean confidence from which words that ask for a stop are believed: theirs, not that of the words around."""
_MANY, _SURE_OF_MANY = 3, 0.67
"""So many words are believed from this mean confidence on: one of them is easily misheard."""
_LONG, _LONG_S, _SURE_OF_LONG = 4, 0.8, 0.5
"""The same for so many words in a sound of so many seconds."""
_HUMMED = 0.6
"""A text is hummed if this share of its words has a nasal, and none has a hiss or a burst: the mouth is closed."""
_OPEN = re.compile(r"[bfjpqsxz]|(?<!n)g")
_FEW = 4
"""So many words may be a long hum."""
_WORDS_PER_S = 8.0
"""Nobody says more in so short a time: it is a recogniser that makes words of a hum."""


def doubt_of(heard: HeardWords, voiced_s: float, language: str) -> str | None:
    """Return why the words of a sound are not believed, or None if they are.

    Args:
        heard: The words.
        voiced_s: How long the sound was voiced, in seconds.
        language: The language of the words, by its code.
    """
    words = [(word, sure) for piece, sure in heard for word in words_in(piece)]
    if not words:
        return None
    text, confidences = [word for word, _ in words], [sure for _, sure in words]
    if (stop := stop_at(text, language)) is not None and _mean(confidences[stop]) >= _SURE_STOP:
        return None
    if means_nothing(text):
        return "which means nothing"
    least = min(confidences)
    if looks_heard_wrong(text, language) and (voiced_s <= SHORT_S or len(text) <= _FEW):
        return None if least >= _SURE_OF_LIKELY else "which may be a listener's"
    if voiced_s > SHORT_S:
        return None
    if least < _SURE_OF_LIKELY and len(text) > _WORDS_PER_S * max(voiced_s, 0.35):
        return "which is too much for so short a sound"
    long = len(text) >= _LONG and voiced_s >= _LONG_S
    if len(text) >= _MANY and _mean(confidences) >= (_SURE_OF_LONG if long else _SURE_OF_MANY):
        return None
    sure = next(sure for longest, sure in _SURE if voiced_s <= longest)
    return None if least >= sure else "which is not sure"


def means_nothing(text: Sequence[str]) -> bool:
    """Return whether all words of a text mean nothing by themselves."""
    return all(word in _EMPTY for word in text)


def looks_heard_wrong(text: Sequence[str], language: str) -> bool:
    """Return whether words may be a recogniser's guess for a hum, or for what a listener says."""
    if len(text) < _LONG and any(listens([word], language) for word in text):
        return True
    hummed = sum("m" in word or "n" in word for word in text) >= _HUMMED * len(text)
    return (hummed and not any(map(_OPEN.search, text))) or nearly_backchannel(text, language)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
