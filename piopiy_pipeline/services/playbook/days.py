"""Finds days in plain words with digits (`words.py`): weekdays, "tomorrow", dates, feasts.

A day stays what was said ("tomorrow", "Friday", "May fifth"): which date it is depends on a calendar, which a
conversation cannot replay. Each way of saying a day has one name here, so that two are equal when they are meant so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from piopiy_pipeline.services.playbook.values import Value
from piopiy_pipeline.services.playbook.words import MONTHS, WEEKDAYS, Words, number_words, ordinal_words

__all__ = ["day_matches", "find_days", "same_day"]

_FEASTS = {
    "christmas eve": "Christmas Eve",
    "christmas day": "Christmas Day",
    "christmas": "Christmas Day",
    "boxing day": "Boxing Day",
    "new years eve": "New Year's Eve",
    "new year's eve": "New Year's Eve",
    "new years day": "New Year's Day",
    "new year's day": "New Year's Day",
    "valentines day": "Valentine's Day",
    "valentine's day": "Valentine's Day",
    "valentine's": "Valentine's Day",
    "mothers day": "Mother's Day",
    "mother's day": "Mother's Day",
    "fathers day": "Father's Day",
    "father's day": "Father's Day",
    "good friday": "Good Friday",
    "easter sunday": "Easter Sunday",
    "easter monday": "Easter Monday",
    "halloween": "Halloween",
    "thanksgiving": "Thanksgiving",
}
_FIXED: dict[str | int, str | int] = {
    "Christmas Eve": "December twenty fourth",
    "Christmas Day": "December twenty fifth",
    "Boxing Day": "December twenty sixth",
    "New Year's Eve": "December thirty first",
    "New Year's Day": "January first",
    "Valentine's Day": "February fourteenth",
    "Halloween": "October thirty first",
}
_LONGEST = dict.fromkeys(("april", "june", "september", "november"), 30) | {"february": 29}
_MOST = 50
"""As many days are found in a sentence: nobody says more."""
_WEEKDAY = "|".join(WEEKDAYS)
_MONTH = "|".join(MONTHS)
_FEAST = "|".join(sorted(map(re.escape, _FEASTS), key=len, reverse=True))
_NTH = r"(?:3[01]|[12]\d|0?[1-9])"
_TH = rf"{_NTH}(?:st|nd|rd|th)"
_DAY = re.compile(
    rf"(?<!\S)(?:(?P<feast>{_FEAST})"
    rf"|(?P<far>(?:the )?(?:day |\w+ )?after tomorrow|the day after (?!that|this|next|the|my|our|{_WEEKDAY})\w+)"
    rf"|(?P<week>1 week (?:from|on) |a week (?:from |on )?)(?:this )?(?P<from>{_WEEKDAY}|tomorrow|today)"
    rf"|(?P<later>{_WEEKDAY}) week"
    r"|in (?P<many>an?|\d{1,2}|a couple of) (?P<unit>days?|weeks?)(?! time)"
    rf"|(?:the )?(?P<next>next )?(?:this )?(?:coming )?(?P<day>{_WEEKDAY})(?: the (?P<th>{_TH})(?! of))?"
    r"|(?P<now>today|tomorrow|tonight|tonite|this (?:evening|afternoon|morning))"
    rf"|(?:the )?(?P<nth>{_NTH})(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH})"
    rf"|(?P<month2>{_MONTH}) (?:the )?(?P<nth2>{_NTH})"
    rf"(?:(?:st|nd|rd|th)|(?!:| (?:oh )?\d| (?:of us|people|pm|am|o'clock)(?!\S)))"
    rf"|(?:on )?the (?P<alone>{_TH})(?= (?:at|please|for|if|around|then)(?!\S)|$))(?!\S)"
)
_COUNTED_BEFORE = re.compile(
    r"\b(?:[1-5](?:st|nd|rd|th)|last|after|before|(?:days?|weeks|months?|fortnight) (?:from|on))(?: the| this)? $"
)
"""What stands before a day from which another one is counted: "the first Monday in March", "a week after Christmas",
"two weeks from Friday"."""
_COUNTED_AFTER = re.compile(
    rf" (?:(?:in|of) (?:{_MONTH}|(?:(?:the )?(?:next|last|following|this|that)|the) (?:month|week|year|{_MONTH})"
    r"|an? week|\d{1,2} weeks?|a couple of weeks)"
    rf"|(?:after|before) (?:next|{_WEEKDAY}|{_FEAST}|tomorrow)|the week (?:after|before)|week|fortnight)(?!\S)"
)
"""And what stands behind one: "the Friday after next", "Monday in two weeks"."""
_WEEKDAY_BEFORE = re.compile(rf"(?<!\S)(?:{_WEEKDAY}) $")
_FAR = re.compile(r"(?:the )?day after tomorrow")
_NOW = {"tonite": "tonight", "this evening": "tonight", "this afternoon": "today", "this morning": "today"}


def day_matches(words: Words) -> Iterator[re.Match[str]]:
    """Find the same as `find_days` does, as matches whose groups say what a day is made of."""
    found = islice(_DAY.finditer(words.text), _MOST)
    return (match for match in found if not _is_counted_from(match, words.text))


def _is_counted_from(match: re.Match[str], text: str) -> bool:
    """Return whether another day is meant, which only a calendar knows: nobody who says it means this one."""
    if match["far"]:
        return False
    before = text[max(0, match.start() - 20) : match.start()]
    if match["many"] and _WEEKDAY_BEFORE.search(before):
        return True
    return bool(_COUNTED_BEFORE.search(before) or _COUNTED_AFTER.match(text, match.end()))


def find_days(words: Words) -> list[Value]:
    """Find weekdays, words such as "tomorrow", dates of the year, and feasts; none from which another day is counted,
    as in "the first Monday in March".
    """
    found = []
    for match in day_matches(words):
        if (spoken := _spoken(match)) is not None:
            doubtful = words.is_repaired(match.start(), match.end())
            doubtful = doubtful or bool(
                match["far"] and not _FAR.fullmatch(match["far"])
            )  # "me after tomorrow"
            found.append(Value(spoken, spoken, match.start(), match.end(), doubtful=doubtful))
    return found


def same_day(first: str | int, second: str | int) -> bool:
    """Return whether two days are one, such as Christmas Eve and December twenty fourth."""
    return _FIXED.get(first, first) == _FIXED.get(second, second)


def _spoken(match: re.Match[str]) -> str | None:
    if match["feast"]:
        return _FEASTS[match["feast"]]
    if match["far"]:
        return "the day after tomorrow"
    if match["week"]:
        return f"a week from {_name(match['from'])}"
    if match["later"]:
        return f"a week from {_name(match['later'])}"
    if match["many"]:
        return _span(match["many"], match["unit"].removesuffix("s"))
    if match["day"]:
        name = f"{'next ' if match['next'] else ''}{_name(match['day'])}"
        return f"{name} the {_nth(match['th'])}" if match["th"] else name
    if match["now"]:
        return _NOW.get(match["now"], match["now"])
    if match["alone"]:
        return f"the {_nth(match['alone'])}"
    month = match["month"] or match["month2"]
    number = int(match["nth"] or match["nth2"])
    return f"{month.capitalize()} {ordinal_words(number)}" if number <= _LONGEST.get(month, 31) else None


def _span(many: str, unit: str) -> str:
    """Return a stretch of time from today: "in two weeks"."""
    count = 2 if many.startswith("a couple") else 1 if many.startswith("a") else int(many)
    if unit == "day" and count < 3:
        return ("today", "tomorrow", "in two days")[count]
    return f"in a {unit}" if count == 1 else f"in {number_words(count)} {unit}s"


def _name(day: str) -> str:
    return day.capitalize() if day in WEEKDAYS else day


def _nth(ordinal: str) -> str:
    return ordinal_words(int(ordinal[:-2]))
