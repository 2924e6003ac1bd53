"""Digits: codes, PINs, card and customer numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from piopiy_pipeline.collect.spoken_digits import SpokenDigits, corrected, read_digits
from piopiy_pipeline.collect.text_entry import TextEntryReader
from piopiy_pipeline.collect.value_reader import Reading, Wording

__all__ = ["MAX_DIGITS", "Checksum", "DigitsReader", "in_groups", "luhn"]

MAX_DIGITS = 32
"""No number that people read out is longer."""

Checksum = Literal["luhn"] | Callable[[str], bool]
"""``"luhn"`` (ISO/IEC 7812-1, annex B: cards), or a function that is given the digits and says if they are right."""


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others, by Luhn's formula."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def in_groups(digits: str) -> str:
    """Return digits or letters in groups of three or four, as people read them out: "4 1 5, 2 7 1"."""
    if len(digits) <= 5:
        return " ".join(digits)
    size = 4 if len(digits) % 4 == 0 else 3
    groups = [digits[i : i + size] for i in range(0, len(digits), size)]
    if len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return ", ".join(" ".join(group) for group in groups)


class DigitsReader(TextEntryReader):
    """Reads a number that is said or pressed digit by digit.

    Args:
        language: The caller's language.
        least: How many digits it has at least.
        most: How many it has at most.
        checksum: What has to be right about them; None: nothing.
    """

    kind = "digits"
    reads_back = False

    def __init__(self, language: str, *, least: int, most: int, checksum: Checksum | None = None) -> None:
        super().__init__(language)
        self._least, self._most = least, most
        self._is_right = luhn if checksum == "luhn" else checksum
        if least == most:
            self.expects = f"digits:{least}"
        else:
            self.expects = "digits"

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        spoken = read_digits(text, self.language)
        if not spoken.digits:
            return Reading.NOTHING
        if self._entry and (entry := corrected(self._entry, spoken)) is not None:
            self._entry, self._over = entry, False
            return self._reading()
        if not spoken.only and not (spoken.says_number and (not self._entry or self._fits(spoken))):
            return Reading.NOTHING
        if (checking or spoken.denies) and self._entry and len(spoken.digits) < self._least:
            return Reading.NOTHING  # "no, seven": of which digit?
        return self._take(spoken.digits, anew=checking or spoken.denies)

    def press(self, keys: str, *, checking: bool = False) -> Reading:
        if "*" in keys:  # what was pressed before it was wrong
            self.clear()
            keys = keys.rpartition("*")[2]
        if not keys.isdecimal():
            return Reading.PART if self._entry else Reading.NOTHING
        return self._take(keys, anew=checking)

    def keys_suffice(self, keys: str) -> bool:
        _, star, keys = keys.rpartition("*")
        kept = "" if star or self._over else self._entry
        return len(keys) == self._most or len(kept + keys) == self._most

    def _fits(self, spoken: SpokenDigits) -> bool:
        return self._least <= len(spoken.digits) <= self._most

    def _take(self, digits: str, *, anew: bool) -> Reading:
        anew = anew or self._over or len(self._entry) + len(digits) > self._most
        self._entry = (digits if anew else self._entry + digits)[: MAX_DIGITS * 2]
        self._over = False
        return self._reading()

    def _reading(self) -> Reading:
        if len(self._entry) < self._least:
            return Reading.PART
        if len(self._entry) <= self._most and (self._is_right is None or self._is_right(self._entry)):
            return Reading.WHOLE
        self._over = True
        return Reading.INVALID

    def spoken(self) -> str:
        return in_groups(self._entry)

    @property
    def model_task(self) -> str:
        return "the digits and nothing else"

    def missing(self, words: Wording) -> str:
        return words("digits_so_far")

    def fault(self, words: Wording) -> str:
        return words("digits_too_many" if len(self._entry) > self._most else "digits_wrong")
