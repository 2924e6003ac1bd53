"""What is read character by character, or nearly so: addresses, telephone numbers, IBANs, codes and versions."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from piopiy_pipeline.spoken_text.rule import ReadingRule, reading, word_before
from piopiy_pipeline.spoken_text.verbalizer import Verbalizer

__all__ = ["address_rules", "code_rules", "dialled_rules", "phone_rules"]

_DOMAINS = (
    "com|org|net|edu|gov|io|ai|app|dev|co|uk|de|at|ch|fr|es|it|nl|be|eu|info|biz|me|tv|shop|online|store|us|ca|au|in|"
    "xyz|pl|se|no|dk|fi|pt|br|mx|jp|cn|kr|ie|nz|za|cloud|site|tech|restaurant|health|clinic|example|test|local"
)
_FILES = "pdf|docx?|xlsx?|pptx?|txt|csv|jpe?g|png|gif|zip|mp[34]|wav|html?|json|xml|py|js"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS_END = r"[^\s<>\"()\[\]*]*[^\s<>\"()\[\]*.,;:!?'»“”]"
_CODE_WORD = re.compile(
    r"(?:code|pin|otp|zip|order|reference|ref|account|confirmation|ticket|booking|tracking|serial|invoice|customer|member"
    r"|card|passcode|password|extension|number|nummer|plz|postleitzahl|kennung|passwort|bestellung|buchung|kunde|kunden"
    r"|rechnung|konto|vorgang|vorgangsnummer|código|codice|clave|réservation|reserva|prenotazione|reservering|\w+(?:nummer|code|number))"
    r"(?:\s+(?:is|are|no\.?|nr\.?|number|nummer|ist|lautet|ending|in|code))*\s*[:#]?\s*[\"'“„*]*$",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"(?:\(\d{2,5}\)\s?\d{3,5}|0\d{2,4}[ -]\d{3,4})[ -]\d{3,4}")
"""A number that is grouped as telephone numbers are, perhaps of another country: "0800 123 4567"."""
_MAX_PATH = 60
"""A longer path is not said: nobody can type it from hearing."""
_REGIONS = {
    "en": "US", "de": "DE", "fr": "FR", "es": "ES", "it": "IT", "nl": "NL", "pt": "PT", "pl": "PL", "da": "DK",
    "sv": "SE", "nb": "NO", "fi": "FI", "tr": "TR", "ja": "JP", "hi": "IN",
}  # fmt: skip


class _AddressRules:
    """The rules for one language."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer
        self.region = verbalizer.country or _REGIONS.get(verbalizer.language, "US")
        self.groups_of = lru_cache(200)(self._groups_of)

    def rules(self) -> list[ReadingRule]:
        spoken_addresses = "dot" in self.v.words
        rules = [
            reading(rf"(?<![\w.+-])[\w.+%-]{{1,64}}@{_LABEL}(?:\.{_LABEL}){{1,5}}(?!\w)", self.email, needs="@"),
            reading(rf"(?i:https?://|ftp://|www\.){_ADDRESS_END}/?", self.url, needs="/."),
            reading(rf"(?<![\w@./-])(?:{_LABEL}\.){{1,4}}(?:{_DOMAINS})(?![\w-])(?!\.\w)(?:(?::\d{{2,5}})?/(?:{_ADDRESS_END}/?)?)?",
                self.url, needs=".",
            ),
            reading(rf"(?<![\w./])[\w-]{{1,60}}\.(?:{_FILES})(?!\w)", self.file, needs="."),
            reading(r"(?<!\w)@(?=[A-Za-z_])[\w.]{0,40}\w", self.handle, needs="@"),
        ]  # fmt: skip
        numbers = [
            reading(
                r"(?<![\w-])[A-Z]{2}\d{2}(?:[ \u00a0]?[A-Z0-9]{4}){2,7}(?:[ \u00a0]?[A-Z0-9]{1,3})?(?![\w-])",
                self.iban,
            ),
        ]
        return [*(rules if spoken_addresses else []), *(numbers if self.v.knows_numbers else [])]

    def phones(self) -> list[ReadingRule]:
        if not self.v.knows_numbers:
            return []
        return [
            reading(r"(?<![\w+./,-])(?:\+|00|\()?\d[\d\s()./\u00a0–-]{5,22}\d(?![\w/-])(?![.,]\d)", self.phone),
        ]  # fmt: skip

    # ------------------------------------------------------------------ addresses

    def _words(self, text: str) -> str:
        """Say letters, digits and marks of an address."""
        words = self.v.words
        names = {".": "dot", "-": "dash", "_": "underscore", "+": "plus", "/": "slash", "@": "at", "=": "equal sign",
                 "&": "and", "~": "", "%": "percent", ":": "colon", "#": "hash", "?": "question mark"}  # fmt: skip
        said: list[str] = []
        for part in re.findall(r"\d+|[^\W\d_]+|[\W_]", text):
            if part.isdigit() and self.v.knows_numbers:
                said.append(
                    self.v.digits(part) if len(part) > 2 or part[0] == "0" else self.v.cardinal(int(part))
                )
            elif part in names:
                said.append(words.get(names[part], ""))
            elif part[0].isalnum():
                said.append(part)
        return " ".join(each for each in said if each)

    def email(self, match: re.Match[str]) -> str | None:
        return self._words(match[0])

    def url(self, match: re.Match[str]) -> str | None:
        address = re.sub(r"^(?:https?|ftp)://", "", match[0], flags=re.IGNORECASE)
        address = re.split(r"[?#]", address, maxsplit=1)[0].rstrip("/")
        host, slash, path = address.partition("/")
        if not host:
            return None
        return self._words(host + slash + path if len(path) <= _MAX_PATH else host)

    def file(self, match: re.Match[str]) -> str | None:
        return self._words(match[0])

    def handle(self, match: re.Match[str]) -> str | None:
        return self._words(match[0])

    # ------------------------------------------------------------------ numbers

    def iban(self, match: re.Match[str]) -> str | None:
        characters = re.sub(r"\s", "", match[0])
        if not 15 <= len(characters) <= 34:
            return None
        return self.characters(characters, 4)

    def characters(self, text: str, size: int) -> str:
        """Say letters and digits one by one, with a pause after every `size`."""
        groups = [text[i : i + size] for i in range(0, len(text), size)] if size else [text]
        return ", ".join(
            " ".join(self.v.cardinal(int(each)) if each.isdigit() else each.upper() for each in group)
            for group in groups
        )

    def phone(self, match: re.Match[str]) -> str | None:
        written = match[0]
        groups = self.groups_of(written)
        if groups is None:
            return None
        plus = f"{self.v.words.get('plus', 'plus')} " if written.startswith("+") else ""
        return plus + ", ".join(self.v.digits(group) for group in groups)

    def _groups_of(self, written: str) -> tuple[str, ...] | None:
        """Return the digits of a telephone number in groups, or None if it is none."""
        digits = re.sub(r"\D", "", written)
        groups = re.findall(r"\d+", written)
        alone = len(groups) == 1
        if not written.startswith(("+", "00", "(", "0")):
            if alone or re.fullmatch(r"\d{4}\s?[-–]\s?\d{4}", written):
                return None
            if self.v.language == "en" and re.fullmatch(r"[6-9]\d{4}[-\s]\d{5}", written):
                return tuple(groups)  # a mobile number of India, as it is written there
            # Without a prefix only what is grouped as telephone numbers are: 555-0123, 212 555 0123.
            if self.region not in ("US", "CA") or not re.fullmatch(
                r"(?:1[-. ]?)?(?:\d{3}[-. ])?\d{3}[-. ]\d{4}", written
            ):
                return None
        if "." in written and not re.fullmatch(r"[\d.\s()+-]+", written):
            return None
        try:
            number = phonenumbers.parse(written, self.region)
        except phonenumbers.NumberParseException:
            return None
        elsewhere = _GROUPED.fullmatch(written) is not None
        if not phonenumbers.is_possible_number(number) and len(digits) != 7 and not elsewhere:
            return None
        if alone and not phonenumbers.is_valid_number(number):
            return None
        if max(len(group) for group in groups) > 5:
            international = written.startswith(("+", "00"))
            kind = phonenumbers.PhoneNumberFormat
            grouped = phonenumbers.format_number(
                number, kind.INTERNATIONAL if international else kind.NATIONAL
            )
            found = re.findall(r"\d+", grouped)
            if "".join(found) == digits:
                groups = found
        return tuple(piece for group in groups for piece in _short(group))


def _short(group: str) -> list[str]:
    """Cut a group of more than five digits."""
    if len(group) <= 5:
        return [group]
    size = 4 if len(group) % 4 == 0 else 3
    pieces = [group[i : i + size] for i in range(0, len(group), size)]
    if len(pieces[-1]) == 1:
        pieces[-2:] = [pieces[-2] + pieces[-1]]
    return pieces


_DIALLED = re.compile(
    r"\b(?:call(?:s|ed|ing)?|dial(?:s|l?ed|l?ing)?|ring|phone|text|notruf|ruf(?:en|e|t)?|wählen?|wählt)\b"
    r"(?:\s[\w'’]+){0,3}[\s:]{1,2}$",
    re.IGNORECASE,
)
"""Words close behind which a short number is one to dial, if it is known as such."""
_SHORT_NUMBERS = "911|112|999|110|111|000|988|811|711|611|511|411|311|211|101|116117"


class _CodeRules:
    """The rules for versions and codes in one language."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer

    def rules(self) -> tuple[list[ReadingRule], list[ReadingRule]]:
        if not self.v.knows_numbers:
            return [], []
        dots = "{1,4}" if self.v.decimal == "," else "{2,4}"
        series = [
            reading(r"(?<![\w.])(?P<v>[vV]\.?\s?)(?P<n>\d+(?:\.\d+){0,4})(?![\w])(?!\.\d)", self.version),
            reading(
                rf"(?<![\w.,])(?P<n>\d+(?:\.\d+){dots})(?P<pre>-?(?:alpha|beta|rc)\.?\d*)?"
                r"(?![\w])(?!\.\d)(?!,\d)(?!\s?[%€$£])",
                self.dotted,
            ),
        ]
        codes = [
            reading(r"(?<![\w,.])(?P<n>\d{4,30})(?!\w)(?![.,]\d)", self.number),
            reading(
                r"(?<![\w.])(?=[A-Za-z-]{0,20}\d)(?=[\d-]{0,20}[A-Za-z])[A-Za-z0-9]{1,40}(?:[-–][A-Za-z0-9]{1,40}){0,8}(?!\w)",
                self.code,
            ),
        ]
        return series, codes

    def dialled(self) -> list[ReadingRule]:
        """Return the rules for short numbers that are dialled, and for numbers of cards and books."""
        if not self.v.knows_numbers:
            return []
        return [
            reading(rf"(?<![\w.,])(?P<n>{_SHORT_NUMBERS})(?!\w)(?![.,:/-]\d)", self.short_number),
            reading(
                r"(?<![\w.,-])(?P<n>\d{4}(?:([ -])\d{4}(?:\2\d{4}){2}(?:\2\d{1,3})?|[ -]\d{6}[ -]\d{5}))"
                r"(?!\w)(?![ -]\d)",
                self.grouped,
            ),
            reading(r"(?<!\w)ISBN(?:-1[03])?:?\s?(?P<n>\d[\d -]{8,16}[\dX])(?!\w)", self.isbn),
        ]

    def short_number(self, match: re.Match[str]) -> str | None:
        text = match.string
        before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() :]
        if not _DIALLED.search(before):
            return None
        if re.match(r"\s[^\W\d_]", after) and not re.match(
            r"\s(?:(?:an|immediately|now|if|for|or|and|in|from|right|straight|at|oder|und|bei|im|wenn|für)\b)",
            after,
        ):
            return None  # it counts something
        return self.v.digits(match["n"])

    def grouped(self, match: re.Match[str]) -> str:
        return ", ".join(self.v.digits(group) for group in re.findall(r"\d+", match["n"]))

    def isbn(self, match: re.Match[str]) -> str | None:
        groups = re.findall(r"[\dX]+", match["n"])
        if len("".join(groups)) not in (10, 13):
            return None
        if len(groups) == 1:
            (whole,) = groups
            groups = [whole[i : i + 3] for i in range(0, len(whole) - 1, 3)]
            groups[-1] = whole[3 * (len(groups) - 1) :]
        return "ISBN " + ", ".join(self.characters(group) for group in groups)

    def characters(self, text: str) -> str:
        """Say digits one by one, and the X that ends the number of a book."""
        return " ".join(self.v.cardinal(int(each)) if each.isdigit() else each for each in text)

    def _series(self, written: str) -> str:
        mark = {"de": "Punkt", "en": "point"}.get(self.v.language, self.v.words.get("point", "."))
        numbers = written.split(".")
        if len(numbers) == 4 and all(len(each) <= 3 and int(each) < 256 for each in numbers):
            mark = self.v.words.get("dot", mark)  # an IP address
        return f" {mark} ".join(
            self.v.digits(each)
            if len(each) > 4 or (len(numbers) == 4 and len(each) == 3)
            else self.v.cardinal(int(each))
            for each in numbers
        )

    def version(self, match: re.Match[str]) -> str | None:
        word = self.v.words.get("version")
        if not word:
            return None
        said = self._series(match["n"])
        return said if word_before(match).lower() == word.lower() else f"{word} {said}"

    def dotted(self, match: re.Match[str]) -> str | None:
        groups = match["n"].split(".")
        if self.v.group == "." and all(len(each) == 3 for each in groups[1:]) and len(groups[0]) <= 3:
            return None  # 1.234.567
        pre = re.sub(r"[-.]", " ", match["pre"] or "")
        pre = re.sub(r"\d+", lambda number: f" {self.v.cardinal(int(number[0]))}", pre)
        return self._series(match["n"]) + (" " + " ".join(pre.split()) if pre else "")

    def number(self, match: re.Match[str]) -> str | None:
        """Say a number digit by digit, if it counts nothing."""
        digits, text = match["n"], match.string
        before = text[max(0, match.start() - 40) : match.start()]
        zip_code = (
            len(digits) == 5
            and (
                re.search(r"\b[A-Z]{2}\s$", before)
                if self.v.language == "en"
                else re.search(r"\d\s?[a-z]?,\s$", before)
            )
            and (self.v.language == "en" or re.match(r"\s[^\W\d_a-zäöü]", text[match.end() :]))
        )
        if len(digits) >= 7 or digits[0] == "0" or zip_code or _CODE_WORD.search(before):
            return self.v.digits(digits, 0 if len(digits) <= 5 else 4 if len(digits) % 4 == 0 else 3)
        return None

    def code(self, match: re.Match[str]) -> str | None:
        written = match[0]
        groups = re.split(r"[-–]", written)
        if "dot" not in self.v.words and not written.isupper():
            return None
        if len(groups) == 1 and written[0].isdigit() and re.fullmatch(r"\d+(?:st|nd|rd|th|s|x)", written):
            return None
        if any(
            group.isalpha() and (group.islower() or group.istitle()) and len(group) > 1 for group in groups
        ):
            return None  # a word of letters and a number: 5-star, 3-course, Covid-19
        if not any(self._is_mixed(group) for group in groups) and len(groups) < 2:
            return None
        if len(groups) == 2 and groups[0].isalpha() and groups[1].isdigit() and len(groups[1]) <= 2:
            return " ".join(self._group(group, alone=True) for group in groups)  # COVID-19
        return ", ".join(self._group(group, alone=len(groups) == 1) for group in groups if group)

    @staticmethod
    def _is_mixed(group: str) -> bool:
        return any(each.isdigit() for each in group) and any(each.isalpha() for each in group)

    def _group(self, group: str, *, alone: bool) -> str:
        runs = re.findall(r"\d+|[A-Za-z]+", group)
        said: list[str] = []
        for run in runs:
            if run.isdigit():
                short = len(run) <= 2 and run[0] != "0" and len(runs) <= 2 and alone
                said.append(
                    self.v.cardinal(int(run)) if short else self.v.digits(run, 0 if len(run) < 6 else 3)
                )
            elif (len(run) <= 4 and run.isupper()) or (len(runs) > 2 and len(run) <= 3) or len(run) == 1:
                said.append(" ".join(run.upper() if len(runs) > 2 or run.isupper() else run))
            else:
                said.append(run)
        if len(group) > 5 and len(runs) > 2:  # many letters and digits: pauses help to write them down
            words = " ".join(said).split(" ")
            size = 4 if len(words) % 4 == 0 else 3
            return ", ".join(" ".join(words[i : i + size]) for i in range(0, len(words), size))
        return " ".join(said)


def address_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rules for addresses and IBANs, in the order in which they are to be tried."""
    return _AddressRules(verbalizer).rules()


def phone_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rule for telephone numbers."""
    return _AddressRules(verbalizer).phones()


def dialled_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rules for numbers that are dialled, and those of cards and books."""
    return _CodeRules(verbalizer).dialled()


def code_rules(verbalizer: Verbalizer) -> tuple[list[ReadingRule], list[ReadingRule]]:
    """Return the rules for versions, and those for codes, in the order in which they are to be tried."""
    return _CodeRules(verbalizer).rules()
