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
_SOUNDS = {
    "for": 4, "fore": 4, "ford": 4, "to": 2, "too": 2, "do": 2, "ate": 8, "aid": 8, "hate": 8, "hates": 8, "it": 8,
    "won": 1, "tree": 3, "free": 3, "nein": 9, "mine": 9, "sex": 6, "sick": 6, "tan": 10, "tin": 10, "hive": 5,
    "heaven": 7,
}  # fmt: skip
"""Words that a number was heard as. They are taken for it where a number must stand."""
_SELDOM = frozenset(("ate", "aid", "hate", "hates", "nein", "sex", "tan", "tin"))
"""Those that mean nothing else behind "at" or "around"."""
_LITTLE = frozenset(("for", "to", "too", "do", "it"))
"""Those that stand anywhere: before people they are numbers only where a party begins."""
_BEFORE = frozenset(("at", "around", "about", "after", "before", "past", "by", "till", "until"))
_PARTY = frozenset(("for", "of", "be", "are", *_BEFORE))
_COUNTED = frozenset(("people", "person", "persons", "guests", "adults", "friends", "kids", "children"))
_NEXT = frozenset(("on", "at", "tonight", "tomorrow", "next", "this"))
_BESIDE = "it's it is um uh just please thanks for at around about i think okay yes no"
_ALONE = frozenset(_BESIDE.split())
"""What may stand beside a number that was asked for."""


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
    text = re.sub(r"\b(?:o'? ?|a )clock\b", "o'clock", text)
    text = re.sub(r"\bgood ?bye?\b", "goodbye", text)
    text = re.sub(r"[^a-z0-9' :.,!?-]+", " ", text)
    text = alpha2digit(text, "en", threshold=0.0)
    text = re.sub(r"\b(\d{1,2}) point,? (\d) ?(\d)\b", r"\1:\2\3", text)
    text = re.sub(r"(?<![\d:.])(\d{1,2})\.(\d\d)(?![\d:.]*\d)", r"\1:\2", text)
    text = re.sub(r"(?<=\d)(?=[ap]m\b)", " ", text)
    text = re.sub(r"(?<!\d):|:(?!\d)|[^a-z0-9': ]+", " ", text)
    words = " ".join(filter(None, (word.strip("':") for word in text.split())))
    return _repair(words, number)


def _repair(words: str, number: bool) -> Words:
    tokens = words.split()
    kept: list[str] = []
    repaired: list[tuple[int, int]] = []
    length = 0
    for at, token in enumerate(tokens):
        if (guess := _number(tokens, at, number)) is not None:
            word, doubtful = str(guess), True
        else:
            word, doubtful = _named(token)
        if at and (token in ("day", "morrow", "night") or kept[-1] == "to"):
            joined, unclear = _named(kept[-1] + token)
            if joined in (*_REPAIRED, "today", "tonight"):
                length -= len(kept.pop()) + 1
                word, doubtful = joined, unclear
        if doubtful:
            repaired.append((length, length + len(word)))
        kept.append(word)
        length += len(word) + 1
    return Words(" ".join(kept), tuple(repaired))


def _number(tokens: list[str], at: int, asked: bool) -> int | None:
    """Return the number that a word was probably meant for, if one must stand there."""
    token = tokens[at]
    before = tokens[at - 1] if at else ""
    after = tokens[at + 1] if at + 1 < len(tokens) else ""
    if token == "then" and after in ("past", "to") and "".join(tokens[at + 2 : at + 3]).isdigit():
        return 10  # "ten past eight"
    number = _SOUNDS.get(token)
    if number is None:
        return None
    counted = after in _COUNTED or tokens[at + 1 : at + 3] == ["of", "us"]
    if counted and (token not in _LITTLE or before in ("", "table", *_PARTY) or before[:1].isdigit()):
        return number
    if before in _BEFORE and (token in _SELDOM or after in ("o'clock", "pm", "am")):
        return number
    if before == "to" and token == "ate":  # "quarter to ate"
        return number
    if before == "for" and token in ("to", "too") and (not after or after in _NEXT or after in WEEKDAYS):
        return number
    if not asked or any(each.isdigit() for each in tokens):
        return None
    if at + 1 == len(tokens) and before in _PARTY:
        return number
    others = [each for place, each in enumerate(tokens) if place != at and each not in _ALONE]
    return number if not others and not any(each in _SOUNDS for each in tokens[at + 1 :]) else None


@lru_cache(maxsize=4096)
def _named(word: str) -> tuple[str, bool]:
    """Return the weekday or month that a word is most likely to be, or the word, and whether that is a guess."""
    bare = word.removesuffix("'s").removesuffix("s") if word.endswith(("days", "day's")) else word
    if len(word) < 5 or bare in _REPAIRED or not word.isalpha():
        return bare if bare in _REPAIRED else word, False
    alike = process.extract(word, _REPAIRED, scorer=fuzz.ratio, score_cutoff=_LIKE - _APART)
    best = [each for each in alike if each[0][0] == word[0]]  # the first sound is seldom misheard
    if not best or best[0][1] < _LIKE:
        return word, False
    return best[0][0], len(best) > 1 and best[0][1] - best[1][1] < _APART


def number_words(number: int) -> str:
    """Return a number in words as it is said: `45` is "forty five".

    Args:
        number: A whole number from 0 to 999,999. A sentence may have one of four digits, and one more person.

    Raises:
        ValueError: The number is out of range.
    """
    if not 0 <= number <= 999_999:
        raise ValueError(f"{number}: only 0 to 999999 can be said")
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
