"""The referee's own English of `benchmarks/hearing.py`: word errors, and what the bot reads back.

It takes nothing from the playbook, whose understanding it judges. It need only read what callers in
`hearing_sentences.yaml` say, and the regular sentences of the bot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

__all__ = [
    "MONTHS",
    "day_of",
    "number_of",
    "number_words",
    "ordinal_words",
    "same_day",
    "spoken_words",
    "stated",
    "time_of",
]
__all__ += ["word_errors"]

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_ONES += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = dict(enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2))
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"} | {
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october"]
MONTHS += ["november", "december"]
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_SAME = {
    "ok": "okay",
    "dr": "doctor",
    "mr": "mister",
    "uh": "",
    "um": "",
    "erm": "",
    "hm": "",
    "hmm": "",
    "goodby": "goodbye",
    "oclock": "o'clock",
}
"""Spellings and hesitations in which nobody is wrong."""


def number_words(value: int) -> str:
    """Return a number from 0 to 99 in words, and a greater one digit by digit."""
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10] + (f" {_ONES[value % 10]}" if value % 10 else "")
    return " ".join(_ONES[int(digit)] for digit in str(value))


def ordinal_words(value: int) -> str:
    """Return the ordinal of a number from 1 to 99 in words."""
    *before, last = number_words(value).split()
    last = f"{last[:-1]}ieth" if last.endswith("y") else _ORDINALS.get(last, f"{last}th")
    return " ".join([*before, last])


_NUMBERS = {number_words(value): value for value in range(100)}
_NUMBER = re.compile(rf"\b(?:{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\b")
_DAYS_OF_MONTH = {ordinal_words(value): value for value in range(1, 32)}


def spoken_words(text: str) -> list[str]:
    """Return the words of a text as they are spoken: lower case, no punctuation, no digits.

    "8:30 p.m." and "eight thirty pm" are the same, as are "I'm" and "I am" and a text without its "um".
    """
    text = text.lower().replace("’", "'").replace("-", " ")
    text = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", text)
    text = re.sub(r"\bo' ?clock\b|\b0 clock\b", "oclock", text)
    text = re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", lambda found: ordinal_words(int(found[1])), text)
    text = re.sub(r"\b(\d{1,2})[:.](\d\d)\b", _clock, text)
    text = re.sub(r"\b(\d+) ?([ap]m)\b", r"\1 \2", text)
    text = re.sub(r"\d+", lambda found: f" {number_words(int(found[0]))} ", text)
    text = re.sub(r"\b(\w+)'(m|re|d|ve|ll)\b", _written_out, text)
    words = re.sub(r"[^\w' ]", " ", text).split()
    return [spelled for word in words if (spelled := _SAME.get(word.strip("'"), word.strip("'")))]


def _clock(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    if not minute:
        return f"{number_words(hour)} oclock"
    return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"


def _written_out(found: re.Match[str]) -> str:
    whole = {"m": "am", "re": "are", "d": "would", "ve": "have", "ll": "will"}
    return f"{found[1]} {whole[found[2]]}"


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Return the edits between what was said and heard, in words (Levenshtein), and how many were said."""
    a, b = spoken_words(said), spoken_words(heard)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1], len(a)


# ---------------------------------------------------------------- days and times

_FEASTS = {"christmas eve": (12, 24), "christmas day": (12, 25), "new year's eve": (12, 31)}
_NTH = "|".join(sorted(_DAYS_OF_MONTH, key=len, reverse=True))
_DAY = re.compile(
    rf"\b(?:(?P<far>day after tomorrow)|(?P<month>{'|'.join(MONTHS)}) (?:the )?(?P<nth>{_NTH})"
    rf"|(?P<nth2>{_NTH})(?: of)? (?P<month2>{'|'.join(MONTHS)})"
    rf"|(?P<feast>{'|'.join(_FEASTS)})|(?P<near>today|tonight|this evening|tomorrow)"
    rf"|(?P<weekday>{'|'.join(_WEEKDAYS)}))\b"
)
_HOUR = "|".join(sorted((number_words(value) for value in range(1, 24)), key=len, reverse=True))
_MINUTE = "|".join(sorted((number_words(value) for value in range(10, 60)), key=len, reverse=True))
_TIME = re.compile(
    rf"\b(?:(?P<noon>noon|midday|midnight)"
    rf"|(?:at )?(?P<step>half|a quarter|quarter|five|ten|twenty five|twenty)(?: minutes)? "
    rf"(?P<way>past|to) (?P<of>{_HOUR})"
    rf"|at (?P<bare>{_HOUR})(?: (?P<minute>oh (?:{'|'.join(_ONES[1:10])})|{_MINUTE}))?"
    rf"|(?P<hour>{_HOUR})(?: (?P<minute2>{_MINUTE}))?)"
    rf"(?P<clock> oclock)?(?P<part> am| pm| in the (?:morning|afternoon|evening))?\b"
)
_STEPS = {"half": 30, "quarter": 15, "a quarter": 15, "five": 5, "ten": 10, "twenty": 20, "twenty five": 25}


def day_of(text: str, today: date) -> date | str | None:
    """Return the day that a text names: a date, or a weekday's name; None if it names none.

    Args:
        text: Such as "Saturday", "the day after tomorrow", "May third" or "2026-05-03".
        today: The day on which it is said.
    """
    if iso := re.search(r"\b(\d{4})-(\d\d)-(\d\d)\b", text):
        return date(int(iso[1]), int(iso[2]), int(iso[3]))
    if short := re.fullmatch(r"(\d\d)-(\d\d)", text):
        return _next_date(int(short[1]), int(short[2]), today)
    found = _DAY.search(" ".join(spoken_words(text)))
    if found is None:
        return None
    if found["far"]:
        return today + timedelta(days=2)
    if month := found["month"] or found["month2"]:
        nth = found["nth"] or found["nth2"]
        return _next_date(MONTHS.index(month) + 1, _DAYS_OF_MONTH[nth], today)
    if found["feast"]:
        return _next_date(*_FEASTS[found["feast"]], today)
    if found["near"]:
        return today + timedelta(days=found["near"] == "tomorrow")
    return found["weekday"]


def _next_date(month: int, day: int, today: date) -> date:
    this_year = date(today.year, month, day)
    return this_year if this_year >= today else this_year.replace(year=today.year + 1)


def same_day(one: date | str | None, other: date | str | None, today: date) -> bool:
    """Return whether two days may be the same one: a weekday's name is that day within the next eight."""
    if isinstance(one, date) and isinstance(other, date):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if one is None or other is None:
        return one is other
    name, exact = (one, other) if isinstance(one, str) else (other, one)
    assert isinstance(exact, date)
    return _WEEKDAYS[exact.weekday()] == name and timedelta(0) <= exact - today <= timedelta(days=8)


def time_of(text: str) -> str | None:
    """Return the time that a text names as `HH:MM`, in the evening where it does not say; None if it names none."""
    if exact := re.fullmatch(r"(\d\d):(\d\d)", text):
        return exact[0]
    found = _TIME.search(" ".join(spoken_words(text)))
    while found is not None and not any(
        found[name] for name in ("noon", "step", "bare", "minute2", "clock", "part")
    ):
        found = _TIME.search(found.string, found.end())
    return None if found is None else _time(found)


def _time(found: re.Match[str]) -> str:
    if found["noon"]:
        return "00:00" if found["noon"] == "midnight" else "12:00"
    if found["step"]:
        hour, minute = _NUMBERS[found["of"]], _STEPS[found["step"]]
        if found["way"] == "to":
            hour, minute = hour - 1, 60 - minute
    else:
        hour = _NUMBERS[found["bare"] or found["hour"]]
        minute = _NUMBERS.get((found["minute"] or found["minute2"] or "").replace("oh ", ""), 0)
    if hour < 12 and (found["part"] or "").strip() not in ("am", "in the morning"):
        hour += 12
    return f"{hour % 24:02d}:{minute:02d}"


def stated(text: str, today: date) -> Mapping[str, object]:
    """Return what the bot's sentences say of people, day and time, as a caller hears it.

    Of a reply that begins with something else ("We can seat up to twenty people. So that is a table for two ..."),
    what stands from the table on counts.
    """
    words = " ".join(spoken_words(text))
    words = words[max(0, words.rfind("table for")) :]
    result: dict[str, object] = {}
    if (day := day_of(words, today)) is not None:
        result["day"] = day
        words = _DAY.sub(" ", words)
    if (time := time_of(words)) is not None:
        result["time"] = time
        words = _TIME.sub(lambda found: " " if _time_is_sure(found) else found[0], words)
    if (people := number_of(words)) is not None:
        result["people"] = people
    return result


def number_of(text: str) -> int | None:
    """Return the number in a text; None if there is none, or more than one."""
    numbers = _NUMBER.findall(" ".join(spoken_words(text)))
    return _NUMBERS[numbers[0]] if len(numbers) == 1 else None


def _time_is_sure(found: re.Match[str]) -> bool:
    return any(found[name] for name in ("noon", "step", "bare", "minute2", "clock", "part"))
