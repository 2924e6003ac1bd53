"""Writes a sentence as plain words with digits, whoever wrote it: a person, a recogniser, or an author's example.

Numbers in words are found by text2num. What a recogniser is known to confuse is repaired, and remembered: a value
that was read from repaired words is doubtful.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz, process
from text_to_num import alpha2digit

__all__ = ["MAX_CHARACTERS", "MONTHS", "WEEKDAYS", "Words", "number_words", "ordinal_words", "read_words"]

MAX_CHARACTERS = 1_000
"""As much of a turn is read. A minute of speech has about 900 characters, and no decision may take long."""

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = [
    "_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
]  # fmt: skip
_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}

_REPAIRED = (*WEEKDAYS, *(month for month in MONTHS if len(month) > 5), "tomorrow")
"""Words that are recognised by most of their letters: "Satuday", "fry day"."""
_LIKE = 80.0
"""So much alike (0 to 100) a misheard name is to what was meant. "Sundae" is 83, "midday" and "Monday" 67."""
_APART = 12.0
"""By so much it has to be more like one name than like another, or it is a guess: "Tursday" is Thursday or Tuesday."""
_SOUNDS = {"for": "4", "fore": "4", "to": "2", "too": "2", "ate": "8", "won": "1", "tree": "3", "nein": "9"}
"""Numbers as what they sound like."""
_COUNTED = r"(?:people|persons?|guests?|of us|adults)"
_SOUND = "|".join(_SOUNDS)
_MISHEARD = re.compile(
    rf"(?<!\S)(?:(?P<counted>{_SOUND})(?= {_COUNTED}(?!\S))"
    rf"|(?<=\bpast )(?P<past>{_SOUND})(?!\S)|(?<=\bat )(?P<at>{_SOUND})(?= o'clock| pm| am|$)"
    rf"|(?<=\bat )(?P<ate>ate)(?!\S)|(?<=\bto )(?P<to>ate)(?!\S)|(?<=\baround )(?P<around>ate)(?!\S)"
    rf"|(?<=\bfor )(?P<party>to|too)(?=$| (?:on|at|tonight|tomorrow|next|this|{'|'.join(WEEKDAYS)})(?!\S)))"
)
_ALONE = re.compile(rf"(?:(?:it's|it is|um|uh|just|please|for) )*?(?P<sound>{_SOUND})(?: please| thanks)?")


@dataclass(frozen=True, slots=True)
class Words:
    """A sentence in lower case, without punctuation, with numbers in digits ("at 7:30 on the 5th of may")."""

    text: str
    repaired: tuple[tuple[int, int], ...] = ()
    """Which parts of `text` were something else before (start and end, in characters)."""

    def is_repaired(self, start: int, end: int) -> bool:
        """Return whether a part of the text was guessed from something that sounds or looks like it."""
        return any(start < after and before < end for before, after in self.repaired)


@lru_cache(maxsize=512)
def read_words(text: str, *, number: bool = False) -> Words:
    """Write a sentence as plain words with digits.

    Args:
        text: What was said. Only the first 1,000 characters are read.
        number: Whether a number was asked for: then "for" and "ate" alone are one.
    """
    text = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS])[:MAX_CHARACTERS].lower().replace("’", "'")
    text = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", text)
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    text = re.sub(r"\bo'? ?clock\b", "o'clock", text)
    text = re.sub(r"[^a-z0-9' :.,!?-]+", " ", text)
    text = alpha2digit(text, "en", threshold=0.0)
    text = re.sub(r"(?<![\d:.])(\d{1,2})\.(\d\d)(?![\d:.]*\d)", r"\1:\2", text)
    text = re.sub(r"(?<=\d)(?=[ap]m\b)", " ", text)
    text = re.sub(r"(?<!\d):|:(?!\d)|[^a-z0-9': ]+", " ", text)
    words = " ".join(filter(None, (word.strip("':") for word in text.split())))
    return _repair(words, number)


def _repair(words: str, number: bool) -> Words:
    tokens: list[tuple[str, bool]] = []
    if number and (alone := _ALONE.fullmatch(words)):
        return Words(_SOUNDS[alone["sound"]], ((0, 1),))
    at = 0
    for match in _MISHEARD.finditer(words):
        tokens += ((word, False) for word in words[at : match.start()].split())
        tokens.append((_SOUNDS[match.group()], True))
        at = match.end()
    tokens += ((word, False) for word in words[at:].split())
    kept: list[str] = []
    repaired: list[tuple[int, int]] = []
    length = 0
    for position, (token, guessed) in enumerate(tokens):
        word, doubtful = _named(token)
        if token in ("day", "morrow", "night") and position:
            joined, unclear = _named(kept[-1] + token)
            if joined in (*_REPAIRED, "tonight"):
                length -= len(kept.pop()) + 1
                word, doubtful = joined, unclear
        if guessed or doubtful:
            repaired.append((length, length + len(word)))
        kept.append(word)
        length += len(word) + 1
    return Words(" ".join(kept), tuple(repaired))


@lru_cache(maxsize=4096)
def _named(word: str) -> tuple[str, bool]:
    """Return the weekday or month that a word is most likely to be, or the word, and whether that is a guess."""
    bare = word.removesuffix("'s").removesuffix("s") if word.endswith(("days", "day's")) else word
    if len(word) < 5 or bare in _REPAIRED or not word.isalpha():
        return bare if bare in _REPAIRED else word, False
    best = process.extract(word, _REPAIRED, scorer=fuzz.ratio, score_cutoff=_LIKE - _APART, limit=2)
    if not best or best[0][1] < _LIKE:
        return word, False
    return best[0][0], len(best) > 1 and best[0][1] - best[1][1] < _APART


def number_words(number: int) -> str:
    """Return a number in words as it is said: `45` is "forty five".

    Args:
        number: A whole number from 0 to 9999.

    Raises:
        ValueError: The number is out of range.
    """
    if not 0 <= number <= 9999:
        raise ValueError(f"{number}: only 0 to 9999 can be said")
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, one = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[one]}" if one else "")
    size, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    many, rest = divmod(number, size)
    return f"{number_words(many)} {word}" + (f" {number_words(rest)}" if rest else "")


def ordinal_words(number: int) -> str:
    """Return the ordinal of a number in words, as in dates: `22` is "twenty second".

    Args:
        number: A whole number from 1 to 99.
    """
    head, _, last = number_words(number).rpartition(" ")
    one = number if number < 20 else number % 10
    last = f"{last[:-1]}ieth" if last.endswith("y") else _ORDINALS.get(one, f"{last}th")
    return f"{head} {last}".strip()
