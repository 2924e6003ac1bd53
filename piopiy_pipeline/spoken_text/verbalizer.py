"""Says numbers, money, dates and times in the words of a language.

`Verbalizer` is for every language that num2words and CLDR (babel) know: numbers, percentages, currencies, units and
dates. What needs a language's own words and rules is in a subclass (`english.py`, `german.py`,
`other_languages.py`); what neither knows stays as it is written, for the TTS to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar

import num2words
from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import get_day_names, get_month_names
from babel.numbers import get_currency_name
from babel.units import format_unit

__all__ = ["CURRENCY_CODES", "SYMBOLS", "UNITS", "Amount", "Verbalizer"]

MAX_DIGITS = 15
"""A longer number is said digit by digit: nobody follows more than trillions."""

SYMBOLS: Mapping[str, str] = {
    "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₪": "ILS",
    "฿": "THB", "₫": "VND", "₴": "UAH", "US$": "USD", "A$": "AUD", "C$": "CAD", "CA$": "CAD", "AU$": "AUD",
    "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "R$": "BRL", "zł": "PLN", "Kč": "CZK", "Fr.": "CHF", "kr": "SEK",
    "Rs.": "INR", "Rs": "INR",
}  # fmt: skip
CURRENCY_CODES = "|".join(
    (
        "USD|EUR|GBP|JPY|INR|CHF|AUD|CAD|NZD|CNY|SEK|NOK|DKK|PLN",
        "CZK|HUF|TRY|BRL|MXN|ZAR|SGD|HKD|KRW|AED|SAR|ILS|THB",
    )
)

UNITS: Mapping[str, str] = {
    "km": "length-kilometer", "m": "length-meter", "cm": "length-centimeter", "mm": "length-millimeter",
    "mi": "length-mile", "ft": "length-foot", "in": "length-inch", "yd": "length-yard",
    "m²": "area-square-meter", "km²": "area-square-kilometer", "sqm": "area-square-meter",
    "qm": "area-square-meter", "sq ft": "area-square-foot", "ha": "area-hectare", "m³": "volume-cubic-meter",
    "kg": "mass-kilogram", "g": "mass-gram", "mg": "mass-milligram", "lb": "mass-pound", "lbs": "mass-pound",
    "oz": "mass-ounce", "t": "mass-metric-ton", "l": "volume-liter", "L": "volume-liter",
    "ml": "volume-milliliter", "mL": "volume-milliliter", "cl": "volume-centiliter", "dl": "volume-deciliter",
    "gal": "volume-gallon", "km/h": "speed-kilometer-per-hour", "kmh": "speed-kilometer-per-hour",
    "kph": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour", "m/s": "speed-meter-per-second",
    "°C": "temperature-celsius", "°F": "temperature-fahrenheit", "℃": "temperature-celsius",
    "℉": "temperature-fahrenheit", "°": "angle-degree", "h": "duration-hour", "hr": "duration-hour",
    "hrs": "duration-hour", "min": "duration-minute", "mins": "duration-minute", "sec": "duration-second",
    "secs": "duration-second", "s": "duration-second", "ms": "duration-millisecond", "yr": "duration-year",
    "yrs": "duration-year", "wk": "duration-week", "wks": "duration-week", "Std.": "duration-hour",
    "Std": "duration-hour", "Min.": "duration-minute", "Min": "duration-minute", "Sek.": "duration-second",
    "W": "power-watt", "kW": "power-kilowatt", "kWh": "energy-kilowatt-hour", "V": "electric-volt",
    "A": "electric-ampere", "Hz": "frequency-hertz", "kHz": "frequency-kilohertz",
    "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz", "KB": "digital-kilobyte",
    "kB": "digital-kilobyte", "MB": "digital-megabyte", "GB": "digital-gigabyte", "TB": "digital-terabyte",
    "kcal": "energy-kilocalorie", "hPa": "pressure-hectopascal", "%": "concentr-percent",
}  # fmt: skip
"""What a unit is called in CLDR. `in` and `m` of these count only right behind a number."""


_POINTS: Mapping[str, str] = {
    "ar": "فاصلة", "bn": "দশমিক", "cy": "pwynt", "fa": "ممیز", "it": "virgola", "ja": "点", "sk": "celých", "th": "จุด",
    "tr": "virgül", "vi": "phẩy",
}  # fmt: skip
"""What is said between the digits of a fraction where num2words leaves digits out, or says another number."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as it is written.

    Attributes:
        whole: The digits before the decimal mark.
        fraction: The digits after it; None without one.
        negative: Whether it is below zero.
    """

    whole: str
    fraction: str | None = None
    negative: bool = False

    @property
    def value(self) -> Decimal:
        """Its value."""
        number = Decimal(f"{self.whole or '0'}.{self.fraction or '0'}")
        return -number if self.negative else number

    @property
    def is_one(self) -> bool:
        """Whether what it counts is a single thing: "1 hour", and not "1.0 hours"."""
        return self.fraction is None and self.whole.lstrip("0") == "1"


class Verbalizer:
    """Says things in one language.

    Args:
        locale: The language, with a country perhaps: ``"fr"``, ``"en-GB"``.
    """

    decimal_mark: ClassVar[str] = ""
    """What stands before the fraction; empty: what CLDR says."""
    day_first: ClassVar[bool] = True
    minus: ClassVar[str] = "-"
    vocabulary: ClassVar[Mapping[str, str]] = {}
    """What symbols are called: ``dot``, ``at``, ``slash``, ``to``, ... Without a word, the symbol stays."""
    abbreviations: ClassVar[Mapping[str, str]] = {}
    """What is written shorter than it is said."""
    magnitudes: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """What stands between a number and its currency: ``m`` is ``million``; of one, of many."""
    feminine_units: ClassVar[frozenset[str]] = frozenset()
    oclock: ClassVar[str] = r"Uhr|o['’]clock"
    """What stands behind a time that is written without minutes."""

    def __init__(self, locale: str) -> None:
        tag = locale.replace("_", "-")
        try:
            self.locale = Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            self.locale = Locale("en")
        self.language = self.locale.language
        self.words = dict(self.vocabulary)
        self.country = self.locale.territory
        self._numbers = self.language in num2words.CONVERTER_CLASSES
        country = f"{self.language}_{self.country}"
        self._dialect = country if country in num2words.CONVERTER_CLASSES else self.language
        symbols = self.locale.number_symbols.get("latn", {})
        self.decimal = self.decimal_mark or symbols.get("decimal", ".")
        if self.language in _POINTS:
            self.words.setdefault("point", _POINTS[self.language])
        elif self.language == "es" and self.decimal == ",":
            self.words.setdefault("point", "coma")
        self.group = symbols.get("group", ",")
        self.months = self._names(get_month_names)
        self.days = self._names(get_day_names)
        self.cardinal = lru_cache(2000)(self._cardinal)
        self._unit_pattern = lru_cache(500)(self._find_unit_pattern)
        self._currency = lru_cache(200)(self._find_currency)

    def _names(self, names: object) -> dict[str, int]:
        """Return the names of months or days, wide and abbreviated, in small letters, with their numbers."""
        assert callable(names)
        found: dict[str, int] = {}
        for width in ("abbreviated", "wide"):
            for context in ("format", "stand-alone"):
                for number, name in names(width, context=context, locale=self.locale).items():
                    found[name.lower().rstrip(".")] = number
        return found

    # ------------------------------------------------------------------ numbers

    @property
    def knows_numbers(self) -> bool:
        """Whether it can say numbers at all."""
        return self._numbers

    def _cardinal(self, number: int) -> str:
        return self.plain(str(num2words.num2words(number, lang=self._dialect)))

    def plain(self, words: str) -> str:
        """Return num2words' words without the marks that a TTS would make a pause for."""
        return words.replace(",", "").strip()

    def ordinal(self, number: int, before: str = "") -> str:
        """Return the ordinal number. `before` is the word before it, by which some languages inflect it."""
        return self.plain(str(num2words.num2words(number, lang=self.language, to="ordinal")))

    def year(self, number: int) -> str:
        """Return the number of a year."""
        return self.cardinal(number)

    def digits(self, digits: str, size: int = 0) -> str:
        """Return the digits one by one, with a pause after every `size` of them."""
        words = [self.cardinal(int(each)) for each in digits]
        if not size or len(words) <= size + 1:
            return " ".join(words)
        groups = [words[i : i + size] for i in range(0, len(words), size)]
        if len(groups[-1]) == 1:
            groups[-2:] = [groups[-2] + groups[-1]]
        return ", ".join(" ".join(group) for group in groups)

    def amount(self, amount: Amount, unit: str = "") -> str:
        """Return a number with its fraction. `unit` is the CLDR name of what it counts."""
        minus = f"{self.words.get('minus', self.minus)} " if amount.negative else ""
        whole = amount.whole.lstrip("0") or "0"
        if len(whole) > MAX_DIGITS:
            return minus + self.digits(amount.whole, 3) + self._fraction(amount)
        if amount.is_one:
            return minus + self.one(unit)
        return minus + self.cardinal(int(whole)) + self._fraction(amount)

    def counted(self, amount: Amount, after: str) -> str:
        """Return a number before what stands behind it, which may be a noun whose gender it follows."""
        return self.amount(amount)

    def one(self, unit: str) -> str:
        """Return the number one of a unit, whose gender some languages follow."""
        return self.cardinal(1)

    def _fraction(self, amount: Amount) -> str:
        if amount.fraction is None:
            return ""
        if "point" in self.words:
            return f" {self.words['point']} {self.digits(amount.fraction)}"
        said = self.plain(str(num2words.num2words(Decimal(f"0.{amount.fraction[:10]}"), lang=self.language)))
        return f" {said.partition(' ')[2]}"

    def fraction(self, part: int, whole: int) -> str | None:
        """Return a fraction such as three quarters, or None if the language has no rule here."""
        return None

    # ------------------------------------------------------------------ what is counted

    def unit(self, amount: Amount, unit: str, *, number: str | None = None) -> str:
        """Return an amount of a unit. `number` replaces the amount's own words.

        Raises:
            KeyError: CLDR has no such unit in this language.
        """
        value = abs(amount.value) if len(amount.whole) <= MAX_DIGITS else Decimal(5)
        pattern = self._unit_pattern(unit, "1" if amount.is_one else str(value))
        return pattern.replace("{0}", number if number is not None else self.amount(amount, unit), 1)

    def _find_unit_pattern(self, unit: str, value: str) -> str:
        number = int(value) if value == "1" else Decimal(value)
        text = format_unit(number, unit, "long", locale=self.locale)
        return (
            re.sub(r"\d[\d.,'’\s]*\d|\d", "{0}", text, count=1).replace("\u00a0", " ").replace("\u202f", " ")
        )

    def currency(self, code: str, *, one: bool) -> str:
        """Return the name of a currency, of one or of many."""
        return self._currency(code, one)

    def _find_currency(self, code: str, one: bool) -> str:
        return get_currency_name(code, 1 if one else 5, locale=self.locale)

    def money(self, amount: Amount, code: str, magnitude: str = "") -> str:
        """Return an amount of money. `magnitude` is one of `magnitudes`, or empty."""
        if magnitude:
            one, many = self.magnitudes[magnitude]
            thousand = one if amount.is_one else many
            return f"{self.amount(amount, code)} {thousand} {self.currency(code, one=False)}"
        if amount.fraction and not amount.fraction.strip("0"):
            amount = Amount(amount.whole, None, amount.negative)
        if amount.fraction and len(amount.fraction) == 2 and amount.whole.strip("0"):
            whole = Amount(amount.whole, None, amount.negative)
            cents = self.cardinal(int(amount.fraction))
            return f"{self.amount(whole, code)} {self.currency(code, one=False)} {cents}"
        return f"{self.amount(amount, code)} {self.currency(code, one=amount.is_one)}"

    # ------------------------------------------------------------------ dates and times

    def month(self, number: int) -> str:
        """Return the name of a month, 1 to 12."""
        return str(get_month_names("wide", locale=self.locale)[number])

    def day_name(self, number: int) -> str:
        """Return the name of a day of the week, 0 for Monday."""
        return str(get_day_names("wide", locale=self.locale)[number])

    def date(
        self, day: int, month: int, year: int | None, *, before: str = "", day_first: bool = True
    ) -> str:
        """Return a date.

        Args:
            day: The day of the month.
            month: The month, 1 to 12.
            year: The year, or None.
            before: The word before the date.
            day_first: Whether the day is written before the month.
        """
        parts = [self.cardinal(day), self.month(month), *([self.year(year)] if year is not None else [])]
        return " ".join(parts)

    @property
    def has_rules(self) -> bool:
        """Whether the language has rules of its own here. Without them times, fractions and codes stay as written."""
        return bool(self.vocabulary)

    def time(self, hour: int, minute: int, half: str = "", second: int | None = None) -> str | None:
        """Return a time of the day, or None if the language has no rule here.

        Args:
            hour: 0 to 24.
            minute: 0 to 59.
            half: ``am``, ``pm``, the language's word for "o'clock", or empty.
            second: 0 to 59, or None.
        """
        return None
