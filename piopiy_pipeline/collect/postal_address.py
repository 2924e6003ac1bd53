"""Postal addresses: dictated in one answer or several, kept as they were said, and read back.

Numbers in words become digits. Street, postal code and town are told apart where the order of the country leaves no
doubt; what is certain is the `text`, to which the caller has said yes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from text_to_num import alpha2digit

from piopiy_pipeline.collect.address_correction import (
    AddressParts,
    corrected_address,
    corrected_part,
    names_flat,
    names_street,
    without_labels,
    wrong_part,
)
from piopiy_pipeline.collect.email_address import ALPHABET
from piopiy_pipeline.collect.remarks import counts, self_repair, sentence_words
from piopiy_pipeline.collect.spoken_digits import ascii_digits, read_digits
from piopiy_pipeline.collect.value_reader import Reading, ValueReader, Wording
from piopiy_pipeline.collect.yes_no import says_yes
from piopiy_pipeline.turns.caller_words import is_opener, language_code, words_of

__all__ = ["POSTAL_CODES", "Address", "AddressReader"]

MAX_CHARACTERS = 400
POSTAL_CODES = {
    "AT": r"\d{4}", "AU": r"\d{4}", "BE": r"\d{4}", "BR": r"\d{5}-?\d{3}", "CA": r"[a-z]\d[a-z] ?\d[a-z]\d",
    "CH": r"\d{4}",
    "CZ": r"\d{3} ?\d{2}", "DE": r"\d{5}", "DK": r"\d{4}", "ES": r"\d{5}", "FI": r"\d{5}", "FR": r"\d{5}",
    "GB": r"[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}", "IN": r"\d{3} ?\d{3}", "IT": r"\d{5}", "MX": r"\d{5}",
    "NL": r"\d{4} ?[a-z]{2}", "NO": r"\d{4}", "PL": r"\d{2}-?\d{3}", "PT": r"\d{4}-?\d{3}", "SE": r"\d{3} ?\d{2}",
    "SG": r"\d{6}", "US": r"\d{5}(?:-\d{4})?",
}  # fmt: skip
"""The postal codes of countries (CLDR's, shortened to what is said)."""
_LEAD_IN = re.compile(
    r"^\W*(?:(?:um+|uh+|so|sure|okay|ok|yes|well|no|sorry|ja|nein|also|ähm?)\b\W*)*"
    r"(?:(?:my|the|meine|die)? ?(?:address|adresse|anschrift) (?:is|ist|lautet)|(?:it's|it is|that's|that is"
    r"|(?:i|we) live (?:at|in|on)|(?:i'm|we're) (?:living (?:at|in|on)|at(?= \d))|(?:please )?send it to"
    r"|(?:ich wohne|wir wohnen) (?:in der|in|am|im)|(?:das|es) ist(?: in der)?"
    r"|j'habite (?:au|à la|à|dans la)|mon adresse,? (?:c'est|est)(?: le)?|c'est (?:le|au)"
    r"|vivo en(?: la| el)?|mi dirección es(?: la)?|es la))\b\W*",
    re.IGNORECASE,
)
_NO = re.compile(
    r"^\W*(?:no|nope|nein|nee|neen|non|nan|não|wrong|falsch)\b"
    r"(?:[\s,.!]+(?:wait|sorry|moment|entschuldigung|pardon|perdón|scusi|desculpe)\b)*[\s,.!]*",
    re.IGNORECASE,
)
_YES = re.compile(r"^\W*(?:(?:yes|yeah|yep|right|ja|genau|but|and|aber|und)\b[\s,.!]*)+", re.IGNORECASE)
_NO_PLACE = frozenset(
    {"oui", "non", "sí", "sì", "sim", "não", "nee", "euh", "eh", "claro", "bueno", "allora"}
    | {
        "yes",
        "yeah",
        "yep",
        "no",
        "nope",
        "nah",
        "well",
        "um",
        "uh",
        "oh",
        "so",
        "right",
        "sure",
        "okay",
        "ok",
    }
    | {"ja", "nein", "doch", "äh", "ähm"}
)
"""Who says only these names no street and no town."""
_COURTESY = re.compile(
    r"[\s,.!]+(?:please|thanks|thank you|bitte|danke|s'il vous plaît|merci|por favor|gracias|per favore|grazie"
    r"|obrigad[oa]|alstublieft|bedankt)$",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\S+ (?:.* )?[A-ZÄÖÜÀ-Ý][a-zß-ÿ]|[^\W\d]+$|(?:am|an der|auf de[rm]|im|in der|unter den|zum|zur) "
)
"""How the name of a place is written that is known by no word: "Unter den Linden", "Portland, Oregon", "Broadway"."""
_A_THING = re.compile(r"an? (?!\w\b|der |den |dem )", re.IGNORECASE)
_TIMES = re.compile(r"\b(double|triple) (oh|[a-z]+|\d)\b", re.IGNORECASE)
_SPELLED = re.compile(r"(?<!\S)(?:[a-z\d]{1,2} ){2,6}[a-z\d]{1,2}(?!\S)", re.IGNORECASE)
"""A postal code with letters in it, as it is said: "o x 1 4 a a"."""
_RADIO = re.compile(
    rf"(?<!\S)(?:(?:{'|'.join(ALPHABET)}|[a-z\d]) ){{3,6}}(?:{'|'.join(ALPHABET)}|[a-z\d])(?!\S)",
    re.IGNORECASE,
)
"""The same with the alphabet of NATO."""


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address.

    Attributes:
        text: All of it, as it was said and agreed to.
        street: Street and house number; empty if they cannot be told apart from the rest.
        postal_code: The postal code; empty if there is none.
        town: The town; empty if it cannot be told apart from the rest.
    """

    text: str
    street: str = ""
    postal_code: str = ""
    town: str = ""


class AddressReader(ValueReader[Address]):
    """Reads a postal address.

    Args:
        language: The caller's language.
        region: The country of the address, such as ``DE``: it says what a postal code is.
    """

    kind = "address"
    expects = "dictation"

    def __init__(self, language: str, *, region: str) -> None:
        super().__init__(language)
        self._code = POSTAL_CODES.get(region)
        self._region = region
        self._entry = ""
        self._wanted = ""  # the part that the caller has called wrong

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        if (parts := self_repair(text)) is not None:
            return self._hear_repaired(*parts, checking=checking)
        if checking and names_flat(text):
            text = _YES.sub("", text)  # "yes, flat 4"
        said = self._plain(text)
        denied = _NO.match(text.strip()) is not None
        if text.rstrip().endswith("?"):
            text, said = text.rstrip("? "), said.rstrip("? ")
            if not self._is_whole(said) or sentence_words(said, language_code(self.language)):
                return Reading.NOTHING  # else only the voice rises
        bare = _NO.sub("", said)
        plain = without_labels(bare)
        if self._entry and (checking or denied) and (wrong := wrong_part(bare, self._parts())):
            self._wanted = wrong
            return Reading.PART
        if self._wanted and not self._is_whole(plain):
            fixed = corrected_part(bare, self._wanted, self._parts(), code=self._code)
            if fixed is None:
                return Reading.NOTHING
            self._entry, self._wanted = fixed[:MAX_CHARACTERS], ""
            return self._reading()
        if self._wanted:  # the caller says all of it once more
            self.clear()
        if self._entry and (checking or denied or plain != bare):
            if (corrected := corrected_address(bare, self._parts(), code=self._code)) is not None:
                self._entry = corrected[:MAX_CHARACTERS]
                return self._reading()
            if checking and self._code and not self._is_whole(plain):
                return Reading.NOTHING  # which part is meant is not certain
        if not self._is_part(plain, checking=checking or denied):
            return Reading.NOTHING
        if checking or denied or not self._entry:
            self._entry = plain
        else:
            is_house_number = re.fullmatch(r"\d{1,4} ?[a-z]?", plain, re.IGNORECASE) and not re.search(
                r"\d", self._entry
            )
            self._entry = f"{self._entry}{' ' if is_house_number else ', '}{plain}"
        self._entry = self._entry[:MAX_CHARACTERS]
        return self._reading()

    def _hear_repaired(self, before: str, after: str, *, checking: bool) -> Reading:
        """Take an answer in which the caller takes something back, if it is certain what comes in its place."""
        kept = self.state()
        if self._is_whole(self._plain(after)) or self.hear(before, checking=checking) is Reading.NOTHING:
            return self.hear(after, checking=checking)
        fixed = corrected_address(self._plain(after), self._parts(), code=self._code)
        if fixed is None:
            self.restore(kept)
            return Reading.NOTHING
        self._entry = fixed[:MAX_CHARACTERS]
        return self._reading()

    def _is_whole(self, text: str) -> bool:
        """Return whether a text is an address by itself."""
        alone = AddressReader(self.language, region=self._region)
        alone.restore(text)
        return alone._reading() is Reading.WHOLE

    def _parts(self) -> AddressParts:
        """Return the address with the place of each part, also where one is missing yet."""
        parts = self.value
        rest = self._without_code()
        street = parts.street or rest.split(",")[0].strip()
        return AddressParts(self._entry, street, parts.postal_code, parts.town)

    def _is_part(self, said: str, *, checking: bool) -> bool:
        words = [word for word in words_of(said) if not word.isdigit()]
        has_number = bool(re.search(r"\d", said))
        talk = sentence_words(said, language_code(self.language))
        if (
            talk > (self._is_whole(said) or (has_number and names_street(said)))
            or counts(said)
            or is_opener(said, self.language)
            or _A_THING.match(said)
        ):
            return False  # one such word may be in the name of a street
        if not has_number and _NO_PLACE.issuperset(words):
            return False
        if checking:
            return has_number and bool(words) and not says_yes(said, self.language)
        if says_yes(said, self.language) is not None and not has_number:
            return False
        if has_number or (self._entry and words):
            return True
        return 1 <= len(words) <= 6 and (names_street(said) or _NAME.match(said) is not None)

    def _plain(self, text: str) -> str:
        text = ascii_digits(text).replace("’", "'")
        said = _LEAD_IN.sub("", re.sub(r"\s+", " ", text).strip()).strip(" .,!")
        said = _COURTESY.sub("", said)
        code = language_code(self.language)
        if code == "en":
            said = _TIMES.sub(self._repeated, said)
        with contextlib.suppress(ValueError, KeyError):  # a language that text2num has not
            said = alpha2digit(said, code, threshold=0.0)
        if code == "en":
            for _ in range(2):  # "oh oh": the second one stands behind a digit after the first pass
                said = re.sub(r"(?<=\d )oh?(?= (?:\d|oh?\b))", "0", said, flags=re.IGNORECASE)
            said = re.sub(
                r"^(\d\d) (\d\d)(?= [^\W\d])", r"\1\2", said
            )  # "twenty three forty five Main Street"
            said = _RADIO.sub(lambda found: " ".join(word[0] for word in found[0].split()), said)
        said = _SPELLED.sub(self._unspelled, said)
        said = re.sub(r"(?<=\d)-(?=(?:st|nd|rd|th)\b)", "", said)
        return re.sub(r"(?<!\S)\d{1,5}(?:,? \d{1,5}){1,8}(?!-?\w)", self._joined, said)

    def _joined(self, match: re.Match[str]) -> str:
        """Join digits that were said one by one, if they are a postal code: a house number may stand before it."""
        numbers = match[0].split()
        for n in range(len(numbers) - 1):
            code = "".join(numbers[n:]).replace(",", "")
            if self._code and re.fullmatch(self._code, code):
                return " ".join([*numbers[:n], code])
        if all(len(number) == 1 for number in numbers):
            return "".join(numbers)  # a house number
        return match[0]

    @staticmethod
    def _repeated(match: re.Match[str]) -> str:
        """Return "five five" for "double five"."""
        digit = "0" if match[2].lower() == "oh" else read_digits(match[2], "en").digits
        return " ".join([digit] * (2 if match[1].lower() == "double" else 3)) if len(digit) == 1 else match[0]

    def _unspelled(self, match: re.Match[str]) -> str:
        """Join letters and digits that were said one by one, if they are a postal code."""
        parts = match[0].split()
        for n in range(len(parts) - 2):
            code = "".join(parts[n:]).upper()
            if self._code and not code.isdecimal() and re.fullmatch(self._code, code, re.IGNORECASE):
                return " ".join(
                    [*parts[:n], f"{code[:-3]} {code[-3:]}" if self._region in ("GB", "CA") else code]
                )
        return match[0]

    def _reading(self) -> Reading:
        rest = self._without_code()
        if not re.search(r"\d", rest) or len(words_of(rest)) < 2:
            return Reading.PART
        if self._code and not self._postal_code():
            return Reading.PART
        return Reading.WHOLE

    def _without_code(self) -> str:
        """Return what there is of the address without its postal code: a house may have the same number."""
        before, _, after = (
            self._entry.rpartition(code) if (code := self._postal_code()) else ("", "", self._entry)
        )
        return f"{before} {after}".strip()

    def _postal_code(self) -> str:
        found = (
            re.findall(rf"(?<![\w-])(?:{self._code})(?![\w-])", self._entry, re.IGNORECASE)
            if self._code
            else []
        )
        first = re.match(r"\d+", self._entry)
        if (
            found
            and first
            and found[0] == first[0]
            and len(found) == 1
            and self._region in ("US", "AU", "IN")
        ):
            return ""  # a house number of five digits
        return str(found[-1]) if found else ""

    @property
    def value(self) -> Address:
        code = self._postal_code()
        if not code:
            return Address(self._entry)
        before, _, after = self._entry.rpartition(code)
        before, after = before.strip(" ,."), after.strip(" ,.")
        if after and before:  # 10115 Berlin
            return Address(self._entry, re.sub(r"(?:,| in)$", "", before).strip(), code, after)
        parts = [part.strip() for part in before.split(",") if part.strip()]
        if len(parts) > 2 and any(
            names_flat(part, only=True) for part in parts[:2]
        ):  # Flat 3, 23 High Street, Oxford
            parts[:2] = [", ".join(parts[:2])]
        if len(parts) > 1:  # Portland, Oregon 97201
            return Address(self._entry, parts[0], code, ", ".join(parts[1:]))
        return Address(self._entry, "", code, "")

    def spoken(self) -> str:
        return self._entry

    @property
    def model_task(self) -> str:
        return "the postal address in one line, in the order of its country"

    def missing(self, words: Wording) -> str:
        if self._wanted:
            asked = {"number": "address_number", "street": "address_street"}
            return words(asked.get(self._wanted, "address_town"))
        rest = self._without_code()
        return words("address_town" if re.search(r"\d", rest) else "address_number")

    def clear(self) -> None:
        self._entry = self._wanted = ""

    def state(self) -> Any:
        return [self._entry, self._wanted] if self._wanted else self._entry

    def restore(self, state: Any) -> None:
        entry, wanted = state if isinstance(state, list) else (state, "")
        self._entry, self._wanted = str(entry), str(wanted)

    def to_json(self, value: Address) -> Any:
        return asdict(value)

    def from_json(self, value: Any) -> Address:
        return Address(**value)
