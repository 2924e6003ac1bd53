"""Dates, days of the week, and times of the day."""

from __future__ import annotations

import re

from piopiy_pipeline.spoken_text.rule import (
    NUMBERED_THINGS,
    ReadingRule,
    at_end,
    reading,
    word_before,
    word_set,
)
from piopiy_pipeline.spoken_text.verbalizer import Verbalizer

__all__ = ["date_rules"]

_ALSO_WORDS = word_set("mar may jan jun jul apr mai juni juli märz mär so do mi fr sa mo di sat sun mon wed")
"""Abbreviations that are words or names as well: only a number beside them makes them dates."""


_BEFORE_DATE = word_set("on by until since from through am vom bis ab seit")
_ALWAYS_OPEN = re.compile(
    r"[ -](?:support|service|coverage|availability|operations?|monitoring|shifts?|schedule|basis|betrieb)\b",
    re.IGNORECASE,
)
"""Before these words 12/7 is twelve hours on seven days."""
_TIME_AFTER = re.compile(r",?\s+(?:at|um)\s+\d", re.IGNORECASE)


class _DateRules:
    """The rules for one language."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer
        self.day_first = getattr(verbalizer, "day_first_in_numbers", True)

    def rules(self) -> list[ReadingRule]:
        v = self.v
        months = "|".join(re.escape(each) for each in sorted(v.months, key=len, reverse=True))
        days = "|".join(re.escape(each) for each in sorted(v.days, key=len, reverse=True))
        short = "|".join(
            each
            for each in sorted(v.months, key=len, reverse=True)
            if each not in _ALSO_WORDS and len(each) < 5
        )
        month = rf"(?P<month>(?i:{months}))\.?(?!\w)"
        year = r"(?:,?\s+(?P<year>[12]\d{3})(?!\d))?"
        no_time = r"(?!\s?(?:[:%°€$]|\d|[ap]\.?m\b|/))"
        half = r"(?P<half>[aApP]\.?\s?[mM](?:\.(?=\W|$))?)(?!\w)"
        dash = r"\s?[-–—]\s?"
        clock = r"\d{1,2}(?:[:.]\d{2})?"
        oclock = rf"(?:{v.oclock})"
        rules = [
            reading(
                r"(?<![\w-])(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
                r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\w-])",
                self.numeric,
            ),
            reading(
                r"(?<![\w./-])(?P<first>\d{1,2})(?P<mark>[./-])\s?(?P<second>\d{1,2})(?P=mark)\s?(?P<year>\d{4}|\d{2})(?![\w/-])(?!\.\d)",
                self.numeric,
            ),
            reading(
                r"(?<![\w./-])(?P<first>\d{1,2})(?P<mark>\.)\s?(?P<second>\d{1,2})\.(?![\w.])",
                self.short_date,
            ),
            reading(
                r"(?<![\w./-])(?P<first>\d{1,2})(?P<mark>/)(?P<second>\d{1,2})(?![\w/])", self.short_date
            ),
            reading(
                rf"(?<![\w.])(?P<day>\d{{1,2}})(?:\.|st|nd|rd|th|er|°)?(?:(?:{dash}|/)(?P<last>\d{{1,2}})(?:\.|st|nd|rd|th)?)?"
                rf"(?:\s+of)?\s+{month}{year}{no_time}",
                self.day_and_month,
            ),
            reading(
                rf"(?<!\w){month}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:(?:{dash}|/)(?P<last>\d{{1,2}})(?:st|nd|rd|th)?)?(?!\w){year}{no_time}",
                self.month_and_day if v.language == "en" else _nothing,
            ),
            reading(rf"(?<!\w){month}\s+(?P<year>[12]\d{{3}})(?!\d)", self.month_and_year),
            reading(
                rf"(?<!\w)(?P<month>(?i:{short or '(?!)'}))(?P<stop>\.?)(?!\w)", self.only_month, needs=""
            ),
            reading(
                rf"(?<!\w)(?P<first>(?i:{days}))\.?(?P<dash>{dash})(?P<second>(?i:{days}))(?P<stop>\.?)(?!\w)",
                self.days,
                needs="",
            ),
            reading(
                rf"(?<!\w)(?P<first>(?i:{days}))\.?(?!\w)(?=,?\s+(?:(?i:{months})\b|\d{{1,2}}(?:[.:]\d|\.\s|\s?(?:[ap]m|Uhr)|\s(?i:{months})|{dash}\d)))",
                self.day,
            ),
            reading(
                rf"(?<![\w.,:])(?P<first>{clock})\s?(?P<half1>[aApP]\.?[mM]\.?)?{dash}(?P<second>{clock})\s?(?:{half}|(?P<word>{oclock})(?!\w))",
                self.span,
            ),
            reading(
                rf"(?<![\w.,:])(?P<first>\d{{1,2}}:\d{{2}}){dash}(?P<second>\d{{1,2}}:\d{{2}})(?![\w:])",
                self.span,
            ),
            reading(
                rf"(?<![\w.,:])(?P<time>{clock})(?::(?P<s>[0-5]\d))?\s?(?:{half}|(?P<word>{oclock})(?!\w))",
                self.time,
            ),
            reading(
                rf"(?<![\w.,:])(?P<h>\d{{1,2}})\s?h(?:\s?(?P<m>[0-5]\d))?"
                rf"(?:{dash}(?P<h2>\d{{1,2}})\s?h(?:\s?(?P<m2>[0-5]\d))?)?(?!\w)(?!\s?min)",
                self.hours if "|h" in v.oclock else _nothing,
            ),
            reading(r"(?<=\bore\s)(?P<time>\d{1,2}\.[0-5]\d)(?P<s>)(?![\w.])", self.time),
            reading(
                r"(?<![\w.,:])(?P<time>(?:[01]?\d|2[0-4]):[0-5]\d)(?::(?P<s>[0-5]\d))?(?![\w:])", self.time
            ),
        ]
        return rules if v.knows_numbers else []

    # ------------------------------------------------------------------ dates

    def _date(
        self, match: re.Match[str], day: int, month: int, year: str | None, *, day_first: bool
    ) -> str | None:
        if not (1 <= day <= 31 and 1 <= month <= 12):
            return None
        number = (
            None
            if year is None
            else int(year)
            if len(year) > 2
            else int(year) + (2000 if int(year) < 70 else 1900)
        )
        return self.v.date(day, month, number, before=word_before(match), day_first=day_first)

    def numeric(self, match: re.Match[str]) -> str | None:
        groups = match.groupdict()
        if "day" in groups:
            said = self._date(match, int(match["day"]), int(match["month"]), match["year"], day_first=False)
            if said is None or match["hour"] is None:
                return said
            time = self.v.time(int(match["hour"]), int(match["minute"]))
            return said if time is None else f"{said}, {time}"
        first, second = int(match["first"]), int(match["second"])
        day_first = self.day_first or match["mark"] == "."
        if (day_first and second > 12) or (not day_first and first > 12):
            day_first = not day_first
        day, month = (first, second) if day_first else (second, first)
        return self._date(match, day, month, match["year"], day_first=day_first)

    def short_date(self, match: re.Match[str]) -> str | None:
        """Say 29.11. and, where it can be no fraction, 11/29."""
        first, second, mark = int(match["first"]), int(match["second"]), match["mark"]
        if mark == ".":
            return self._date(match, first, second, None, day_first=True) if self.v.language != "en" else None
        before = word_before(match).lower()
        after = match.string[match.end() :]
        if before.removesuffix("s") in NUMBERED_THINGS or _ALWAYS_OPEN.match(after):
            return None
        said_as_date = before in _BEFORE_DATE or _TIME_AFTER.match(after) is not None
        if not said_as_date and (second <= 12 or second in (16, 20, 24, 25, 30) or first > 12):
            return None
        day, month = (first, second) if self.day_first else (second, first)
        if month > 12:
            day, month = month, day
        return self._date(match, day, month, None, day_first=self.day_first)

    def day_and_month(self, match: re.Match[str]) -> str | None:
        month = self.v.months[match["month"].lower()]
        if match["month"].islower() and self.v.language in ("en", "de"):
            return None
        if match["last"]:
            to = self.v.words.get("and" if "/" in match[0] else "to")
            first = self._date(match, int(match["day"]), month, None, day_first=True)
            last = self._date(match, int(match["last"]), month, match["year"], day_first=True)
            if not (to and first and last):
                return None
            name = self.v.month(month)
            if self.v.language == "en":
                return self._days_of_month(match, month)
            return f"{first.replace(name, '').strip()} {to} {last}{self._stop(match)}"
        said = self._date(match, int(match["day"]), month, match["year"], day_first=True)
        return None if said is None else said + self._stop(match)

    def _stop(self, match: re.Match[str]) -> str:
        """Return the full stop behind a month that belongs to the sentence."""
        stops = match[0].endswith(".") and not match["year"]
        full = self.v.month(self.v.months[match["month"].lower()]).lower() == match["month"].lower()
        return "." if stops and (full or at_end(match)) else ""

    def month_and_day(self, match: re.Match[str]) -> str | None:
        if match["month"].islower():
            return None
        month = self.v.months[match["month"].lower()]
        if match["last"]:
            return self._days_of_month(match, month)
        return self._date(match, int(match["day"]), month, match["year"], day_first=False)

    def _days_of_month(self, match: re.Match[str], month: int) -> str | None:
        first, last = int(match["day"]), int(match["last"])
        if not (1 <= first <= 31 and 1 <= last <= 31):
            return None
        to = self.v.words["and" if "/" in match[0] else "to"]
        said = f"{self.v.month(month)} {self.v.ordinal(first)} {to} {self.v.ordinal(last)}"
        return f"{said}, {self.v.year(int(match['year']))}" if match["year"] else said

    def month_and_year(self, match: re.Match[str]) -> str | None:
        if match["month"].islower() and self.v.language in ("en", "de"):
            return None
        return f"{self.v.month(self.v.months[match['month'].lower()])} {self.v.year(int(match['year']))}"

    def only_month(self, match: re.Match[str]) -> str | None:
        written = match["month"]
        if not written[:1].isupper() or written.isupper():
            return None
        name = self.v.month(self.v.months[written.lower()])
        if name.lower() == written.lower():
            return None
        return name + ("." if match["stop"] and at_end(match) else "")

    def days(self, match: re.Match[str]) -> str | None:
        to = self.v.words.get("to")
        if not to or not match["first"][:1].isupper() or not match["second"][:1].isupper():
            return None
        first, second = (self.v.day_name(self.v.days[match[each].lower()]) for each in ("first", "second"))
        return f"{first} {to} {second}" + ("." if match["stop"] and at_end(match) else "")

    def day(self, match: re.Match[str]) -> str | None:
        return self.v.day_name(self.v.days[match["first"].lower()]) if match["first"][:1].isupper() else None

    # ------------------------------------------------------------------ times

    def _time(self, written: str, half: str, second: str | None = None) -> str | None:
        hour, _, minute = written.replace(".", ":").partition(":")
        return self.v.time(int(hour), int(minute or 0), half, int(second) if second else None)

    def time(self, match: re.Match[str]) -> str | None:
        groups = match.groupdict()
        half = groups.get("half") or ""
        if groups.get("word") and self._may_be_duration(match["time"]):
            return None
        said = self._time(match["time"], half, match["s"])
        if said is not None and groups.get("word") and self.v.language == "en" and "o'clock" not in said:
            said += " o'clock"
        ends = "." if half.endswith(".") and at_end(match) else ""
        return None if said is None else said + ends

    def _may_be_duration(self, written: str) -> bool:
        """Return whether a time has no minutes, and its word is that of a duration: "2 horas"."""
        return "|h" in self.v.oclock and written.isdigit()

    def hours(self, match: re.Match[str]) -> str | None:
        """Say 14h30, and 9h30-18h."""
        if not match["m"] and not match["m2"]:
            return None
        first = self.v.time(int(match["h"]), int(match["m"] or 0))
        if match["h2"] is None or first is None:
            return first
        second = self.v.time(int(match["h2"]), int(match["m2"] or 0))
        return None if second is None else f"{first} {self.v.words['to']} {second}"

    def span(self, match: re.Match[str]) -> str | None:
        groups = match.groupdict()
        half, to = groups.get("half") or "", self.v.words.get("to")
        if groups.get("word") and self._may_be_duration(match["second"]):
            return None
        first = self._time(match["first"], groups.get("half1") or "")
        second = self._time(match["second"], half)
        if first is None or second is None or to is None:
            return None
        if self.v.language in ("de", "nl") and (
            groups.get("word") or self.v.language == "de"
        ):  # "drei bis fünf Uhr", "neun Uhr dreißig bis elf Uhr"
            hour, _, minute = match["first"].replace(".", ":").partition(":")
            first = self.v.cardinal(int(hour)) if not int(minute or 0) else first
        elif half or groups.get("word"):
            first = first.removesuffix(" o'clock")
        ends = "." if half.endswith(".") and at_end(match) else ""
        return f"{first} {to} {second}{ends}"


def _nothing(match: re.Match[str]) -> str | None:
    return None


def date_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rules for dates and times, in the order in which they are to be tried."""
    return _DateRules(verbalizer).rules()
