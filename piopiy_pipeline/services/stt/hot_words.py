"""Repairs near misses of words that the author says callers are likely to say: names, menu items.

A recogniser writes a name that it does not know as words that it knows. Where these sound and look nearly like a hot
word, they are taken for it. It is conservative: a common word, or one that was heard clearly, has to sound the same.

The sounds are Metaphone's (Philips, Hanging on the Metaphone, 1990), letters are compared with rapidfuzz.
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from num2words import num2words
from rapidfuzz import fuzz, process

__all__ = ["HeardWord", "HotWords"]

HeardWord = tuple[str, float]
"""A word as it is written, with its punctuation, and its confidence from 0 to 1."""

MAX_HOT_WORDS = 500
"""Each is compared with each place of a sentence: 500 take about a millisecond for a sentence of 10 words."""
MAX_LONGER = 4
"""Letters by which a near miss may be longer or shorter."""
ALIKE = 72.0
"""Least likeness of letters and of sounds, 0 to 100, for a word that is doubtful or rare."""
LEAST = 52.0
"""Least likeness of letters where the sounds are the same."""
SURE = 0.9
"""A rare word that was heard with this confidence has to be nearer than that."""
NEAR = 84.0
"""Least likeness of letters for a rare word that was heard clearly."""
SAME_SOUND = 3
"""Consonants that must be the same where a common word is replaced: shorter ones sound the same by chance."""


@dataclass(frozen=True, slots=True)
class _HotWord:
    text: str
    letters: str
    sound: str
    count: int  # of its words


_DATES_AND_NUMBERS = frozenset(
    name.lower() for name in (*calendar.day_name, *calendar.month_name[1:], *calendar.month_abbr[1:])
) | frozenset(
    word
    for number in (*range(101), 1_000)
    for kind in ("cardinal", "ordinal")
    for word in num2words(number, to=kind).replace("-", " ").split()
)

_Match = tuple[float, _HotWord, int]
"""How near a hot word is, which it is, and how many of the words that were heard it replaces."""


class HotWords:
    """The author's list.

    Args:
        words: The words, as they are to be written. A name may be of several words.
        common: Words that anybody says, in lower case.

    Raises:
        ValueError: There are more than 500, or one has no letters.
    """

    def __init__(self, words: Iterable[str], *, common: Collection[str] = ()) -> None:
        self._words = [_hot_word(text) for text in dict.fromkeys(words)]
        self._letters = [word.letters for word in self._words]
        self._exact = {word.letters for word in self._words}
        self._written = {(word.letters, word.count) for word in self._words}
        self._longest = max((word.count for word in self._words), default=0) + 1
        self._common = common
        if len(self._words) > MAX_HOT_WORDS:
            raise ValueError(f"{len(self._words)} hot words: at most {MAX_HOT_WORDS} can be compared in time")

    def repair(self, heard: Sequence[HeardWord]) -> tuple[list[HeardWord], list[tuple[str, str]]]:
        """Put hot words where they were nearly heard.

        Args:
            heard: The words of a sentence.

        Returns:
            The words with those that were put in, and for each of these what was heard and the hot word. It has
            the least confidence of the words that it replaces.
        """
        words = list(heard)
        repaired: list[tuple[str, str]] = []
        at = 0
        while self._words and at < len(words):
            found = self._best_at(words, at)
            if found is None or self._is_nearer_later(words, at, found):
                at += 1
                continue
            _, hot_word, count = found
            old = words[at : at + count]
            text = hot_word.text + _punctuation(old[-1][0])
            repaired.append((" ".join(word for word, _ in old), hot_word.text))
            sure = min(sure for _, sure in old)
            words[at : at + count] = [(part, sure) for part in text.split()]
            at += hot_word.count
        return words, repaired

    def _is_nearer_later(self, words: Sequence[HeardWord], at: int, found: _Match) -> bool:
        """Return whether some of the words that were found belong to a nearer hot word."""
        later = (self._best_at(words, place) for place in range(at + 1, at + found[2]))
        return any(match is not None and match[0] > found[0] for match in later)

    def _best_at(self, words: Sequence[HeardWord], at: int) -> _Match | None:
        """Return the hot word that is nearest to the words from here on."""
        best: _Match | None = None
        for count in range(1, min(self._longest, len(words) - at) + 1):
            piece = words[at : at + count]
            known = [_letters(word) for word, _ in piece]
            if any(word in self._exact or word in _DATES_AND_NUMBERS for word in known):
                return (
                    best if count > 1 else None
                )  # heard well, and what bookings are made of is never a name
            letters = "".join(known)
            if (letters, count) in self._written:
                return None
            # All at once: a turn of this loop takes longer than a comparison. Of two that are as near, the first.
            alike = process.extract(letters, self._letters, scorer=fuzz.ratio, score_cutoff=LEAST, limit=None)
            sound = _sound(letters) if alike else ""
            for _, look, place in sorted(alike, key=lambda match: match[2]):
                hot_word = self._words[place]
                if abs(hot_word.count - count) > 1 or abs(len(hot_word.letters) - len(letters)) > MAX_LONGER:
                    continue
                likeness = self._likeness(piece, look, sound, hot_word)
                if likeness and (best is None or likeness > best[0]):
                    best = likeness, hot_word, count
        return best

    def _likeness(self, piece: Sequence[HeardWord], look: float, sound: str, hot_word: _HotWord) -> float:
        """Return how near a piece of the sentence is to a hot word, 0 if it is not near enough.

        Args:
            piece: The words.
            look: How alike the letters are, from 0 to 100.
            sound: How the words sound.
            hot_word: The hot word.
        """
        same = sound == hot_word.sound and len(sound) >= SAME_SOUND
        heard = fuzz.ratio(sound, hot_word.sound)
        if all(_letters(word) in self._common for word, _ in piece):
            near = same
        elif min(sure for _, sure in piece) >= SURE:
            near = look >= NEAR and heard >= ALIKE
        else:
            near = same or (look >= ALIKE and heard >= ALIKE)
        return look + heard if near else 0.0


def _hot_word(text: str) -> _HotWord:
    text = " ".join(text.split())
    letters = _letters(text)
    if not letters:
        raise ValueError(f"hot word {text!r}: it has no letters")
    return _HotWord(text, letters, _sound(letters), len(text.split()))


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text.lower()))


def _sound(letters: str) -> str:
    from jellyfish import metaphone  # only those who have hot words need it

    return metaphone(letters).replace(" ", "")


def _punctuation(word: str) -> str:
    return word[len(word.rstrip(".,?!;:")) :]
