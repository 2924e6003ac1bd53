"""Telephone numbers, as phonenumbers (Google's libphonenumber) knows them."""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import PhoneNumberFormat, ValidationResult

from piopiy_pipeline.collect.digits import in_groups
from piopiy_pipeline.collect.spoken_digits import corrected, read_digits
from piopiy_pipeline.collect.text_entry import TextEntryReader
from piopiy_pipeline.collect.value_reader import Reading, Wording
from piopiy_pipeline.turns.caller_words import language_code

__all__ = ["PhoneNumberReader"]

MAX_ENTRY = 24
"""E.164 has 15 digits; before them may stand a prefix such as 00 or 011."""
_EXTENSION = re.compile(r"[\s,.]*\b(?:extension|ext\b\.?|nebenstelle|extensión)\W*\w.*", re.IGNORECASE)
"""E.164 has no place for one."""
_SAID_PLUS = {"es": "más", "it": "più", "pt": "mais"}
_PLUS = ("plus", "+", *_SAID_PLUS.values())


def _usual_length(number: phonenumbers.PhoneNumber) -> int:
    """Return how many digits the shorter of a country's usual numbers have, without its code."""
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    kinds = (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
    usual = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
    return min((len(str(one.national_number)) for one in usual if one is not None), default=0)


class PhoneNumberReader(TextEntryReader):
    """Reads a telephone number; its value has the form of E.164: ``+4930123456``.

    Args:
        language: The caller's language.
        region: The country of numbers without a country code, such as ``DE``.
    """

    kind = "phone_number"
    expects = "digits"

    def __init__(self, language: str, *, region: str) -> None:
        super().__init__(language)
        self._region = region

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        spoken = read_digits(_EXTENSION.sub("", text), self.language)
        if not spoken.digits:
            return Reading.NOTHING
        plus, digits = self._entry.startswith("+"), self._entry.lstrip("+")
        if digits and (entry := corrected(digits, spoken)) is not None:
            self._entry, self._over = ("+" if plus else "") + entry, False
            return self._reading()
        if not spoken.only and (not spoken.says_number or (digits and len(spoken.digits) < 5)):
            return Reading.NOTHING
        said = self._with_plus(spoken.words, spoken.digits)
        joined = self._entry + spoken.digits
        goes_on = not (spoken.denies or self._over or said.startswith("+")) and self._may_be(joined)
        if goes_on and self._entry:
            said = joined
        elif (checking or spoken.denies) and self._entry and len(spoken.digits) < 5:
            return Reading.NOTHING  # "no, seven": of which digit?
        self._entry, self._over = said[:MAX_ENTRY], False
        return self._reading()

    def press(self, keys: str, *, checking: bool = False) -> Reading:
        if "*" in keys:
            self.clear()
            keys = keys.rpartition("*")[2]
        if not keys.isdecimal():
            return Reading.PART if self._entry else Reading.NOTHING
        joined = self._entry + keys
        anew = checking or self._over or not self._may_be(joined)
        self._entry, self._over = (keys if anew else joined)[:MAX_ENTRY], False
        return self._reading()

    @staticmethod
    def _with_plus(words: str, digits: str) -> str:
        before = words.partition(digits[0])[0].split()
        return f"+{digits}" if before and before[-1] in _PLUS else digits

    def _parsed(self, entry: str) -> phonenumbers.PhoneNumber | None:
        try:
            return phonenumbers.parse(entry, self._region)
        except phonenumbers.NumberParseException:
            return None

    def _may_be(self, entry: str) -> bool:
        number = self._parsed(entry)
        if number is None:
            return len(entry) < 5
        reason = phonenumbers.is_possible_number_with_reason(number)
        return reason in (
            ValidationResult.IS_POSSIBLE,
            ValidationResult.IS_POSSIBLE_LOCAL_ONLY,
            ValidationResult.TOO_SHORT,
        )

    def _reading(self) -> Reading:
        number = self._parsed(self._entry)
        if number is not None and phonenumbers.is_valid_number(number):
            return Reading.WHOLE
        if number is None and len(self._entry) < 5:
            return Reading.PART
        if number is not None:
            reason = phonenumbers.is_possible_number_with_reason(number)
            if reason in (ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
                return Reading.PART
            if reason == ValidationResult.IS_POSSIBLE and len(str(number.national_number)) < _usual_length(
                number
            ):
                return Reading.PART
        self._over = True
        return Reading.INVALID

    @property
    def value(self) -> str:
        number = self._parsed(self._entry)
        assert number is not None
        return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))

    def spoken(self) -> str:
        number = self._parsed(self._entry)
        if number is None or not phonenumbers.is_valid_number(number):
            return in_groups(self._entry.lstrip("+"))
        abroad = phonenumbers.region_code_for_number(number) != self._region
        form = PhoneNumberFormat.INTERNATIONAL if abroad else PhoneNumberFormat.NATIONAL
        written = phonenumbers.format_number(number, form)
        groups = "".join(each if each.isdigit() else " " for each in written).split()
        said = ", ".join(in_groups(group) for group in groups)
        return f"{_SAID_PLUS.get(language_code(self.language), 'plus')} {said}" if abroad else said

    def written(self) -> str:
        number = self._parsed(self._entry)
        if number is None or not phonenumbers.is_valid_number(number):
            return self._entry
        return str(phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL))

    @property
    def model_task(self) -> str:
        return "the telephone number in digits, with a plus before them if there is a country code"

    def missing(self, words: Wording) -> str:
        return words("digits_so_far")

    def fault(self, words: Wording) -> str:
        return words("phone_wrong")
