"""Fills slots: which of the values that stand in a sentence belong to which slot, and which of two counts.

`matching.py` asks it with the sentence's words. It keeps nothing of a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from rapidfuzz import fuzz

from piopiy_pipeline.services.playbook.consent import polarity
from piopiy_pipeline.services.playbook.days import find_days, same_day
from piopiy_pipeline.services.playbook.model import Intent, Slot
from piopiy_pipeline.services.playbook.relative_values import added, count_people, find_shifts
from piopiy_pipeline.services.playbook.values import Value, find_times, with_other
from piopiy_pipeline.services.playbook.words import Words, number_words, read_words

__all__ = ["CHANGE", "SlotReader"]

CHANGE = re.compile(
    r"\b(?:actually|change|move|push|shift|instead|rather|sorry|wait|make (?:it|that)|i meant?|not|correction)\b"
    r"|^no\b.*\bit\b"
)
"""What announces a correction."""
_OF_TIME = re.compile(
    r"\b(?:(?:can|could|would|will|might) it be|(?:can|could|may|might) (?:we|i) come|would|is|how about"
    r"|what about|come)(?: rather| like| also)? $"
)
"""What stands before an hour that takes the place of another: "could it be eight", "would eight be possible"."""
_CORRECTS = re.compile(
    r"\b(?:no|not|sorry|actually|make (?:it|that)|i meant?|rather|instead|let's (?:say|do|make)|better|wait"
    r"|correction|change|altogether|in total|in all)\b"
)
"""What stands between two values of which the second counts."""
_TOTAL = re.compile(r"\b(?:so|makes?|be|are|we're|total|all|then|now)\b")
"""What stands between those who join and the number that they make."""
_OTHERS = re.compile(r" (?:friends|guests)$")
_NEGATED = re.compile(r"\b(?:not|instead of|rather than|from)(?: on| at| for)? $")


class SlotReader:
    """Finds the values of slots in sentences.

    Args:
        slots: The playbook's slots by name.
        intents: Its intents. Behind an example that ends with a slot of free text, the rest of a sentence is its value.
    """

    def __init__(self, slots: Mapping[str, Slot], intents: Iterable[Intent]) -> None:
        self._slots = slots
        self._options = {name: _options(slot) for name, slot in slots.items() if slot.type == "one_of"}
        self._captures = [
            (match[1], re.compile(rf"\b{lead}\W+(.+?)\W*$", re.IGNORECASE | re.DOTALL))
            for intent in intents
            for example in intent.examples
            if (match := re.search(r"\{(\w+)\}\s*$", example))
            and slots[match[1]].type == "text"
            and (lead := r"\W+".join(map(re.escape, example[: match.start()].split())))
        ]

    def in_lists(self, words: Words) -> list[Value]:
        """Find every value of every list."""
        return [value for options in self._options.values() for value in _find_one_of(words, options)]

    def values(
        self, text: str, words: Words, names: Sequence[str], asked: str | None, known: Mapping[str, str | int]
    ) -> dict[str, Value]:
        """Return the value of each slot that the sentence fills.

        Args:
            text: The sentence as it was written.
            words: The same in plain words.
            names: The slots that it may fill.
            asked: The slot that the bot has just asked for, if any.
            known: The values that slots have.
        """
        by_type: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda each: each != asked):  # the one asked for comes first
            by_type.setdefault(self._slots[name].type, []).append(name)
        asked_type = self._slots[asked].type if asked else None
        found: dict[str, Value] = {}

        times: list[Value] = []
        every: list[Value] = []
        if "time" in by_type:
            name = by_type["time"][0]
            every = find_times(words, assume=self._slots[name].assume)
            times = [value for value in every if value.sure]
            if name in known:
                times += _apart_from(find_shifts(words, str(known[name])), times)
        days = find_days(words) if "day" in by_type else []
        numbers = _apart_from(count_people(words), [*times, *days])
        if "time" in by_type:
            taken = _hours(words.text, numbers, times, every, by_type, asked_type, known)
            times = sorted([*times, *taken], key=lambda each: each.start)
            numbers = _apart_from(numbers, taken)
        numbers = _counted(words.text, numbers, known.get(next(iter(by_type.get("number", ())), "")))
        for kind, values in (("time", times), ("day", days), ("number", numbers)):
            if kind in by_type and (chosen := _chosen(words.text, values)):
                name = by_type[kind][0]
                found[name] = _joined_for(chosen, self._slots[name]) if kind == "number" else chosen
        for name in by_type.get("one_of", ()):
            if chosen := _chosen(words.text, _find_one_of(words, self._options[name])):
                found[name] = chosen
        for name in by_type.get("text", ()):
            if value := self._text(text, words, name, asked):
                found[name] = value
        return found

    def _text(self, text: str, words: Words, name: str, asked: str | None) -> Value | None:
        """Return what was said for a slot of free text, as it was written."""
        for slot, pattern in self._captures:
            if slot == name and (match := pattern.search(text)):
                return Value(match[1], match[1], 0, 0)
        said = text.strip().strip(".!?, ")
        if name == asked and said and not polarity(words.text)[1]:
            return Value(said, said, 0, 0)
        return None


def _hours(
    text: str,
    numbers: Sequence[Value],
    times: Sequence[Value],
    every: Iterable[Value],
    by_type: Mapping[str, Sequence[str]],
    asked_type: str | None,
    known: Mapping[str, str | int],
) -> list[Value]:
    """Return the bare numbers ("seven") that are hours: if the hour was asked for or is corrected, or if the number is
    there already.
    """
    bare = {value.start: value for value in every}
    unsure = [
        value
        for value in numbers
        if not (value.sure or value.more) and value.start in bare and not text[: value.start].endswith(" or ")
    ]
    has_number = all(name in known for name in by_type.get("number", ()))
    has_time = any(name in known for name in by_type["time"])
    spans = [
        each
        for first in unsure
        for second in (*unsure, *times)
        if _between(text, first, second)
        for each in (first, second)
        if each in unsure
    ]
    if spans and asked_type != "number":  # "between seven and eight"
        taken = spans
        bare = {start: replace(value, sure=True) for start, value in bare.items()}
    elif times:
        end = times[-1].end
        taken = [each for each in unsure if _CORRECTS.search(text[end : max(end, each.start)])]
        bare = {start: replace(value, sure=True) for start, value in bare.items()}
    elif asked_type == "time" or "number" not in by_type:
        taken = unsure
    elif refused := _refused_type(text, unsure, by_type, known):  # "eight, not seven"
        taken = unsure if refused == "time" else []
    elif (
        has_number
        and has_time
        and (hours := [each for each in unsure if _OF_TIME.search(text[: each.start])])
    ):
        taken = hours
    elif has_number and not has_time:
        bare = {start: replace(value, doubtful=True) for start, value in bare.items()}
        taken = [] if CHANGE.search(text) else unsure
    elif asked_type == "number" or len(numbers) < 2 or _CORRECTS.search(text[numbers[0].end :]):
        taken = []
    else:
        if has_time:  # nobody spoke of the time
            bare = {start: replace(value, doubtful=True) for start, value in bare.items()}
        taken = unsure[1:][-1:] if len(unsure) == len(numbers) else unsure[-1:]
    ends = {value.end for value in (*times, *taken)}
    for each in numbers:  # "at seven or eight"
        is_other = text[: each.start].endswith(" or ") and each.start - len(" or ") in ends
        if is_other and not each.sure and each.start in bare and each not in taken:
            taken = [*taken, each]
            ends.add(each.end)
    return [bare[value.start] for value in taken]


def _refused_type(
    text: str,
    numbers: Iterable[Value],
    by_type: Mapping[str, Sequence[str]],
    known: Mapping[str, str | int],
) -> str | None:
    """Return which kind a refused number ("not seven") has among the known values: `number`, `time`, or None."""
    refused = {int(value.value) for value in numbers if _NEGATED.search(text[: value.start])}
    if refused.intersection(known.get(name) for name in by_type["number"]):
        return "number"
    hours = {int(str(known[name])[:2]) % 12 for name in by_type["time"] if name in known}
    return "time" if hours.intersection(value % 12 for value in refused) else None


def _counted(text: str, numbers: list[Value], known: str | int | None) -> list[Value]:
    """Return the numbers of people, with those who join ("for two, and one more person") counted in."""
    more = [value for value in numbers if value.more]
    plain = [value for value in numbers if not value.more]
    if isinstance(known, int):  # "two friends": they may be those who join, in words that were not understood
        plain = [
            replace(value, doubtful=True) if _OTHERS.search(text[value.start : value.end]) else value
            for value in plain
        ]
    if not more or not plain:
        return [*plain, *more]
    joins, last = more[-1], plain[-1]
    if last.start > joins.end and _TOTAL.search(text[joins.end : last.start]):
        return plain  # "one more person, so we'll be six"
    if isinstance(known, int) and last.value == known + int(joins.value):
        return plain  # "we'll be six now, two friends are joining"
    if joins.start > last.end:
        return [*plain[:-1], replace(added(joins, last), more=False)]
    return numbers


def _apart_from(values: Iterable[Value], others: Collection[Value]) -> list[Value]:
    """Return the values none of whose words belongs to one of the others."""
    return [
        value
        for value in values
        if not any(value.start < other.end and other.start < value.end for other in others)
    ]


def _between(text: str, first: Value, second: Value) -> bool:
    """Return whether two values are the ends of a span: "between seven and eight"."""
    return text[: first.start].endswith("between ") and text[first.end : second.start] == " and "


def _joined_for(value: Value, slot: Slot) -> Value:
    """Return the 6 of a "46" that is too many: "a table for six" is heard as "a table 46"."""
    digits = str(value.value)
    if digits[0] != "4" or digits[1:2] in ("", "0") or slot.min <= int(digits) <= slot.max:
        return value
    number = int(digits[1:])
    if not slot.min <= number <= slot.max:
        return value
    return replace(value, value=number, spoken=number_words(number), doubtful=True)


def _chosen(words: str, values: Iterable[Value]) -> Value | None:
    """Return the value that counts: the last one, which is doubtful if it does not plainly correct the one before."""
    kept = [value for value in values if not _NEGATED.search(words[: value.start])]
    kept = [
        value
        for value in kept
        if value.sure
        or words[: value.start].endswith((" or ", "between "))
        or words[value.end :].startswith(" or ")
    ] or kept
    if not kept:
        return None
    last = kept[-1]
    before = next((value for value in reversed(kept) if not same_day(value.value, last.value)), None)
    if before is None or _CORRECTS.search(words[before.end :]):
        return last
    return with_other(last, before)


def _options(slot: Slot) -> tuple[tuple[str, str], ...]:
    """Return what callers say for each value of a list, in plain words, and the value."""
    return tuple(
        sorted(
            (option, name)
            for name, others in slot.values.items()
            for option in {read_words(each).text for each in (name, *others)} - {""}
        )
    )


def _find_one_of(words: Words, options: Iterable[tuple[str, str]]) -> list[Value]:
    found: list[Value] = []
    parts = [(match.start(), match.end()) for match in re.finditer(r"\S+", words.text)]
    for option, name in options:
        size = len(option.split())
        for at in range(len(parts) - size + 1):
            start, end = parts[at][0], parts[at + size - 1][1]
            if fuzz.ratio(words.text[start:end], option, score_cutoff=86):
                found.append(Value(name, name, start, end))
    return sorted(found, key=lambda value: value.start)
