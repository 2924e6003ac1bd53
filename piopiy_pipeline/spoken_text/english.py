"""Says things in English, as in the United States, or as in Britain (``en-GB``) where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import num2words

from piopiy_pipeline.spoken_text.verbalizer import Amount, Verbalizer

__all__ = ["EnglishVerbalizer"]

_CENTS = {
    "USD": ("cent", "cents"), "EUR": ("cent", "cents"), "GBP": ("penny", "pence"), "AUD": ("cent", "cents"),
    "CAD": ("cent", "cents"), "NZD": ("cent", "cents"), "INR": ("paisa", "paise"), "SGD": ("cent", "cents"),
    "HKD": ("cent", "cents"), "ZAR": ("cent", "cents"), "CHF": ("centime", "centimes"),
}  # fmt: skip
_NAMES = {
    "USD": ("dollar", "dollars"), "GBP": ("pound", "pounds"), "JPY": ("yen", "yen"),
    "INR": ("rupee", "rupees"), "EUR": ("euro", "euros"), "CHF": ("Swiss franc", "Swiss francs"),
}  # fmt: skip


class EnglishVerbalizer(Verbalizer):
    """English."""

    vocabulary: ClassVar[Mapping[str, str]] = {
        "point": "point", "minus": "minus", "dot": "dot", "at": "at", "slash": "slash", "dash": "dash",
        "underscore": "underscore", "plus": "plus", "to": "to", "and": "and", "or": "or", "number": "number",
        "per": "per", "times": "times", "equals": "equals", "about": "about", "star": "star", "hash": "pound",
        "extension": "extension", "through": "to", "less": "less than", "more": "more than",
        "greater": "greater than", "by": "by", "equal sign": "equals", "question mark": "question mark",
        "degrees": "degrees", "hashtag": "hashtag", "arrow": "to", "o'clock": "o'clock",
        "plus minus": "plus or minus", "at least": "at least", "at most": "at most", "version": "version",
        "section": "section", "percent": "percent", "colon": "colon", "sharp": "sharp",
        "squared": "squared", "cubed": "cubed", "power": "to the power of", "cents": "cents",
    }  # fmt: skip
    abbreviations: ClassVar[Mapping[str, str]] = {
        "Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missis", "Ms.": "Miz", "Prof.": "Professor",
        "Jr.": "Junior", "Sr.": "Senior", "Rev.": "Reverend", "Hon.": "Honorable", "Capt.": "Captain",
        "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Gen.": "General", "Gov.": "Governor", "Sen.": "Senator",
        "Messrs.": "Messieurs", "Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road", "Ln.": "Lane",
        "Hwy.": "Highway", "Apt.": "Apartment", "Ste.": "Suite", "Bldg.": "Building", "Sq.": "Square",
        "St.": "Saint", "Mt.": "Mount", "Ft.": "Fort", "e.g.": "for example", "i.e.": "that is",
        "etc.": "et cetera", "vs.": "versus", "vs": "versus", "approx.": "approximately",
        "est.": "established", "dept.": "department", "Dept.": "Department", "incl.": "including",
        "excl.": "excluding", "max.": "maximum", "min.": "minimum", "appt.": "appointment",
        "Inc.": "Incorporated", "Ltd.": "Limited", "Corp.": "Corporation", "Co.": "Company",
        "Bros.": "Brothers", "w/o": "without", "w/": "with", "c/o": "care of", "n/a": "not applicable",
        "N/A": "not applicable", "a.k.a.": "also known as", "aka": "also known as",
        "ASAP": "as soon as possible", "asap": "as soon as possible", "ETA": "E T A",
        "FYI": "for your information", "tel.": "telephone", "Tel.": "Telephone", "ext.": "extension",
        "qty.": "quantity", "Qty.": "Quantity", "temp.": "temperature", "avg.": "average",
        "misc.": "miscellaneous", "no.": "number", "No.": "Number", "nos.": "numbers", "Nos.": "Numbers",
        "p.": "page", "pp.": "pages", "fig.": "figure", "Fig.": "Figure", "24/7": "twenty-four seven",
        "24x7": "twenty-four seven",
        "a.m.": "AM", "p.m.": "PM", "hrs.": "hours", "hr.": "hour", "mins.": "minutes", "secs.": "seconds",
        "lbs.": "pounds",
    }  # fmt: skip
    magnitudes: ClassVar[Mapping[str, tuple[str, str]]] = {
        "k": ("thousand", "thousand"), "K": ("thousand", "thousand"), "m": ("million", "million"),
        "M": ("million", "million"), "mn": ("million", "million"), "million": ("million", "million"),
        "bn": ("billion", "billion"), "B": ("billion", "billion"), "b": ("billion", "billion"),
        "billion": ("billion", "billion"), "tn": ("trillion", "trillion"), "T": ("trillion", "trillion"),
        "trillion": ("trillion", "trillion"), "thousand": ("thousand", "thousand"),
        "lakh": ("lakh", "lakh"), "lakhs": ("lakh", "lakh"), "crore": ("crore", "crore"), "crores": ("crore", "crore"),
    }  # fmt: skip

    def __init__(self, locale: str) -> None:
        super().__init__(locale)
        british = self.country not in (None, "US", "CA", "PH")
        self._day_first = british
        if british:
            self.words["hash"] = "hash"

    @property
    def day_first_in_numbers(self) -> bool:
        """Whether 3/4 is the third of April."""
        return self._day_first

    def plain(self, words: str) -> str:
        """Return num2words' words without commas, and in America without the "and" behind the hundreds."""
        words = super().plain(words)
        return words if self._day_first else words.replace(" and ", " ")

    def year(self, number: int) -> str:
        """Return the number of a year: "nineteen oh five", "two thousand six", "twenty twenty-six"."""
        if not 1000 <= number <= 9999:
            return self.cardinal(number)
        words = self.plain(str(num2words.num2words(number, lang="en", to="year")))
        return words.replace("oh-", "oh ")

    def fraction(self, part: int, whole: int) -> str | None:
        """Return a fraction: "a half" is "one half", "three quarters"."""
        if not (0 < part <= 100 and 2 <= whole <= 100):
            return None
        name = {2: "half", 4: "quarter"}.get(whole) or self.ordinal(whole)
        if part == 1:
            return f"one {name}"
        return f"{self.cardinal(part)} {'halves' if whole == 2 else name + 's'}"

    def currency(self, code: str, *, one: bool) -> str:
        """Return the name of a currency as people say it."""
        if code in _NAMES and not (code == "USD" and self._day_first):
            return _NAMES[code][not one]
        return super().currency(code, one=one)

    def money(self, amount: Amount, code: str, magnitude: str = "") -> str:
        """Return an amount of money: "four dollars and fifty cents"."""
        fraction = amount.fraction
        if magnitude or not fraction or not fraction.strip("0") or len(fraction) > 2 or code not in _CENTS:
            return super().money(amount, code, magnitude)
        cents = int(fraction.ljust(2, "0"))
        small = f"{self.cardinal(cents)} {_CENTS[code][cents != 1]}"
        if not amount.whole.strip("0"):
            return f"minus {small}" if amount.negative else small
        return f"{super().money(Amount(amount.whole, None, amount.negative), code)} and {small}"

    def date(
        self, day: int, month: int, year: int | None, *, before: str = "", day_first: bool = False
    ) -> str:
        """Return a date: "November twenty-ninth, twenty twenty-six"."""
        ordinal, name = self.ordinal(day), self.month(month)
        if self._day_first:
            said = f"{'' if before == 'the' else 'the '}{ordinal} of {name}"
        elif before == "the":
            said = f"{ordinal} of {name}"
        else:
            said = f"{name} {ordinal}"
        return said if year is None else f"{said}, {self.year(year)}"

    def time(self, hour: int, minute: int, half: str = "", second: int | None = None) -> str | None:
        """Return a time of the day: "seven thirty PM", "seven oh five", "seven o'clock"."""
        if hour > 24 or minute > 59:
            return None
        if not half and (hour > 12 or hour == 0):
            half = "PM" if 12 <= hour < 24 else "AM"
            hour = hour % 12 or 12
        if hour > 12:
            hour -= 12  # 19:30 pm
        said = self.cardinal(hour)
        if minute:
            said += f" oh {self.cardinal(minute)}" if minute < 10 else f" {self.cardinal(minute)}"
        elif not half and second is None:
            said += " o'clock"
        if second is not None:
            said += f" and {self.cardinal(second)} {'second' if second == 1 else 'seconds'}"
        return f"{said} {half.replace('.', '').replace(' ', '').upper()}" if half else said
