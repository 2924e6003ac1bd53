"""Finds numbers, days and times in normalised English words (`language_model.normalise`).

A day stays what was said ("tomorrow", "Friday"): which date it is depends on a calendar, which a conversation
cannot
replay. A time becomes `HH:MM`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from piopiy_pipeline.services.language_model import number_words

__all__ = ["DAYS", "Value", "find_days", "find_numbers", "find_times", "spoken_time"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was said: for the tool, for the bot's own sentences, and its place in the words.

    `sure` is False if it might be something else: a bare hour ("seven") may be a number, and a number may
    count
    something other than what was asked for.
    """

    value: str | int
    spoken: str
    start: int
    end: int
    sure: bool = True


DAYS = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tomorrow",
    "tonight",
)
"""Days as single words."""

_COUNTED = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth"
_ORDINALS = [
    *_COUNTED.split(),
    *(f"{word}teenth" for word in ("four", "fif", "six", "seven", "eigh", "nine")),
    "twentieth",
    *(f"twenty {word}" for word in _COUNTED.split()[:9]),
    "thirtieth",
    "thirty first",
]
_MONTH = "january|february|march|april|may|june|july|august|september|october|november|december"


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


_NUMBERS = {number_words(number): number for number in range(1, 101)} | {
    "a couple": 2,
    "couple": 2,
    "a dozen": 12,
}
_HOURS = {number_words(hour): hour for hour in range(1, 25)}
_MINUTES = {f"oh {number_words(minute)}": minute for minute in range(1, 10)} | {
    number_words(minute): minute for minute in range(10, 60)
}
_STEPS = {"half": 30, "quarter": 15, "a quarter": 15, "five": 5, "ten": 10, "twenty": 20}

_TIME = re.compile(
    rf"\b(?:(?P<noon>noon|midday|midnight)|(?:(?P<at>at|around|about|by|till|until) )?"
    rf"(?:(?P<step>{_any(_STEPS)}) (?P<way>past|after|to|before) (?P<of>{_any(_HOURS)})"
    rf"|half (?P<half>{_any(_HOURS)})"
    rf"|(?P<hour>{_any(_HOURS)})(?: (?P<minute>{_any(_MINUTES)})(?!\S))?)"
    rf"(?P<clock> o'? ?clock)?"
    rf"(?: (?P<part>a m|am|p m|pm|in the (?:morning|afternoon|evening)|at night))?)(?!\S)"
)
_DAY = re.compile(
    rf"\b(?:(?P<far>(?:the )?day after tomorrow)|(?P<eve>this evening)"
    rf"|(?P<next>next )?(?:this )?(?P<day>{'|'.join(DAYS)})"
    rf"|(?:the )?(?P<nth>{_any(_ORDINALS)}) of (?P<month>{_MONTH})"
    rf"|(?P<month2>{_MONTH}) (?:the )?(?P<nth2>{_any(_ORDINALS)}))(?!\S)"
)
_ONE = r"(?<!\bno )(?<!\bthat )(?<!\bthis )(?<!\bwhich )(?<!\banother )one(?!\S)"  # "no one" counts nobody
_NUMBER = re.compile(
    rf"\b(?P<number>{_ONE}|{_any(_NUMBERS.keys() - {'one'})})"
    r"(?P<counts> (?:people|persons?|guests?|of us|adults))?(?!\S)(?! moment| second)"
)


def find_times(words: str, *, assume: str = "pm") -> list[Value]:
    """Find times of day.

    Args:
        words: Normalised words.
        assume: ``"am"`` or ``"pm"``: how an hour from one to eleven is read that names neither.
    """
    found = []
    for match in _TIME.finditer(words):
        part = match["part"] or ""
        sure = any(match[name] for name in ("noon", "at", "step", "half", "minute", "clock", "part"))
        if match["noon"]:
            hour, minute = (0 if match["noon"] == "midnight" else 12), 0
        elif match["step"]:
            hour, minute = _HOURS[match["of"]], _STEPS[match["step"]]
            if match["way"] in ("to", "before"):
                hour, minute = (hour - 1 or 12), 60 - minute
        elif match["half"]:  # British: half past
            hour, minute = _HOURS[match["half"]], 30
        else:
            hour, minute = _HOURS[match["hour"]], _MINUTES.get(match["minute"], 0)
        if not match["noon"]:
            morning = part in ("a m", "am", "in the morning") if part else assume == "am"
            if hour == 12 and part and morning:
                hour = 0
            elif hour < 12 and not morning:
                hour += 12
        value = f"{hour % 24:02d}:{minute:02d}"
        found.append(Value(value, spoken_time(value), match.start(), match.end(), sure))
    return found


def find_days(words: str) -> list[Value]:
    """Find weekdays, words such as "tomorrow", and dates of the year."""
    found = []
    for match in _DAY.finditer(words):
        if match["day"]:
            day = match["day"]
            name = day if day.startswith("to") else day.capitalize()
            spoken = f"next {name}" if match["next"] else name
        elif match["far"]:
            spoken = "the day after tomorrow"
        elif match["eve"]:
            spoken = "tonight"
        else:
            spoken = f"{(match['month'] or match['month2']).capitalize()} {match['nth'] or match['nth2']}"
        found.append(Value(spoken, spoken, match.start(), match.end()))
    return found


def find_numbers(words: str) -> list[Value]:
    """Find whole numbers from 1 to 100."""
    return [
        Value(
            number := _NUMBERS[match["number"]],
            number_words(number),
            match.start(),
            match.end(),
            sure=bool(match["counts"]),
        )
        for match in _NUMBER.finditer(words)
    ]


def spoken_time(value: str) -> str:
    """Return a time `HH:MM` as people say it: "seven", "half past seven", "nine in the morning"."""
    hour, minute = int(value[:2]), int(value[3:])
    if minute == 0 and hour in (0, 12):
        return "noon" if hour else "midnight"
    name = number_words((hour - 1) % 12 + 1)
    match minute:
        case 0:
            text = name
        case 15:
            text = f"quarter past {name}"
        case 30:
            text = f"half past {name}"
        case 45:
            text = f"quarter to {number_words(hour % 12 + 1)}"
        case _:
            text = f"{name} {'oh ' if minute < 10 else ''}{number_words(minute)}"
    return f"{text} in the morning" if hour < 12 else text
