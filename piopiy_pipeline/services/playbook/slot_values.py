"""Fills slots: which of the values that stand in a sentence belong to which slot, and which of two counts.

`matching.py` asks it with the sentence's words. It keeps nothing of a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rapidfuzz import fuzz

from piopiy_pipeline.services.playbook.consent import polarity
from piopiy_pipeline.services.playbook.days import find_days, same_day
from piopiy_pipeline.services.playbook.model import Intent, Slot
from piopiy_pipeline.services.playbook.values import Value, added, find_numbers, find_times, with_other
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
        self, text: str, words: Words, names: Sequence[str], asked: str | None, known: frozenset[str]
    ) -> dict[str, Value]:
        """Return the value of each slot that the sentence fills.

        Args:
            text: The sentence as it was written.
            words: The same in plain words.
            names: The slots that it may fill.
            asked: The slot that the bot has just asked for, if any.
            known: The slots that have a value.
        """
        by_type: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda each: each != asked):  # the one asked for comes first
            by_type.setdefault(self._slots[name].type, []).append(name)
        asked_type = self._slots[asked].type if asked else None
        found: dict[str, Value] = {}

        times: list[Value] = []
        every: list[Value] = []
        if "time" in by_type:
            every = find_times(words, assume=self._slots[by_type["time"][0]].assume)
            times = [value for value in every if value.sure]
        days = find_days(words) if "day" in by_type else []
        numbers = [
            value
            for value in find_numbers(words)
            if not any(value.start < other.end and other.start < value.end for other in [*times, *days])
        ]
        if "time" in by_type:
            bare = {value.start: value for value in every}
            unsure = [
                value
                for value in numbers
                if not value.sure and value.start in bare and not words.text[: value.start].endswith(" or ")
            ]
            hours = [each for each in unsure if _OF_TIME.search(words.text[: each.start])]
            # "seven": an hour if the hour was asked for or is corrected, or if the number is there already
            if times:
                end = times[-1].end
                taken = [each for each in unsure if _CORRECTS.search(words.text[end : max(end, each.start)])]
                bare = {start: replace(value, sure=True) for start, value in bare.items()}
            elif asked_type == "time" or "number" not in by_type:
                taken = unsure
            elif hours and known.issuperset([*by_type["number"], *by_type["time"]]):
                taken = hours
            elif known.issuperset(by_type["number"]) and known.isdisjoint(by_type["time"]):
                bare = {start: replace(value, doubtful=True) for start, value in bare.items()}
                taken = [] if CHANGE.search(words.text) else unsure
            elif asked_type == "number" or len(numbers) < 2 or _CORRECTS.search(words.text[numbers[0].end :]):
                taken = []
            else:
                taken = unsure[1:][-1:] if len(unsure) == len(numbers) else unsure[-1:]
            for each in numbers:  # "at seven or eight"
                ends = [value.end for value in (*times, *taken)]
                if (
                    not each.sure
                    and each.start in bare
                    and each.start - len(" or ") in ends
                    and each not in taken
                ):
                    taken = [*taken, each] if words.text[: each.start].endswith(" or ") else taken
            times = sorted(
                [*times, *(bare[value.start] for value in taken)],
                key=lambda each: each.start,
            )
            numbers = [value for value in numbers if value not in taken]
        plain = [value for value in numbers if not value.more]
        if plain and numbers[-1].more:  # "for two, and one more person"
            numbers = [*plain[:-1], replace(added(numbers[-1], plain[-1]), more=False)]
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
        if value.sure or words[: value.start].endswith(" or ") or words[value.end :].startswith(" or ")
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
