"""Finds the date in what a caller says of a day: "next Friday", "the fifth of May", "12.3.84".

English is read as playbooks read it (`services/playbook/days.py`), and put onto the calendar here. Other languages are
read by dateparser (the extra ``dates``), part by part of the sentence, and only where day and month are plain: left to
itself it makes the 29th of May of a "May", if today is a 29th. Without I/O and without a clock: `today` is given.
"""

from __future__ import annotations

import calendar
import contextlib
import importlib.util
import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from babel.core import UnknownLocaleError
from babel.dates import get_day_names
from text_to_num import alpha2digit

from piopiy_pipeline.collect.days_not_meant import (
    is_day_list,
    is_vague,
    names_excluded,
    without_days_not_meant,
)
from piopiy_pipeline.collect.remarks import counts
from piopiy_pipeline.services.playbook.days import day_matches
from piopiy_pipeline.services.playbook.words import MONTHS, WEEKDAYS, Words, read_words
from piopiy_pipeline.turns.caller_words import language_code

__all__ = ["day_of_keys", "find_date", "needs_dateparser"]

MAX_CHARACTERS = 300
MAX_PARTS = 60
"""So many parts of a sentence are given to dateparser, the longest first."""
_YEAR = re.compile(r"^,? ?(?:(?P<year>(?:19|20)\d\d)|(?P<century>19|20) (?P<rest>\d\d))(?!\d)")
_OH_YEAR = re.compile(r"(?<=\D)(?P<century>(?:19|20) )?(?:oh|o) (?P<digit>\d)(?!\d|:)")
"""What a year such as 1905 is when it is said: "nineteen oh five"; of "oh five" the century is to be found."""
_FROM_TODAY = re.compile(
    r"\b(?P<many>an?|\d{1,2}|a couple of) (?P<unit>days?|weeks?) from (?P<base>today|tomorrow|now)\b"
)
_AGO = re.compile(
    r"\b(?:(?P<many>an?|\d{1,2}|a couple of) (?P<unit>days?|weeks?) ago|(?P<before>(?:the )?day before )?yesterday)\b"
)
_LAST = re.compile(rf"\blast ({'|'.join(WEEKDAYS)})\b(?! (?:of|in)\b)")
_WITH_YEAR = re.compile(
    rf"\b(?P<month>{'|'.join(MONTHS)}) (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?"
    r"(?:(?P<year>(?:19|20)\d\d)|(?P<century>19|20) (?P<rest>\d\d))(?!\d)"
)
_YEAR_SHORT = re.compile(r"^,? ?(?P<rest>\d\d)(?!\d|:)")
_ISO = re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?!\d)")
_NUMERIC = re.compile(
    r"(?<!\d)(?P<a>\d{1,2})\s?(?P<mark>[./-])\s?(?P<b>\d{1,2})\s?(?P=mark)?\s?(?P<y>\d{4}|\d{2})?(?!\d)"
)
_SHORT_YEAR = re.compile(r",? ['’](\d\d)\b")
_KEYED = re.compile(r"\W*(?:\d{8}|\d\d \d\d \d{4})\W*")
_TIME_BEFORE = re.compile(
    r"\b(?:at|around|about|past|till|until|um|gegen|ab|bis|à|vers|a las|a la|alle|verso|às|pelas|om|rond) $"
)
_TIME_AFTER = re.compile(r"\s*(?:[ap]\.?\s?m\b|o'clock|uhr|h\b|heures?|uur|horas?)")
"""What stands beside a time that is written with a full stop."""
_FEASTS = {
    "christmas eve": (12, 24), "christmas day": (12, 25), "christmas": (12, 25), "boxing day": (12, 26),
    "new years eve": (12, 31), "new year's eve": (12, 31), "new years day": (1, 1), "new year's day": (1, 1),
    "valentines day": (2, 14), "valentine's day": (2, 14), "valentine's": (2, 14), "halloween": (10, 31),
}  # fmt: skip
_DAY_ALONE = re.compile(r"\bthe (3[01]|[12]\d|[1-9])$")
"""What recognisers make of "the twenty third"."""
_DAY_ALONE_IN = {
    "de": r"am|der|den", "fr": r"le", "es": r"el(?: día)?|día", "it": r"il(?: giorno)?", "pt": r"(?:n?o )?dia",
    "nl": r"de",
}  # fmt: skip
_COURTESY = re.compile(r"\W+(?:bitte|danke|s'il vous plaît|por favor|per favore|alstublieft|graag)\W*$")
_NTH_OF_NTH = re.compile(r"\b(?P<day>\d{1,2})(?:st|nd|rd|th) of the (?P<month>\d{1,2})(?:st|nd|rd|th)\b")
_PLAIN = re.compile(r"[^\W\d_]+|\d+\.?|[./-]")
_RELATIVE = {
    "de": {"übermorgen": 2, "morgen": 1, "heute": 0},
    "fr": {"après-demain": 2, "demain": 1, "aujourd'hui": 0},
    "es": {"pasado mañana": 2, "mañana": 1, "hoy": 0},
    "it": {"dopodomani": 2, "domani": 1, "domattina": 1, "oggi": 0, "stasera": 0},
    "pt": {"depois de amanhã": 2, "amanhã": 1, "hoje": 0},
    "nl": {"overmorgen": 2, "morgen": 1, "morgenochtend": 1, "morgenmiddag": 1, "morgenavond": 1, "vandaag": 0,
           "vanmiddag": 0, "vanavond": 0},
}  # fmt: skip
_COUNTED = {
    "de": r"in (?:\d+|einer?m?) (?:woche|tag|monat)\w*|übernächste[nrs]?",
    "fr": r"dans (?:\d+|une?) (?:semaine|jour|mois)\w*|en (?:8|15)",
    "es": r"(?:en|dentro de) (?:\d+|una?) (?:semana|día|mes)\w*",
    "it": r"(?:tra|fra) (?:\d+|una?) (?:settiman|giorn|mes)\w*",
    "pt": r"(?:daqui a|em|dentro de) (?:\d+|uma?) (?:semana|dia|m[eê]s)\w*",
    "nl": r"over (?:\d+|een) (?:week|weken|dag|dagen|maand\w*)",
}
"""Beside a day: another one is counted from it, which only a calendar knows."""
_CLOCK = re.compile(
    r"(?<!\w)(?:(?:um|gegen|à|vers|a las?|alle|verso|às|pelas|om|rond) )?(?:halb )?"
    r"(?:\d{1,2}(?:[.:]\d\d)? ?(?:uhr|heures?|uur|horas?|ore)(?: \d{1,2})?(?!\w)|\d{1,2} ?h(?: ?\d\d)?(?!\w))"
    r"|(?<!\w)(?:um|gegen|à|vers|a las?|alle|verso|às|pelas|om|rond) (?:halb )?\d{1,2}(?:[.:h]\d\d)?"
    r"(?![\w.]|\s[^\W\d]{3,}\s\d)"
)
"""A time of the day, with its number in digits: it is none of a date."""
_PART_OF_DAY = {
    "de": r"\b({days}) ?(?:morgen|früh|(?:vor|nach)?mittag|abend)s?\b",
    "es": r"()\b(?:por|de|en) la (?:mañana|tarde|noche)\b",
    "nl": r"\b({days}) ?(?:morgen|ochtend|(?:voor|na)?middag|avond|nacht)s?\b",
}
_FEIRA = re.compile(r"\b(segunda|terça|quarta|quinta|sexta)(?:[- ]feira)?\b")
_ABBREVIATED = re.compile(
    r"\b(?:(?P<month>jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec|mar(?=\.? \d)|(?<=\d )mar|(?<=th )mar)"
    r"|(?P<day>tues?|weds|thu(?:rs?)?|fri|(?:mon|wed|sat|sun)(?=\.?,? (?:the )?\d|\W*$)))\b\.?"
)
"""How days and months are typed: "Fri, Dec 4"."""
_FEASTS_IN = {
    "de": {"heiligabend": "24.12.", "weihnachten": "25.12.", "silvester": "31.12.", "neujahr": "1.1."},
    "fr": {"noël": "25.12.", "saint-sylvestre": "31.12.", "jour de l'an": "1.1."},
    "es": {"nochebuena": "24.12.", "navidad": "25.12.", "nochevieja": "31.12.", "año nuevo": "1.1."},
    "it": {"vigilia di natale": "24.12.", "natale": "25.12.", "san silvestro": "31.12.", "capodanno": "1.1."},
    "pt": {"véspera de natal": "24.12.", "natal": "25.12.", "ano novo": "1.1."},
    "nl": {
        "kerstavond": "24.12.",
        "1 kerstdag": "25.12.",
        "2 kerstdag": "26.12.",
        "oudejaarsdag": "31.12.",
        "nieuwjaarsdag": "1.1.",
    },
}
_GREETING = re.compile(r"\b(?:guten (?:morgen|tag|abend)|goede (?:morgen|middag|avond))\b")
_SPAN_BEGINS = re.compile(r"(?:in|vor|dans|il y a|en|dentro|hace|tra|fra|em|daqui|over)\b")
"""What stands before a number of days that is counted from today; "72 years old" is none."""
_NEXT = {
    code: re.compile(rf"\b(?:{words})\b")
    for code, words in {
        "en": "next week",
        "de": "nächste[nrs]? woche",
        "fr": "semaine (?:prochaine|d'après)",
        "es": "próxima semana|semana (?:que viene|próxima)",
        "it": "prossima settimana|settimana prossima",
        "pt": "próxima semana|semana que vem",
        "nl": "volgende week",
    }.items()
}
_AHEAD = {
    "pt": re.compile(r"\b(?:daqui a|em|dentro de) (?P<many>\d{1,2}|uma?) (?P<unit>dia|semana)s?\b"),
    "it": re.compile(r"\b(?:tra|fra) (?P<many>\d{1,2}|una?) (?P<unit>giorn|settiman)\w\b"),
}
"""Spans that dateparser does not read."""


def needs_dateparser(language: str) -> bool:
    """Return whether dates of this language can only be read with dateparser, and it is not installed."""
    return language_code(language) != "en" and importlib.util.find_spec("dateparser") is None


def find_date(
    text: str, language: str, *, today: date, past: bool = False, day_first: bool = True
) -> date | None:
    """Return the date that a text names.

    Args:
        text: What was said.
        language: Its language, by its code.
        today: The day of the call, where the caller is.
        past: Whether a date without a year has been, such as a birthday; else it is to come.
        day_first: Whether 3/4 is the third of April.
    """
    code = language_code(language)
    text = text[:MAX_CHARACTERS].lower()
    text = _SHORT_YEAR.sub(lambda year: f" {_full_year(year[1], today, past=past)}", text)
    text = without_days_not_meant(text, code, past=past)
    if _KEYED.fullmatch(text):
        return day_of_keys(re.sub(r"\W", "", text), today=today, past=past, day_first=day_first)
    if (found := _written(text, today, past=past, day_first=day_first)) is not None:
        return found
    if code == "en":
        return _english(text, today, past=past)
    return _parsed(text, code, today, past=past)


def day_of_keys(keys: str, *, today: date, past: bool, day_first: bool) -> date | None:
    """Return the date of keys: day and month, with a year of two digits or four, or without one."""
    if len(keys) not in (4, 6, 8) or not keys.isdecimal():
        return None
    first, second, year = int(keys[:2]), int(keys[2:4]), keys[4:]
    day, month = (first, second) if day_first else (second, first)
    return _date(day, month, _full_year(year, today, past=past), today, past=past)


# ---------------------------------------------------------------------- the calendar


def _date(day: int, month: int, year: int | None, today: date, *, past: bool) -> date | None:
    """Return a date; without a year, the next one or the last one."""
    if year is not None:
        return _exact(day, month, year)
    for step in range(9):  # the 29th of February comes every four years, or eight
        found = _exact(day, month, today.year - step if past else today.year + step)
        if found is not None and (found <= today if past else found >= today):
            return found
    return None


def _exact(day: int, month: int, year: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _full_year(year: str, today: date, *, past: bool) -> int | None:
    if not year:
        return None
    if len(year) == 4:
        return int(year)
    near = today.year // 100 * 100 + int(year)
    if past:
        return near if near <= today.year else near - 100
    return near if near >= today.year else near + 100


def _written(text: str, today: date, *, past: bool, day_first: bool) -> date | None:
    if (found := _ISO.search(text)) is not None:
        return _exact(int(found["d"]), int(found["m"]), int(found["y"]))
    written = [
        one for one in _NUMERIC.finditer(text) if not (_is_time(one) or names_excluded(text[: one.start()]))
    ]
    if written and (written[-1]["mark"] != "-" or written[-1]["y"]):
        found = written[-1]
        a, b = int(found["a"]), int(found["b"])
        first = day_first or found["mark"] == "."
        day, month = (a, b) if (first or a > 12) and b <= 12 else (b, a)
        return _date(day, month, _full_year(found["y"] or "", today, past=past), today, past=past)
    return None


def _is_time(found: re.Match[str]) -> bool:
    """Return whether numbers with a full stop between them are a time, as recognisers write it: "um 10.30 Uhr"."""
    if found["mark"] != "." or found["y"] or found[0].rstrip().endswith("."):
        return False
    before, after = found.string[: found.start()], found.string[found.end() :]
    around = _TIME_BEFORE.search(before) or _TIME_AFTER.match(after)
    return int(found["b"]) > 12 or (len(found["b"]) == 2 and around is not None)


def _weekday(number: int, today: date, *, past: bool = False) -> date:
    """Return the next such weekday, which is not today, or the last one."""
    if past:
        return today - timedelta(days=(today.weekday() - number) % 7 or 7)
    return today + timedelta(days=(number - today.weekday()) % 7 or 7)


def _days_of(many: str, unit: str) -> int:
    """Return how many days "a couple of weeks" are."""
    count = 2 if many.startswith("a couple") else 1 if many.startswith("a") else int(many)
    return count * (7 if unit.startswith("week") else 1)


def _later(day: date, today: date) -> date:
    """Return the day, or that of the week after if it is in this week: "Friday next week"."""
    return day + timedelta(days=7 * (day.isocalendar()[:2] == today.isocalendar()[:2]))


# ---------------------------------------------------------------------- English


def _english(text: str, today: date, *, past: bool) -> date | None:
    said = read_words(_ABBREVIATED.sub(_unabbreviated, text))
    if past:  # of a day to come, "May fifth oh five" has no year
        said = Words(
            _OH_YEAR.sub(lambda found: f"{(found['century'] or '').strip()}0{found['digit']}", said.text)
        )
    words = said.text
    if (ahead := _FROM_TODAY.search(words)) is not None:
        start = today + timedelta(days=ahead["base"] == "tomorrow")
        return start + timedelta(days=_days_of(ahead["many"], ahead["unit"]))
    if past and (ago := _AGO.search(words)) is not None:
        return today - timedelta(
            days=_days_of(ago["many"], ago["unit"]) if ago["many"] else 1 + bool(ago["before"])
        )
    if past and (last := _LAST.search(words)) is not None:
        return _weekday(WEEKDAYS.index(last[1]), today, past=True)
    if (both := _NTH_OF_NTH.search(words)) is not None:
        year = _year_behind(words[both.end() :], today, past=past)
        return _date(int(both["day"]), int(both["month"]), year, today, past=past)
    meant = [whole for whole in _WITH_YEAR.finditer(words) if not names_excluded(words[: whole.start()])]
    if meant:
        whole = meant[-1]
        year = int(whole["year"] or whole["century"] + whole["rest"])
        return _exact(int(whole["day"]), MONTHS.index(whole["month"]) + 1, year)
    found: date | None = None
    excluded, end = False, 0
    for match in day_matches(said):
        listed = is_day_list(words[end : match.start()])
        excluded, end = names_excluded(words[: match.start()]) or (excluded and listed), match.end()
        if excluded:
            continue
        day = _resolved(match, words[match.end() :], today, past=past)
        if day and found and listed:
            return None  # "Monday or Tuesday"
        found = day or found  # the last one counts: "no, the sixth"
    alone = _DAY_ALONE.search(words)
    if found is None and alone is not None and not names_excluded(words[: alone.start()]):
        return _day_of_month(int(alone[1]), today, past=past)
    return found


def _unabbreviated(found: re.Match[str]) -> str:
    names, short = (MONTHS, found["month"]) if found["month"] else (WEEKDAYS, found["day"])
    return next(name for name in names if name.startswith(short[:3]))


def _resolved(match: re.Match[str], after: str, today: date, *, past: bool) -> date | None:
    if match["feast"]:
        fixed = _FEASTS.get(match["feast"])
        return (
            None
            if fixed is None
            else _date(fixed[1], fixed[0], _year_behind(after, today, past=past), today, past=past)
        )
    if match["far"]:
        return today + timedelta(days=2)
    if match["week"] or match["later"]:
        name = match["from"] or match["later"]
        base = {"today": today, "tomorrow": today + timedelta(days=1)}.get(name)
        return (base or _weekday(WEEKDAYS.index(name), today)) + timedelta(days=7)
    if match["many"]:
        return today + timedelta(days=_days_of(match["many"], match["unit"]))
    if match["day"]:
        weekday = WEEKDAYS.index(match["day"])
        if match["th"]:
            return _day_of_month(int(match["th"][:-2]), today, past=past, weekday=weekday)
        found = _weekday(weekday, today, past=past)
        return _later(found, today) if _NEXT["en"].search(match.string) else found
    if match["now"]:
        return today + timedelta(days=match["now"] == "tomorrow")
    if match["alone"]:
        return _day_of_month(int(match["alone"][:-2]), today, past=past)
    month = MONTHS.index(match["month"] or match["month2"]) + 1
    day_number = int(match["nth"] or match["nth2"])
    return _date(day_number, month, _year_behind(after, today, past=past), today, past=past)


def _year_behind(after: str, today: date, *, past: bool) -> int | None:
    if (found := _YEAR.match(after)) is not None:
        return int(found["year"] or found["century"] + found["rest"])
    if past and (found := _YEAR_SHORT.match(after)) is not None:
        return _full_year(found["rest"], today, past=True)
    return None


def _day_of_month(day: int, today: date, *, past: bool, weekday: int | None = None) -> date | None:
    """Return the next such day of a month, or the last one; one that is such a weekday."""
    year, month = today.year, today.month
    for _ in range(36):
        if day <= calendar.monthrange(year, month)[1]:
            found = date(year, month, day)
            if (found <= today if past else found >= today) and weekday in (None, found.weekday()):
                return found
        month += -1 if past else 1
        year, month = (year - 1, 12) if month == 0 else (year + 1, 1) if month == 13 else (year, month)
    return None


# ---------------------------------------------------------------------- other languages


@lru_cache(maxsize=32)
def _weekdays(code: str) -> dict[str, int]:
    """Return the names of the weekdays, 0 for Monday, as CLDR has them; none for a language that it has not."""
    try:
        names = get_day_names("wide", locale=code)
    except UnknownLocaleError:
        return {}
    return {str(names[day]).lower(): day for day in range(7)}


def _parsed(text: str, code: str, today: date, *, past: bool) -> date | None:
    """Return the date of the longest part of a text that dateparser reads as a whole."""
    import dateparser  # of an extra, and 0.1 s to import

    if code == "pt":
        text = _FEIRA.sub(r"\1-feira", text)  # else "sexta" is a sixth
    with contextlib.suppress(ValueError, KeyError):  # a language that text2num has not
        text = alpha2digit(text, code, threshold=0.0)
    text = re.sub(r"\b(\d{1,2})(?:º|ª|er|ème|e|de|ste)\b", r"\1", _GREETING.sub(" ", text))
    if (found := _written(text, today, past=past, day_first=True)) is not None:
        return found  # "am 3. 12."
    text = _COURTESY.sub("", _CLOCK.sub(" ", text)).strip()
    weekdays = _weekdays(code)
    names = "|".join(map(re.escape, sorted(weekdays, key=len, reverse=True)))
    if code in _PART_OF_DAY:
        text = re.sub(_PART_OF_DAY[code].format(days=names), r"\1", text)  # "Freitag Morgen", "por la mañana"
    if is_vague(text, code):
        return None
    for feast, date_text in _FEASTS_IN.get(code, {}).items():
        text = re.sub(rf"\b{feast}\b", date_text, text)
    if (found := _written(text, today, past=past, day_first=True)) is not None:
        return found
    days = "|".join((*map(re.escape, _RELATIVE.get(code, ())), names))
    if code in _COUNTED:
        a_day, counted = rf"\b(?:{days})\b", rf"\b(?:{_COUNTED[code]})\b"
        if re.search(rf"{a_day}.*{counted}|{counted}.*{a_day}", text):
            return None  # "Freitag in einer Woche"
    if code in _AHEAD and (ahead_by := _AHEAD[code].search(text)) is not None:
        many = 1 if ahead_by["many"].startswith("u") else int(ahead_by["many"])
        return today + timedelta(days=many * (7 if ahead_by["unit"].startswith("se") else 1))
    for name, ahead in _RELATIVE.get(code, {}).items():
        if re.search(rf"(?<!la )\b{name}\b(?! (?:früh|abend|mittag))", text):
            return today + timedelta(days=ahead)
    alone = re.search(rf"\b(?:{_DAY_ALONE_IN.get(code, '(?!)')}) (3[01]|[12]\d|[1-9])(?:\.|e|er)?\W*$", text)
    if alone is not None:
        before = re.search(rf"\b({names})\b", text[: alone.start()]) if names else None
        weekday = weekdays[before[1]] if before else None  # "Freitag, der 13."
        return _day_of_month(int(alone[1]), today, past=past, weekday=weekday)
    named = re.finditer(rf"\b({names})\b", text) if names else ()
    meant = [day for day in named if not names_excluded(text[: day.start()])]
    if any(is_day_list(text[a.end() : b.start()]) for a, b in pairwise(meant)):
        return None
    if meant:
        day = meant[-1]  # the last one counts: "Freitag, nein, Samstag"
        if not re.search(r"\d", text):
            found = _weekday(weekdays[day[1]], today, past=past)
            return _later(found, today) if code in _NEXT and _NEXT[code].search(text) else found
        text = text.replace(day[1], " ")
    tokens = _PLAIN.findall(text)
    base = datetime(today.year, today.month, today.day)
    settings = {
        "RELATIVE_BASE": base,
        "PREFER_DATES_FROM": "past" if past else "future",
        "RETURN_AS_TIMEZONE_AWARE": False,
        "REQUIRE_PARTS": ["day", "month"],
        "DATE_ORDER": "DMY",
    }
    tried = 0
    for size in range(min(len(tokens), 8), 0, -1):
        for at in range(len(tokens) - size + 1):
            tried += 1
            if tried > MAX_PARTS:
                return None
            part = " ".join(tokens[at : at + size])
            if counts(part) and not _SPAN_BEGINS.match(part):
                continue
            parsed = dateparser.parse(part, languages=[code], settings=settings)
            if parsed is not None:
                return date(parsed.year, parsed.month, parsed.day)
    return None
