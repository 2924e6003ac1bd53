"""Finds values that count from one that is known: "two friends are joining us", "half an hour later", "half past".

They stand apart from the others (`values.py`), because without the known value they say nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice

from piopiy_pipeline.services.playbook.values import MOST, PERSON, Value, find_numbers, spoken_time, value_at
from piopiy_pipeline.services.playbook.words import Words, number_words

__all__ = ["added", "count_people", "find_shifts"]

_MORE = re.compile(
    rf"(?<!\S)(?:(?P<many>\d{{1,2}}|a couple(?: of)?|an) (?:more|extra|additional)"
    rf"(?: {PERSON}|(?=$| (?:is|are|will|coming|joining|please)(?!\S)))"
    rf"|another (?P<others>\d{{1,2}}|a couple(?: of)?)(?: {PERSON}|$)|another {PERSON}"
    rf"|(?P<fewer>\d{{1,2}})(?: {PERSON})? (?:less|fewer)(?: {PERSON})?)(?!\S)"
)
_WHO = (
    r"(?:somebody|someone|(?:(?:my|our|the|another) )?(?P<count>\d{1,2}|a couple of)"
    r"(?: (?:more|other))?(?: of (?:my|our))?(?: (?!of |and |or )[a-z]+)?"
    r"|(?:a|an|another|my|our) (?:good )?(?P<one>(?!of )[a-z]+?)(?:'s)?)"
)
"""Who comes along: a number of people, or one. How many "my parents" are, nobody says."""
_WILL = r"(?:is|are|will|would|might|may|wants? to|would like to|(?:is|are) going to|has decided to|have decided to)"
_ALONG = r"(?:along|too|as well|with (?:us|me))"
_JOINS = re.compile(
    rf"(?<!\S){_WHO}(?: (?:also|{_WILL}|be|just|now))* (?:join(?:ing|s)?(?: (?:us|me|in))?|com(?:e|es|ing) {_ALONG})"
    rf"(?: {_ALONG})?(?!\S)"
)
_STAYS_AWAY = re.compile(
    rf"(?<!\S){_WHO} (?:can't|cannot|can not|won't|will not|couldn't|isn't|aren't|is not|are not|won't be)"
    r" (?:come|coming|join|joining|make it|be there|able to (?:come|make it|join))(?: us| me)?(?!\S)"
)
_NO_HOUR = re.compile(
    r"(?<!\S)(?:(?:at|for) )?(?:(?P<past>half(?: a)?|(?:a )?quarter|5|10|20|25) past|(?:a )?quarter to)"
    r"(?=$| (?:please|instead|then|would|is|if|rather|thanks|thank|or|and)(?!\S))"
)
_LATER = re.compile(
    r"(?<!\S)(?:(?P<half>half an hour)|(?P<quarter>(?:a )?quarter of an hour)|(?:(?P<hours>an|1|2|3) hours?"
    r"(?P<and_half> and a half)?)|(?P<minutes>\d{1,2}) minutes?) (?P<way>later|earlier|sooner)(?!\S)"
)


def count_people(words: Words) -> list[Value]:
    """Find numbers, and by how many the people become more or fewer: "one more person", "my sister is coming too"."""
    found: list[Value] = []
    for match in islice(_MORE.finditer(words.text), MOST):
        count = _count(match["many"] or match["others"] or match["fewer"] or "an")
        found.append(_more(words, -count if match["fewer"] else count, match))
    for pattern, sign in ((_JOINS, 1), (_STAYS_AWAY, -1)):
        for match in islice(pattern.finditer(words.text), MOST):
            several = (match["one"] or "").endswith("s") and not (match["one"] or "").endswith("ss")
            if several and not match["count"]:
                continue
            if not any(match.start() < other.end and other.start < match.end() for other in found):
                found.append(_more(words, sign * _count(match["count"] or "an"), match, joins=True))
    plain = find_numbers(words)
    found += [
        value
        for value in plain
        if not any(value.start < each.end and each.start < value.end for each in found)
    ]
    return sorted(found, key=lambda value: value.start)


def find_shifts(words: Words, known: str) -> list[Value]:
    """Find times that say only how they differ from one: "half past" in its hour, or "an hour later".

    Args:
        words: A sentence.
        known: The time that they differ from, as `HH:MM`.
    """
    hour, minute = int(known[:2]), int(known[3:])
    found = []
    for match in islice(_NO_HOUR.finditer(words.text), MOST):
        past = match["past"]
        minutes = (
            -15 if past is None else 30 if past.startswith("half") else 15 if "quarter" in past else int(past)
        )
        found.append(_moved(words, 60 * hour + minutes, match))
    for match in islice(_LATER.finditer(words.text), MOST):
        if match["minutes"]:
            minutes = int(match["minutes"])
        elif match["hours"]:
            minutes = 60 * _count(match["hours"]) + (30 if match["and_half"] else 0)
        else:
            minutes = 30 if match["half"] else 15
        found.append(
            _moved(words, 60 * hour + minute + (minutes if match["way"] == "later" else -minutes), match)
        )
    return sorted(found, key=lambda value: value.start)


def added(value: Value, known: Value | None) -> Value:
    """Return the number that "one more" makes of the number that is known. With none known, it is the number itself,
    and doubtful if it is of those who join: they are not all.
    """
    if not value.more:
        return value
    if known is None or not isinstance(known.value, int) or not isinstance(value.value, int):
        return replace(value, more=False, value=abs(int(value.value)), doubtful=value.joins)
    total = max(0, known.value + value.value)
    return replace(value, value=total, spoken=number_words(total), other=None)


def _count(said: str) -> int:
    return 2 if said.startswith("a couple") else int(said) if said.isdigit() else 1


def _more(words: Words, count: int, match: re.Match[str], *, joins: bool = False) -> Value:
    value = value_at(words, count, number_words(abs(count)), match.start(), match.end(), True)
    return replace(value, more=True, joins=joins)


def _moved(words: Words, minutes: int, match: re.Match[str]) -> Value:
    hour, minute = divmod(minutes % (24 * 60), 60)
    time = f"{hour:02d}:{minute:02d}"
    return value_at(words, time, spoken_time(time), match.start(), match.end(), True)
