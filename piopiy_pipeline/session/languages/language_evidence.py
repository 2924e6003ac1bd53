"""Which language the caller speaks, by what they have said so far. Without I/O.

One foreign word is no language: a name, a dish, a "merci". So words count, of clear turns, until there are enough of
them; a turn in the call's own language takes everything back.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from piopiy_pipeline.text import has_words

__all__ = ["ENOUGH", "LEAST_WORDS", "LanguageEvidence", "LanguageGuess", "word_count"]

ENOUGH = 5.0
"""So many words in another language are evidence: one sentence, or two short ones."""
LEAST_WORDS = 2
"""A turn of fewer words says nothing, by its words."""
MOST_WORDS = 8
"""Of a longer turn no more count, so that a misheard one does not weigh too much."""
CLEAR = 0.85
"""A turn is clear whose language is that likely, among all that are widely spoken."""
SURE = 0.985
"""A turn that is this clear is enough by itself. A name, an address or a menu in another language is less so: then two
turns are needed."""
_UNSPACED = {
    "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff": 2,
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff": 4,
}
"""Scripts that are written without spaces, and how many of their characters make a word: Chinese and Japanese; Thai,
Lao, Burmese and Khmer."""


@dataclass(frozen=True, slots=True)
class LanguageGuess:
    """What a text is in.

    Attributes:
        language: The most likely one, which need not be one of the bot's.
        likelihood: How likely, 0 to 1.
    """

    language: str
    likelihood: float


class LanguageEvidence:
    """Sums up what speaks for another language than the call's.

    Args:
        languages: The languages of the bot, without regions.
        current: The one in which the call is.
    """

    def __init__(self, languages: Collection[str], current: str) -> None:
        self._languages = frozenset(languages)
        self.current = current
        self._sum: dict[str, float] = {}  # of turns that are over
        self._turn: tuple[str, float] | None = None  # what the turn under way adds
        self._detects = False

    def heard(self, words: int, *, reported: str | None, guess: LanguageGuess | None) -> str | None:
        """Take what was heard of the turn so far.

        Args:
            words: How many words.
            reported: The language that the STT reports, without its region. None: none.
            guess: What the words are in. None: nobody knows.

        Returns:
            The language to change to, or None.
        """
        if reported is not None and reported != self.current:
            self._detects = True  # an STT that always reports what it was told to hear tells nothing
        language, likelihood = (
            (reported, 1.0)
            if self._detects and reported is not None
            else (guess.language, guess.likelihood)
            if guess is not None and words >= LEAST_WORDS
            else ("", 0.0)
        )
        self._turn = None
        if language in self._languages and likelihood >= CLEAR:
            self._turn = language, min(words, MOST_WORDS) * likelihood
        if self._turn is None or language == self.current:
            return None
        before = self._sum.get(language, 0.0)
        if not before and likelihood < SURE:
            return None
        return language if before + self._turn[1] >= ENOUGH * CLEAR else None

    def turn_over(self) -> None:
        """Note that the caller's turn is over."""
        if self._turn is None:
            return
        language, weight = self._turn
        self._turn = None
        if language == self.current:
            self._sum.clear()
        else:
            self._sum[language] = self._sum.get(language, 0.0) + weight

    def changed(self, language: str) -> None:
        """Note that the call is in this language now."""
        self.current = language
        self._sum.clear()
        self._turn = None


def word_count(text: str) -> int:
    """Return how many words a text has: estimated where a script is written without spaces."""
    count = 0
    for script, letters in _UNSPACED.items():
        runs = re.findall(f"[{script}]+", text)
        count += sum(max(1, round(len(run) / letters)) for run in runs)
        text = re.sub(f"[{script}]+", " ", text)
    return count + sum(has_words(word) for word in text.split())
