"""The caller's words in the turn under way, and what they say about its end. No I/O.

Beside the words themselves, two things that a recogniser knows are heeded: that it ended with a comma, and how sure it
was of the last word. A voice that stays up is often written as a comma, and a word that was misheard says nothing of
what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from piopiy_pipeline.turns.caller_words import (
    WordsSoFar,
    digits_in,
    ends_open,
    is_bare,
    is_closed_answer,
    is_number,
    is_opener,
    words_of,
)
from piopiy_pipeline.turns.expected_answer import AnswerKind, ExpectedAnswer

__all__ = ["LastWord", "TurnWords", "words_say"]

SHORT_NUMBER, WHOLE_NUMBER = 7, 10
"""Of a number of unknown length: with so many digits it may be complete, and with so many it likely is."""
LONG_TURN = 14
"""A turn of more words is long."""
DOUBTED = 0.5
"""A last word of less confidence may be another one: it answers no question, and does not end a sentence for sure."""


@dataclass(frozen=True, slots=True)
class LastWord:
    """What the recogniser knows of the last word of a final transcript."""

    comma: bool = False
    """Whether it wrote a comma behind it."""
    confidence: float = 1.0
    """How sure it is, 0 to 1; 1.0 where it does not say."""

    @classmethod
    def of(cls, result: object) -> Self:
        """Read the `result` of a transcript: a mapping with `comma`, or `words` that are pairs of word and confidence.

        Whatever else it is, such as an object of a cloud's SDK, tells nothing.
        """
        if not isinstance(result, Mapping):
            return cls()
        confidence = 1.0
        words = result.get("words")
        if isinstance(words, Sequence) and words:
            last = words[-1]
            if isinstance(last, Sequence) and len(last) == 2 and isinstance(last[1], (int, float)):
                confidence = min(1.0, max(0.0, float(last[1])))
        return cls(result.get("comma") is True, confidence)


@dataclass(slots=True)
class TurnWords:
    """The words so far."""

    finals: list[str] = field(default_factory=list)
    interim: str = ""
    fresh: bool = False
    """Whether they are of the speech before this silence, too."""
    finalized: bool = False
    last: LastWord = field(default_factory=LastWord)
    """Of the last final transcript."""

    @property
    def text(self) -> str:
        return " ".join((*self.finals, self.interim)).strip()

    def so_far(self, expected: ExpectedAnswer, language: str) -> WordsSoFar:
        """Return what the words say about the end of the turn.

        Args:
            expected: What the bot has asked for.
            language: The language of the words.
        """
        if not self.fresh:
            return WordsSoFar.UNKNOWN
        return words_say(self.text, expected, language, LastWord() if self.interim else self.last)


def words_say(text: str, expected: ExpectedAnswer, language: str, last: LastWord | None = None) -> WordsSoFar:
    """Return what a text says about the end of the turn.

    Args:
        text: What was said in this turn.
        expected: What the bot has asked for.
        language: The language of the words.
        last: What the recogniser knows of the last word.
    """
    if not words_of(text):
        return WordsSoFar.UNKNOWN
    last = last or LastWord()
    sure = last.confidence >= DOUBTED
    match expected.kind:
        case AnswerKind.YES_NO if is_closed_answer(text, language) and sure:
            return WordsSoFar.BARE if is_bare(text, language) else WordsSoFar.ANSWERED
        case AnswerKind.NUMBER if is_number(text, language) and not ends_open(text, language) and sure:
            return WordsSoFar.ANSWERED
        case AnswerKind.DIGITS if digits := digits_in(text, language):
            return _digits_so_far(digits, expected.digits)
    if ends_open(text, language):
        return WordsSoFar.OPEN
    if expected.kind is AnswerKind.DICTATION:
        return WordsSoFar.DICTATING
    if last.comma or text.endswith(","):
        return WordsSoFar.COMMA
    if not sure:
        return WordsSoFar.DOUBTED
    if expected.kind is AnswerKind.OPEN and is_opener(text, language):
        return WordsSoFar.OPENER
    return WordsSoFar.LONG if len(words_of(text)) > LONG_TURN else WordsSoFar.NEUTRAL


def _digits_so_far(digits: int, wanted: int | None) -> WordsSoFar:
    if wanted is not None:
        return WordsSoFar.ANSWERED if digits >= wanted else WordsSoFar.DIGITS_MISSING
    if digits >= WHOLE_NUMBER:
        return WordsSoFar.NEUTRAL
    return WordsSoFar.DIGITS_MISSING if digits < SHORT_NUMBER else WordsSoFar.DICTATING
