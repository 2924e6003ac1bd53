"""What every rule for a written form is: where it applies, and what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from piopiy_pipeline.spoken_text.verbalizer import Amount, Verbalizer

__all__ = [
    "NUMBERED_THINGS",
    "ReadingRule",
    "at_end",
    "number_pattern",
    "read_amount",
    "reading",
    "word_before",
    "word_set",
]

_LAST_WORD = re.compile(r"([^\W\d_]+)[.,]?[\s(\"'„“]*$")


@dataclass(frozen=True, slots=True)
class ReadingRule:
    """How one kind of written form is said.

    Attributes:
        pattern: Where it is.
        say: Returns what is said for a match, or None to leave it to the rules that follow.
        needs: One of these characters is in every text to which it applies; ``"0"`` stands for any digit. Empty:
            it may apply anywhere.
    """

    pattern: re.Pattern[str]
    say: Callable[[re.Match[str]], str | None]
    needs: str = "0"


def word_set(words: str) -> frozenset[str]:
    """Return words that are written with blanks between them."""
    return frozenset(words.split())


NUMBERED_THINGS = word_set(
    "room suite apartment apt unit gate bus line building size ratio score pressure bp floor number chapter exercise "
    "problem question section step page part version raum zimmer haus wohnung seite aufgabe kapitel linie"
)
"""Behind these words two numbers with a slash are neither a date nor a fraction: "room 12/14"."""


def reading(pattern: str, say: Callable[[re.Match[str]], str | None], needs: str = "0") -> ReadingRule:
    """Return a rule with a pattern that is not compiled yet."""
    return ReadingRule(re.compile(pattern), say, needs)


def word_before(match: re.Match[str]) -> str:
    """Return the word right before a match, or an empty text."""
    found = _LAST_WORD.search(match.string[max(0, match.start() - 40) : match.start()])
    return found[1] if found else ""


def at_end(match: re.Match[str]) -> bool:
    """Return whether a match is the last of its text, so that its full stop also ends the sentence."""
    return not match.string[match.end() :].strip(" \t\n\"')”’»“")


def number_pattern(verbalizer: Verbalizer) -> str:
    """Return the pattern of a number as the language writes it, with or without groups and a fraction."""
    groups = "".join(
        {re.escape(verbalizer.group), *("\u00a0\u202f'’" if verbalizer.group != "," else "\u202f")}
    )
    if verbalizer.group in "\u00a0\u202f":
        groups += " "
    decimal = re.escape(verbalizer.decimal)
    other = r"\d{1,2}(?:,\d\d)+,\d{3}(?!\d)|" if verbalizer.group == "," else ""  # 1,00,000
    if verbalizer.decimal == "," and verbalizer.group != ".":
        other = r"\d{1,3}(?:\.\d{3})+(?=,\d)|"  # 1.234,56 in a French text
    return rf"(?:{other}\d{{1,3}}(?:[{groups}]\d{{3}})+(?!\d)|\d+)(?:{decimal}\d+)?"


def read_amount(written: str, verbalizer: Verbalizer, *, negative: bool = False) -> Amount:
    """Return the number that is written, with the decimal mark of the language, or else of the other kind."""
    whole, mark, fraction = written.rpartition(verbalizer.decimal)
    if "." in written and "," in written:  # 1.000,50 in an English text
        at = max(written.rfind("."), written.rfind(","))
        whole, fraction = written[:at], written[at + 1 :]
    elif not mark:
        whole, fraction = written, ""
        other = re.fullmatch(r"(.*\d)[.,](\d{1,2})", written)
        if other is not None:  # 12,50 in an English text
            whole, fraction = other.groups()
    digits = "".join(each for each in whole if each.isdigit())
    return Amount(digits, fraction or None, negative)
