"""Finds numbers and times in plain words with digits (`words.py`).

Libraries for dates were measured on what callers say and find too little of it (docs/playbook.md), so the forms
are here; text2num has read the numbers before. A time becomes `HH:MM`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice

from piopiy_pipeline.services.playbook.words import Words, number_words

__all__ = ["MOST", "PERSON", "Value", "find_numbers", "find_times", "spoken_time", "value_at", "with_other"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was said: for the tool, for the bot's own sentences, and its place in the words."""

    value: str | int
    spoken: str
    start: int
    end: int
    sure: bool = True
    """False if it might be something else: a bare hour ("seven") may be a number, and a number may count something
    other than what was asked for."""
    doubtful: bool = False
    """Whether it has to be read back by itself before it is used."""
    more: bool = False
    """Whether the number is to be added to the one that is known: "one more person", -1 for "one person less"."""
    joins: bool = False
    """Whether it is of those who join others: if no others are known, nobody knows how many there are."""
    other: Value | None = None
    """What it may have been instead, if that is known."""


MOST = 50
"""As many values of one kind are found in a sentence: nobody says more, and they are compared with each other."""
_HOUR = r"(?:2[0-4]|1\d|0?\d)"
_OTHERWISE = r"minutes?|hours?|days?|weeks?|months?|years?|percent|dollars|euros|pounds"
_THING = r"(?:(?:more|other|last|quick|little|small) )*(?:things?|questions?|moments?|times)"
"""What is counted that is no guest: "one more thing"."""
_UNIT = rf"(?:people|persons?|guests?|of us|adults|{_OTHERWISE}|{_THING})"
_TIME = re.compile(
    rf"(?<!\S)(?:(?P<noon>noon|midday|midnight)|(?:(?P<at>at|around|about|by|till|until|after|before|past|as late as"
    rf"|as early as) (?:about |around |like )?)?"
    r"(?:(?<!from )(?P<step>half(?: a(?= past))?|(?:a )?quarter|5|10|20|25)"
    rf" (?P<way>past|after|to|before|of|till) (?P<of>{_HOUR})"
    rf"|half (?P<half>1[0-2]|[1-9])"
    rf"|(?P<military>(?:[01]\d|2[0-3])[0-5]\d)(?= hours(?!\S))"
    rf"|(?P<hour>{_HOUR})(?P<minutes>:(?P<exact>[0-5]\d)| oh (?P<oh>[1-9])"
    rf"| (?P<minute>[1-5]\d|0[1-9])(?! (?:past|after|to|before|of|till) \d)(?! [0-5]\d(?!\S)))?(?! {_UNIT}(?!\S)))"
    rf"(?P<clock> o'clock)?"
    rf"(?P<part> (?:(?:on \w+ )?(?P<half_day>am|pm)|in the (?P<of_day>morning|afternoon|evening)|at night))?)(?!\S)"
)
_ONE = r"(?:(?<=^)|(?<=for )|(?<=of )|(?<=just )|(?<=only )|(?<=make it )|(?<=it's )|(?<=be )|(?<=are )|(?<=or ))1"
"""A "one" that counts: not that of "no one", "a good one", "the second one"."""
_NUMBER = re.compile(
    rf"(?<!\S)(?:(?P<dozen>(?P<half>half )?a? ?dozen)|(?P<couple>(?:a )?(?:couple|pair)(?! (?:of )?(?:{_OTHERWISE})))"
    rf"|(?P<number>{_ONE}(?!\S)|1(?= (?:more )?(?:person|guest|adult|people)(?!\S))|[02-9](?!\S)|\d{{2,4}}(?!\S)))"
    r"(?P<counts>(?: more| other| of)? (?:people|persons?|guests?|us|adults|friends|seats|places|altogether|in total"
    r"|in all))?(?!\S)"
    rf"(?! (?:second|2nd|o'clock|{_OTHERWISE}|{_THING})(?!\S))"
)
_WE_ARE = re.compile(r"\bwe(?:'ll be|'re|'d be| are| will be| would be)(?: just| only| about| like| now)? $")
"""What stands before a number of people, and before no hour."""
PERSON = r"(?:people|persons?|guests?|adults?|friends?|kids?|child(?:ren)?|of us|seats?|places?)"
"""Who is counted."""
_SOMEBODY = (
    r"(?:(?:my|our) (?!friends|family|kids|children|parents|colleagues|guests)\w+(?<!s)"
    r"|(?:a|another|my) (?:friend|colleague|guest|baby|child|partner|boss))"
)
_SEVERAL = (
    r"(?:(?:my|our|the) )?(?P<n{0}>\d{{1,2}}|a couple of) (?:other |more |small |little )?(?!people)[a-z]+s?"
)
_ALONG = r" (?:and|plus|with) "
_COMPANY = re.compile(
    r"(?<!\S)(?:(?P<alone>(?:just|only) (?:me|myself)(?! (?:and|plus|with))|by myself|on my own|for myself)"
    rf"|(?P<first>me|myself|{_SOMEBODY}|{_SEVERAL.format(1)})"
    rf"(?P<second>{_ALONG}(?:me|i|myself|{_SOMEBODY}|{_SEVERAL.format(2)}|\d{{1,2}}))"
    rf"(?P<third>{_ALONG}(?:me|i|myself|{_SOMEBODY}|{_SEVERAL.format(3)}))?)(?!\S)"
)
_GROWN = re.compile(
    r"(?<!\S)(?P<big>\d{1,2}) (?:adults?|grown ups?) (?:and |plus |with )?(?P<small>\d{1,2}) \w+(?!\S)"
)


def find_times(words: Words, *, assume: str = "pm") -> list[Value]:
    """Find times of day.

    Args:
        words: A sentence.
        assume: ``"am"`` or ``"pm"``: how an hour from one to eleven is read that names neither.
    """
    found = []
    for match in islice(_TIME.finditer(words.text), MOST):
        sure = any(
            match[name] for name in ("noon", "at", "step", "half", "military", "minutes", "clock", "part")
        )
        if match["noon"]:
            hour, minute = (0 if match["noon"] == "midnight" else 12), 0
        elif match["step"]:
            step = match["step"].removeprefix("a ").removesuffix(" a")
            hour, minute = int(match["of"]), {"half": 30, "quarter": 15}.get(step) or int(step)
            if match["way"] in ("to", "before", "of", "till"):
                hour, minute = (hour - 1) if hour > 1 else 12, 60 - minute
        elif match["half"]:  # British: half past
            hour, minute = int(match["half"]), 30
        elif match["military"]:
            hour, minute = divmod(int(match["military"]), 100)
        else:
            hour, minute = int(match["hour"]), int(match["exact"] or match["oh"] or match["minute"] or 0)
        if not match["noon"] and hour < 13:
            part = match["half_day"] or match["of_day"] or match["part"]
            morning = part in ("am", "morning") if part else assume == "am"
            if hour == 12 and part and morning:
                hour = 0
            elif 0 < hour < 12 and not morning:
                hour += 12
        value = f"{hour % 24:02d}:{minute:02d}"
        said = value_at(words, value, spoken_time(value), match.start(), match.end(), sure)
        found.append(replace(said, doubtful=True) if match["at"] == "past" else said)  # past it by how much?
    return found


def find_numbers(words: Words) -> list[Value]:
    """Find whole numbers from 0 to 9999, and how many people "my wife and me" are."""
    found: list[Value] = []
    for match in _COMPANY.finditer(words.text):
        if match["alone"]:
            found.append(value_at(words, 1, "one", match.start(), match.end(), True))
        elif count := _company(match):
            found.append(value_at(words, count, number_words(count), match.start(), match.end(), True))
    for match in _GROWN.finditer(words.text):
        count = int(match["big"]) + int(match["small"])
        found.append(value_at(words, count, number_words(count), match.start(), match.end(), True))
    for match in islice(_NUMBER.finditer(words.text), MOST):
        if any(match.start() < other.end and other.start < match.end() for other in found):
            continue
        number = (
            (6 if match["half"] else 12) if match["dozen"] else 2 if match["couple"] else int(match["number"])
        )
        sure = bool(match["counts"] or _WE_ARE.search(words.text[: match.start()]))
        found.append(value_at(words, number, number_words(number), match.start(), match.end(), sure))
    return sorted(found, key=lambda value: value.start)


def _company(match: re.Match[str]) -> int:
    """Return how many people are named: "my wife and I and our two kids" is 4. 0: nobody can say."""
    parts = [match["first"], match["second"], match["third"] or ""]
    names = [re.sub(_ALONG.strip(), "", part, count=1).strip() for part in parts]
    if not {"me", "i", "myself"}.intersection(names):
        return 0  # two things, and no company
    total = 0
    for at, name in enumerate(names, 1):
        if not name:
            continue
        many = match[f"n{at}"] or (name if name.isdigit() else "")
        total += 2 if many.startswith("a ") else int(many) if many else 1
    return total


def value_at(words: Words, value: str | int, spoken: str, start: int, end: int, sure: bool) -> Value:
    """Return a value that stands at a place in the words; it is doubtful if those were repaired."""
    return Value(value, spoken, start, end, sure, doubtful=words.is_repaired(start, end))


def with_other(value: Value, other: Value) -> Value:
    """Return a value that may have been another one."""
    return replace(value, doubtful=True, other=replace(other, other=None))


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
