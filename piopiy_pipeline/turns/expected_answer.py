"""What the bot has asked, so that a whole answer can be told from a part of one. Without I/O.

It is found in the bot's own last words: "Is that right?" wants a yes or a no, "your six-digit code" six digits, and
"your address" something that is dictated with pauses. The schemas of the bot's tools know more than its words do: a
parameter `order_number` with a pattern of eight digits says how many there are. An author can say it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.turns.caller_words import language_code, words_of

__all__ = ["AnswerKind", "ExpectedAnswer", "expected_answer"]


class AnswerKind(StrEnum):
    """What an answer is made of."""

    OPEN = "open"
    YES_NO = "yes_no"
    NUMBER = "number"
    """How many: one number."""
    DIGITS = "digits"
    """A number that is said digit by digit, such as a telephone number."""
    DICTATION = "dictation"
    """An address, an e-mail address, a spelled name: said in pieces."""


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """The kind of answer that the bot has asked for.

    Raises:
        ValueError: The number of digits is not from 1 to 64, or there is one for another kind.
    """

    kind: AnswerKind = AnswerKind.OPEN
    digits: int | None = None
    """Of `AnswerKind.DIGITS`: how many; None if that is not known."""

    def __post_init__(self) -> None:
        if self.digits is not None and (self.kind is not AnswerKind.DIGITS or not 1 <= self.digits <= 64):
            raise ValueError(f"an expected answer has 1 to 64 digits, as 'digits:6', not {str(self)!r}")

    @classmethod
    def of(cls, answer: str | Self) -> Self:
        """Read ``yes_no``, ``number``, ``digits``, ``digits:6``, ``dictation`` or ``open``.

        Raises:
            ValueError: It is none of them.
            TypeError: It is no text.
        """
        if isinstance(answer, cls):
            return answer
        if not isinstance(answer, str):
            raise TypeError(
                f"an expected answer is a text such as 'yes_no' or 'digits:6', not {shown(answer)}"
            )
        kind, colon, digits = answer.partition(":")
        if colon and re.fullmatch(r"[0-9]{1,4}", digits) and kind == AnswerKind.DIGITS:
            return cls(AnswerKind.DIGITS, int(digits))
        if not colon and kind in list(AnswerKind):
            return cls(AnswerKind(kind))
        kinds = ", ".join(f"{one.value!r}" for one in AnswerKind)
        raise ValueError(f"an expected answer is one of {kinds} or 'digits:6', not {shown(answer)}")

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.digits}" if self.digits else self.kind.value


OPEN_ANSWER = ExpectedAnswer()

_YES_NO = {
    "en": re.compile(
        r"(?:and |so |okay |ok |then |now |great |well )*(?:is|are|am|was|were|do|does|did|don't|doesn't|can|could|"
        r"will|would|shall|should|may|have|has|isn't|aren't|right|correct|okay|ok|ready|any)\b"
    ),
    "de": re.compile(
        r"(?:und |also |gut |okay |dann |nun )*(?:ist|sind|war|waren|möchten|möchtest|wollen|willst|haben|hast|hat|"
        r"kann|können|kannst|soll|sollen|darf|dürfen|stimmt|passt|brauchen|brauchst|wäre|wären|bist|geht|"
        r"richtig|korrekt|einverstanden)\b"
    ),
}
_TAGS = {
    "en": re.compile(
        r"\b(?:right|correct|okay|ok|yes or no|is it|isn't it|is that (?:right|correct|ok|okay))$"
    ),
    "de": re.compile(r"\b(?:richtig|korrekt|oder|ja oder nein|stimmt das|stimmt's|nicht wahr)$"),
}
_ALTERNATIVES = {
    "en": re.compile(r"\bor\b(?! not\b| no\b)"),
    "de": re.compile(r"\boder\b(?! nicht\b| nein\b)(?!$)"),
}
_ASKS_TO_SAY = {
    "en": re.compile(
        r"\b(?:could|can|would|will|may|might|please|do|help)\b.*\b(?:tell|say|give|spell|repeat|describe|explain|"
        r"provide|enter|read|share|confirm your|have your|get your|ask|help|know|who|what|which|where|when|why|how)\b"
    ),
    "de": re.compile(
        r"\b(?:können|könnten|kannst|könntest|würden|darf|dürfte|bitte|möchten|wissen)\b.*\b(?:sagen|nennen|geben|"
        r"buchstabieren|wiederholen|beschreiben|erklären|eingeben|vorlesen|mitteilen|fragen|helfen|wer|was|wie|wo|"
        r"wann|warum|welche\w*)\b"
    ),
}
_HOW_MANY = {
    "en": re.compile(r"\bhow (?:many|old|much)\b"),
    "de": re.compile(r"\bwie ?viele?n?\b|\bwie alt\b"),
}
_NUMBERS = {
    "en": re.compile(
        r"\b(?:phone|telephone|mobile|cell|account|order|card|customer|booking|reference|confirmation|tracking|"
        r"security|policy|case|ticket|member(?:ship)?|invoice|social security|routing|contact|callback)\s+"
        r"(?:number|code)\b|\b(?:zip|post(?:al)?|pass|pin|access|verification)\s*code\b|\bpostcode\b|\bpin\b|\bdigits?\b"
        r"|\bnumber (?:can|should|may|do) (?:i|we)\b"
    ),
    "de": re.compile(
        r"\b(?:telefon|handy|mobil|konto|kunden|auftrags|bestell|buchungs|karten|rechnungs|vertrags|rückruf|"
        r"versicherungs|mitglieds|post)\w*(?:nummer|leitzahl)\b|\bpin\b|\bplz\b|\bziffern?\b|\bstellen?\b|\bnummer\b"
    ),
}
_DICTATED = {
    "en": re.compile(
        r"\b(?:address|e-?mail|spell\w*|street|full name|date of birth|iban|licen[cs]e plate)\b"
    ),
    "de": re.compile(
        r"\b(?:adresse|anschrift|e-?mail|buchstabier\w*|straße|geburtsdatum|iban|kennzeichen)\b"
    ),
}
_COUNT_WORDS = {
    "en": {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
           "eleven": 11, "twelve": 12, "sixteen": 16},
    "de": {"zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
           "elf": 11, "zwölf": 12, "sechzehn": 16},
}  # fmt: skip
_DIGITS_OF = {
    "en": re.compile(r"\b(\d{1,2}|[a-z]+)[\s-]+digits?\b"),
    "de": re.compile(r"\b(\d{1,2}|[a-zäöüß]+?)[\s-]*(?:stellige?[nrsm]?|ziffern|stellen)\b"),
}
_LAST_FOUR = {"en": re.compile(r"\blast ([a-z]+|\d)\b"), "de": re.compile(r"\bletzten ([a-zäöü]+|\d)\b")}
_SCHEMA_DIGITS = re.compile(r"^\^?(?:\\d|\[0-9\])\{(\d{1,2})\}\$?$")
_SENTENCES_LOOKED_AT = 2


def expected_answer(
    text: str, language: str, properties: Iterable[tuple[str, Mapping[str, Any]]] = ()
) -> ExpectedAnswer:
    """Return what the bot's last words ask for.

    Args:
        text: What the bot has said, or the end of it.
        language: Its language, by its code. Without patterns for it, only the tools tell.
        properties: Names and JSON schemas of the parameters of the bot's tools.
    """
    code = language_code(language)
    sentences = [one.strip() for one in re.findall(r"[^.!?…]+[.!?…]*", text[-600:]) if words_of(one)]
    last = sentences[-_SENTENCES_LOOKED_AT:]
    asked = [one for one in last if one.endswith("?")][-1:] or last[-1:]
    if not asked:
        return OPEN_ANSWER
    sentence = " ".join(words_of(asked[0].replace("-", " ")))
    question = asked[0].endswith("?")
    for name, schema in properties:
        if (found := _by_schema(name, schema, sentence)) is not None:
            return found
    return _by_words(sentence, code, question=question)


def _by_words(sentence: str, code: str, *, question: bool) -> ExpectedAnswer:
    if code not in _YES_NO:
        return OPEN_ANSWER
    to_say = _ASKS_TO_SAY[code].search(sentence) is not None
    yes_no = (
        question
        and not to_say
        and (_YES_NO[code].match(sentence) or _TAGS[code].search(sentence)) is not None
        and _ALTERNATIVES[code].search(sentence) is None
    )
    if yes_no:
        return ExpectedAnswer(AnswerKind.YES_NO)
    if not (question or to_say):
        return OPEN_ANSWER
    if _HOW_MANY[code].search(sentence):
        return ExpectedAnswer(AnswerKind.NUMBER)
    if _DICTATED[code].search(sentence):
        return ExpectedAnswer(AnswerKind.DICTATION)
    if _NUMBERS[code].search(sentence):
        return ExpectedAnswer(AnswerKind.DIGITS, _how_many_digits(sentence, code))
    return OPEN_ANSWER


def _how_many_digits(sentence: str, code: str) -> int | None:
    for pattern in (_DIGITS_OF[code], _LAST_FOUR[code]):
        if (found := pattern.search(sentence)) is not None:
            word = found[1]
            if word.isdecimal() and 1 <= int(word) <= 64:
                return int(word)
            if word in _COUNT_WORDS[code]:
                return _COUNT_WORDS[code][word]
    return None


def _by_schema(name: str, schema: Mapping[str, Any], sentence: str) -> ExpectedAnswer | None:
    """Return what a tool's parameter wants, if the sentence names it."""
    parts = [part for part in re.split(r"[_\W]+|(?<=[a-z])(?=[A-Z])", name) if part]
    if not parts or not all(part.lower() in sentence.split() for part in parts):
        return None
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and (found := _SCHEMA_DIGITS.match(pattern)) and 1 <= int(found[1]) <= 64:
        return ExpectedAnswer(AnswerKind.DIGITS, int(found[1]))
    return None
