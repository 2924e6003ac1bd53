"""Numbers of all kinds, money and units."""

from __future__ import annotations

import re
from collections.abc import Mapping

from babel.units import UnknownUnitError

from piopiy_pipeline.spoken_text.rule import (
    NUMBERED_THINGS,
    ReadingRule,
    number_pattern,
    read_amount,
    reading,
    word_before,
    word_set,
)
from piopiy_pipeline.spoken_text.verbalizer import CURRENCY_CODES, SYMBOLS, UNITS, Amount, Verbalizer

__all__ = ["digit_rules", "number_rules"]

_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
_CODES_IN_WORDS: Mapping[str, Mapping[str, str]] = {
    "de": {"Euro": "EUR", "Dollar": "USD", "Franken": "CHF", "Pfund": "GBP"},
} | {language: {"euros": "EUR", "euro": "EUR"} for language in ("en", "fr", "es", "it", "pt", "nl")}
_PER: Mapping[str, Mapping[str, str]] = {
    "en": {"h": "hour", "hr": "hour", "hrs": "hour", "mo": "month", "yr": "year", "wk": "week", "min": "minute",
           "s": "second", "kg": "kilogram", "km": "kilometer", "lb": "pound", "m²": "square meter", "l": "liter",
           "d": "day", "pp": "person", "g": "gram", "dl": "deciliter", "dL": "deciliter", "ml": "milliliter",
           "mL": "milliliter"},
    "de": {"h": "Stunde", "Std": "Stunde", "Mon": "Monat", "kg": "Kilogramm", "km": "Kilometer", "m²": "Quadratmeter",
           "qm": "Quadratmeter", "l": "Liter", "Min": "Minute", "min": "Minute", "g": "Gramm", "d": "Tag",
           "Pers": "Person", "s": "Sekunde"},
}  # fmt: skip
_ONLY_ATTACHED = frozenset(("in", "A", "V", "W", "t", "s", "KB", "kB"))
"""Units that are words or letters as well: only right behind the number."""
_YEAR_WORDS = word_set(
    "in since by until from of year to before after during early late mid summer spring autumn fall winter born "
    "established copyright im seit ab bis jahr jahre jahres von vor nach anno sommer frühling herbst und around "
    "circa through till jaar sinds tot vanaf uit année depuis año desde anno dal nel ano"
)
_DECADE_WORDS = frozenset(["the", "his", "her", "their", "my", "our", "your", "mid", "late", "early", "in"])
_ARTICLES = word_set(
    "der die das den dem des am im vom zum zur beim ein eine einen jeder jede jeden ihr ihre ihren dieser "
    "mein meine meinen unser unsere unseren"
)
"""German words before which a number with a full stop is an ordinal."""
_COUNTED_NOUNS: Mapping[str, str] = {
    "Stock": "r", "Etage": "", "Obergeschoss": "s", "Untergeschoss": "s", "Weltkrieg": "r", "Jahrhundert": "s",
    "Klasse": "", "Platz": "r", "Quartal": "s", "Halbjahr": "s", "Halbzeit": "", "Rate": "", "Mahnung": "",
}  # fmt: skip
"""German nouns before which a number with a full stop is an ordinal also without an article, and its ending."""
_SERIES_WORDS = frozenset(["version", "release", "python", "ios", "android", "node", "build", "windows", "v"])


class _NumberRules:
    """The rules for one language."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer
        self.number = number_pattern(verbalizer)
        self.months = verbalizer.months

    def rules(self) -> tuple[list[ReadingRule], list[ReadingRule]]:
        v, number = self.v, self.number
        start, end = r"(?<!\w)(?<!\d[.,])", rf"(?!\w)(?!{re.escape(v.decimal)}\d)"
        other = "," if v.decimal == "." else "."
        mark = re.escape(other)  # 12,50 in an English text
        price = rf"(?:\d{{1,3}}(?:{re.escape(v.decimal)}\d{{3}})*{mark}\d{{2}}(?![\d{mark}])|{number})"
        measure = rf"(?:\d{{1,4}}{mark}\d{{1,2}}(?![\d{mark}])|{number})" if v.has_rules else number
        vulgar = "".join(_FRACTIONS)
        symbols = "|".join(
            re.escape(each) for each in sorted(SYMBOLS, key=len, reverse=True) if each not in ("Fr.", "kr")
        )
        after = "|".join(re.escape(each) for each in sorted(SYMBOLS, key=len, reverse=True))
        named = "|".join(_CODES_IN_WORDS.get(v.language, {})) or "(?!)"
        magnitude = (
            "|".join(re.escape(each) for each in sorted(v.magnitudes, key=len, reverse=True)) or "(?!)"
        )
        units = "|".join(re.escape(each) for each in sorted(UNITS, key=len, reverse=True))
        per = r"(?:\s?/\s?(?P<per>[^\W\d_]+²?)\.?(?![\w/]))?"
        dash = r"\s?[-–—]\s?"
        to = self.v.words.get("to")
        amounts = [
            reading(
                rf"(?:(?<=\s)|(?<=^)|(?<=\())?(?P<sign>[-−]\s?)?(?<!\w)(?P<symbol>{symbols}|(?<!\w)(?:{CURRENCY_CODES}))\s?(?P<sign2>[-−])?"
                rf"(?P<number>{price})(?:(?:\s?(?P<many>{magnitude}))?{dash}(?:{symbols})?(?P<second>{price}))?"
                rf"(?:[.,][-–—](?!\d)|/-)?"
                rf"(?:\s?(?P<magnitude>{magnitude})(?!\w))?{per}(?!\w)",
                self.money,
            ),
            reading(
                rf"{start}(?P<sign>[-−])?(?P<number>{price})(?:(?:\s?(?P<many>{magnitude}))?{dash}(?P<second>{price}))?"
                rf"(?:[.,][-–—])?"
                rf"(?:\s?(?P<magnitude>{magnitude}))?[\s\u00a0]?(?P<symbol>{after}|{CURRENCY_CODES}|{named})(?!\w){per}",
                self.money,
            ),
            reading(
                r"(?<![\w.,])(?:(?P<h>\d{1,3})\s?(?:h|hrs?|Std\.?)\s?)?(?P<m>\d{1,2})\s?(?:m|mins?|Min)"
                r"(?:\s?(?P<s>\d{1,2})\s?(?:s|secs?|Sek))?(?!\w)",
                self.duration,
            ),
            reading(
                rf"(?<![\w/])(?:(?P<whole>\d{{1,3}})\s?)?(?:(?P<n>\d{{1,2}})/(?P<d>\d{{1,2}})|(?P<sign>[{vulgar}]))"
                rf"(?P<space>[\s\u00a0\u202f-]?)(?P<unit>{units})(?![\w°/])",
                self.part_of_unit,
            ),
            reading(
                r"(?<![\w.,/])(?P<ft>\d{1,2})\s?(?:ft|feet)\.?\s?(?P<inch>\d{1,2})\s?in(?:\.(?=\s[a-z\d]))?(?!\w)",
                self.height if v.language == "en" else _leave,
            ),
            reading(
                rf"{start}(?<!/)(?P<sign>[-−])?(?P<number>{measure})(?:(?P<x>\s?[x×]\s?)(?P<other>{measure}))?"
                rf"(?:(?:\s?(?P<first>{units}))?{dash}(?P<second>{measure}))?(?P<space>[\s\u00a0\u202f-]?)"
                rf"(?P<unit>{units}){per}(?![\w°]|/\d)(?P<dot>\.(?=\s[a-z\d]))?",
                self.unit,
            ),
        ]
        numbers = [
            reading(r"(?<!\w)(?P<ft>[3-8])['’′]\s?(?P<inch>\d|1[01])(?:[\"”″]|''|(?![\w'’′]))", self.height)
            if v.has_rules
            else reading(  # 10:30, 3/4, 10h30, 1er, 1.º
                r"(?<![\w.,:/])(?:\d{1,4}(?:\s?[:/]\s?\d{1,4})+(?![\w/:])|\d+(?:\.?[ºª]|[^\W\d_]{1,3}\d{0,2})(?!\w))",
                _as_written,
            ),
            reading(
                rf"(?<!\w)['’]?(?P<n>\d0|[12]\d\d0)(?:{'s' if v.language == 'en' else 'er'})(?!\w)",
                self.decade if v.has_rules else _leave,
            ),
            reading(
                r"(?<![\w.,/])(?P<whole>\d{1,3})\s(?P<n>\d{1,2})/(?P<d>\d{1,2})(?![\w/])",
                self.mixed if v.language == "de" else _leave,
            ),
            reading(
                rf"(?:(?<!\w)(?P<whole>\d+)\s?)?(?P<sign>[{''.join(_FRACTIONS)}])",
                self.vulgar,
                needs="".join(_FRACTIONS),
            ),
            reading(
                rf"{start}(?P<n>\d+(?:{re.escape(v.decimal)}\d+)?)\s?/\s?(?P<d>\d{{1,3}})(?![\w/])",
                self.fraction,
            ),
            reading(
                r"(?<!\w)(?P<n>\d{1,9})(?:st|nd|rd|th)(?!\w)"
                if v.language == "en"
                else r"(?<!\w)(?P<n>\d{1,3})\.(?=\s+[^\W\d_]|\s*$)",
                self.ordinal,
            ),
            reading(
                rf"{start}(?P<n>\d+(?:\.\d+)?)(?P<m>[kM]|bn|Mio\.?|Mrd\.?)"
                rf"(?:{dash}(?P<n2>\d+(?:\.\d+)?)(?P<m2>[kM]|bn|Mio\.?|Mrd\.?))?(?!\w)",
                self.magnitude,
            ),
            reading(
                rf"(?<![\w.,])(?:(?P<first>\d{{1,2}}){dash})?(?P<n>\d{{1,2}})\s?[x×](?!\w)(?!\s?[\d=]){per}",
                self.repeated if v.has_rules else _leave,
            ),
            reading(
                rf"(?<![\w.,-])(?P<first>{number}){dash}(?P<second>{number})(?![\w-])(?!{re.escape(v.decimal)}\d)(?!\s?=)",
                self.range if to else _leave,
            ),
            reading(
                rf"(?<!\w)(?P<first>{number})\s?(?P<sign>[x×*·÷:])\s?(?P<second>{number}){end}",
                self.pair,
            ),
            reading(rf"{start}(?P<sign>(?<![\w.)\]])[-−–])?(?P<n>{number}){end}", self.plain),
        ]
        return (amounts, numbers) if v.knows_numbers else ([], [])

    def digits(self, match: re.Match[str]) -> str:
        before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
        said = (
            self.v.digits(match[0])
            if len(match[0]) > 6 or match[0][0] == "0"
            else self.v.cardinal(int(match[0]))
        )
        return (" " if before.isalnum() else "") + said + (" " if after.isalnum() else "")

    def before_letter(self, match: re.Match[str]) -> str:
        """Say a number with a fraction that letters follow: 38.5C."""
        return f"{self.v.amount(read_amount(match['n'], self.v))} "

    def amount(self, match: re.Match[str], group: str = "number") -> Amount:
        negative = group == "number" and any(match.groupdict().get(sign) for sign in ("sign", "sign2"))
        return read_amount(match[group], self.v, negative=negative)

    def _per(self, match: re.Match[str]) -> str:
        unit = match["per"]
        if not unit or "per" not in self.v.words:
            return f"/{unit}" if unit else ""
        return f" {self.v.words['per']} {_PER.get(self.v.language, {}).get(unit, unit)}"

    def _span(self, first: str, second: str) -> str | None:
        to = self.v.words.get("to")
        return f"{first} {to} {second}" if to else None

    def money(self, match: re.Match[str]) -> str | None:
        written = match["symbol"]
        code = SYMBOLS.get(written) or _CODES_IN_WORDS.get(self.v.language, {}).get(written) or written
        magnitude = match["magnitude"] or ""
        if written == "kr" and "." in match[0]:
            return None
        amount = self.amount(match)
        if match["second"]:
            second = self.v.money(self.amount(match, "second"), code, magnitude)
            first = self.v.amount(amount)
            if match["many"]:
                first += f" {self.v.magnitudes[match['many']][not amount.is_one]}"
            said = self._span(first, second)
            return None if said is None else said + self._per(match)
        return self.v.money(amount, code, magnitude) + self._per(match)

    def unit(self, match: re.Match[str]) -> str | None:
        unit, space = match["unit"], match["space"]
        if unit == "°" and not self.v.has_rules:
            return match[0] if re.match(r"\s?[^\W\d_]{2}", match.string[match.end() :]) else None  # 2° piano
        if match["first"] and UNITS[match["first"]] != UNITS[unit]:
            return None
        if (
            unit in _ONLY_ATTACHED
            and not match["dot"]
            and not (match["other"] and unit == "in")
            and (space or unit == "A")
            and unit not in ("KB", "kB")
        ):
            return None
        if unit == "s" and (
            word_before(match).lower() in _DECADE_WORDS
            or re.fullmatch(r"1[89]\d0|20[0-2]0", match["number"])
            or match.string[: match.start()].endswith(("'", "’"))
        ):
            return None
        amount = self.amount(match)
        cldr = UNITS[unit]
        try:
            if match["other"]:
                by = self.v.words.get("by")
                said = (
                    f"{self.v.amount(amount)} {by} {self.v.unit(self.amount(match, 'other'), cldr)}"
                    if by
                    else None
                )
            elif match["second"]:
                said = self._span(self.v.amount(amount), self.v.unit(self.amount(match, "second"), cldr))
            elif space == "-":
                said = self.v.unit(Amount("1"), cldr, number=self.v.amount(amount))
            else:
                said = self.v.unit(amount, cldr)
        except UnknownUnitError:
            return None
        ends = "." if unit.endswith(".") and not match.string[match.end() :].strip() else ""
        return None if said is None else said + self._per(match) + ends

    def duration(self, match: re.Match[str]) -> str | None:
        """Say 1h30m and 4m20s, where ``m`` is no meter."""
        if not (match["h"] or match["s"]):
            return None
        parts = (("h", "duration-hour"), ("m", "duration-minute"), ("s", "duration-second"))
        return " ".join(self.v.unit(Amount(match[part]), unit) for part, unit in parts if match[part])

    def height(self, match: re.Match[str]) -> str | None:
        if self.v.language != "en":
            return None
        feet, inches = int(match["ft"]), int(match["inch"])
        if "in" not in match[0]:
            return f"{self.v.cardinal(feet)} foot {self.v.cardinal(inches)}"
        units = ((feet, "length-foot"), (inches, "length-inch"))
        return " ".join(self.v.unit(Amount(str(number)), unit) for number, unit in units)

    def part_of_unit(self, match: re.Match[str]) -> str | None:
        """Say half a unit, or one and a half."""
        unit, sign = match["unit"], match["sign"]
        part, whole = _FRACTIONS[sign] if sign else (int(match["n"]), int(match["d"]))
        if part >= whole or (unit in _ONLY_ATTACHED and match["space"]):
            return None
        said = self._mixed(match["whole"], part, whole)
        if said is None:
            return None
        many = Amount("2" if match["whole"] and match["space"] != "-" else "1")
        return self.v.unit(many, UNITS[unit], number=said)

    def vulgar(self, match: re.Match[str]) -> str | None:
        return self._mixed(match["whole"], *_FRACTIONS[match["sign"]])

    def mixed(self, match: re.Match[str]) -> str | None:
        """Say 1 1/2 in German, where it is one word."""
        part, whole = int(match["n"]), int(match["d"])
        return self._mixed(match["whole"], part, whole) if part < whole else None

    def _mixed(self, whole: str | None, part: int, all_parts: int) -> str | None:
        said = self.v.fraction(part, all_parts)
        if said is None or not whole or not whole.strip("0"):
            return said
        number = self.v.amount(Amount(whole))
        if self.v.language == "de":
            if (part, all_parts) == (1, 2):
                return f"{'ein' if number == 'eins' else number}einhalb"
            return f"{number} {said}"
        return f"{number} and {said.replace('one half', 'a half').replace('one ', 'a ')}"

    def fraction(self, match: re.Match[str]) -> str | None:
        number = match["n"]
        part, all_parts = (int(number) if number.isdigit() and len(number) < 9 else 0), int(match["d"])
        whole = re.search(r"(?<![\w.,])(\d{1,3})\s$", match.string[: match.start()])
        if word_before(match).lower().removesuffix("s") in NUMBERED_THINGS and not _is_pressure(
            part, all_parts
        ):
            return None
        if (part, all_parts) == (9, 11):
            return f"{self.v.cardinal(9)} {self.v.cardinal(11)}"
        if part >= 10 and (part == all_parts or part + all_parts == 100) and all_parts != 10:
            return f"{self.v.cardinal(part)} {self.v.cardinal(all_parts)}"  # fifty fifty, eighty twenty
        if (over := {"en": "over", "de": "zu"}.get(self.v.language)) and _is_pressure(part, all_parts):
            return f"{self.v.cardinal(part)} {over} {self.v.cardinal(all_parts)}"
        rated = all_parts in (10, 100) and not re.match(
            r"\s+(?:of|der|des|von)\b", match.string[match.end() :]
        )
        if not number.isdigit() or part >= all_parts or (rated and not whole):
            of = {"en": "out of", "de": "von"}.get(self.v.language)
            if of is None or all_parts not in (3, 4, 5, 6, 10, 20, 50, 100):
                return None
            return f"{self.v.amount(read_amount(number, self.v))} {of} {self.v.cardinal(all_parts)}"
        said = self.v.fraction(part, all_parts)
        if said is not None and whole and self.v.language == "en":
            return f"and {said.replace('one half', 'a half')}"
        return said

    def ordinal(self, match: re.Match[str]) -> str | None:
        number, before = int(match["n"]), word_before(match)
        if self.v.language == "de":
            known = before.lower() in _ARTICLES
            if known and number:
                return self.v.ordinal(number, before)
            noun = re.match(r"\s+([^\W\d_]+)", match.string[match.end() :])
            ending = _COUNTED_NOUNS.get(noun[1]) if noun else None
            return None if ending is None or not number else self.v.ordinal(number) + ending
        return self.v.ordinal(number, before) if self.v.language == "en" else None

    def magnitude(self, match: re.Match[str]) -> str | None:
        key = match["m"]
        if key not in self.v.magnitudes:
            return None
        said = f"{self.v.amount(read_amount(match['n'], self.v))} {self.v.magnitudes[key][match['n'] != '1']}"
        if match["n2"] is None:
            return said
        second = f"{self.v.amount(read_amount(match['n2'], self.v))} {self.v.magnitudes[match['m2']][1]}"
        return self._span(said, second) if match["m2"] in self.v.magnitudes else None

    def range(self, match: re.Match[str]) -> str | None:
        first, second = match["first"], match["second"]
        if (first.startswith("0") and len(first) > 1) or len(first) > 6 or len(second) > 9:
            return None
        if len(first) == len(second) == 4 and first[:1] in "12" and second[:1] in "12":
            return self._span(self.v.year(int(first)), self.v.year(int(second)))
        return self._span(*(self.v.amount(read_amount(each, self.v)) for each in (first, second)))

    def pair(self, match: re.Match[str]) -> str | None:
        names = {"x": "by", "×": "times", "*": "times", "·": "times", "÷": "", ":": "to"}
        word = self.v.words.get(names[match["sign"]])
        if self.v.language == "de" and match["sign"] == ":":
            word = "zu"
        if word is None:
            return None
        first, second = (self.v.amount(read_amount(match[each], self.v)) for each in ("first", "second"))
        return f"{first} {word} {second}"

    def repeated(self, match: re.Match[str]) -> str | None:
        number = int(match["n"])
        said = self.v.cardinal(number)
        first = f"{self.v.cardinal(int(match['first']))} {self.v.words['to']} " if match["first"] else ""
        if self.v.language == "de":
            said = f"{'ein' if number == 1 else said}mal"
        else:
            said = {1: "once", 2: "twice"}.get(0 if first else number) or f"{said} times"
        return first + said + self._per(match)

    def decade(self, match: re.Match[str]) -> str | None:
        number = int(match["n"])
        said = self.v.year(number) if number >= 1000 else self.v.cardinal(number)
        if self.v.language == "de":
            return said + "er"
        return said[:-1] + "ies" if said.endswith("y") else said + "s"

    def plain(self, match: re.Match[str]) -> str | None:
        written, before = match["n"], word_before(match).lower()
        negative = bool(match["sign"])
        if written.isdigit():
            if (len(written) > 1 and written[0] == "0") or len(written) >= 7:
                return None  # a code: said digit by digit
            if len(written) == 4 and not negative and self._is_year(match, int(written), before):
                return self.v.year(int(written))
        elif before in _SERIES_WORDS and self.v.decimal == "." and re.fullmatch(r"\d+\.\d+", written):
            return f" {self.v.words.get('point', '.')} ".join(
                self.v.cardinal(int(each)) for each in written.split(".")
            )
        amount = read_amount(written, self.v, negative=negative)
        return self.v.counted(amount, match.string[match.end() :])

    def _is_year(self, match: re.Match[str], number: int, before: str) -> bool:
        if before in _YEAR_WORDS or before in self.months:
            return 1100 <= number <= 2099
        if self.v.language == "en" and 1900 <= number <= 1999:
            return True
        return 1900 <= number <= 2099 and not re.match(r"\s+[^\W\d_]", match.string[match.end() :])


def _is_pressure(upper: int, lower: int) -> bool:
    """Return whether two numbers can be the pressure of somebody's blood, and no part of anything."""
    return 80 <= upper <= 260 and 40 <= lower <= 150 and lower != 100 and lower < upper


def _leave(match: re.Match[str]) -> str | None:
    return None


def _as_written(match: re.Match[str]) -> str:
    """Keep what is written from the rules that follow: the TTS says it."""
    return match[0]


def number_rules(verbalizer: Verbalizer) -> tuple[list[ReadingRule], list[ReadingRule]]:
    """Return the rules for money and units, and those for numbers, in the order in which they are to be tried."""
    return _NumberRules(verbalizer).rules()


def digit_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rule for digits that no other rule knows."""
    rules = _NumberRules(verbalizer)
    mark = re.escape(verbalizer.decimal)
    fraction = reading(rf"(?<![\w.,])(?P<n>\d{{1,6}}{mark}\d+)(?=[^\W\d_])", rules.before_letter)
    return [fraction, reading(r"[0-9]+", rules.digits)] if verbalizer.knows_numbers else []
