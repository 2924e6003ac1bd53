"""Lists the sentences that a recogniser should expect from a playbook's callers, for its language model.

Each phrase is written out with values of its slots, so that each value occurs in it. A phrase without slots
is
repeated, so that it weighs as much as one with many values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

from piopiy_pipeline.services.playbook.model import PLACEHOLDER, Playbook, Slot
from piopiy_pipeline.services.playbook.values import spoken_time
from piopiy_pipeline.services.playbook.words import WEEKDAYS, number_words

__all__ = ["expected_phrases"]

_PLAIN = 8
"""How often a phrase without slots counts."""
_VARIANTS = 96
"""The most sentences that one phrase is written out as."""
_CHANGES = ("no make it {}", "make it {}", "actually {}", "change it to {}", "can we make it {}", "no {}")
_ANSWERS = {
    "number": ("{}", "{} people", "for {}", "for {} people", "there are {} of us", "{} please"),
    "day": ("{}", "on {}", "{} please", "for {}", "{} evening"),
    "time": ("{}", "at {}", "at {} please", "around {}"),
    "one_of": ("{}", "the {}", "{} please"),
    "text": (),
}


def expected_phrases(playbook: Playbook) -> list[str]:
    """Return sentences for `SphinxSTTService(phrases=...)`, in the order of the file. Some occur more than
    once.
    """
    samples = {name: _samples(slot) for name, slot in playbook.slots.items()}
    sentences: list[str] = []
    for intent in playbook.intents.values():
        for phrase in intent.examples:
            sentences += _written_out(phrase, samples)
    for name, slot in playbook.slots.items():
        for frame in (*_ANSWERS[slot.type], *(_CHANGES if samples[name] else ())):
            # All times of day would outweigh the rest.
            sentences += (frame.format(sample) for sample in samples[name][:_VARIANTS])
    days = [name for name, slot in playbook.slots.items() if slot.type == "day"]
    times = [name for name, slot in playbook.slots.items() if slot.type == "time"]
    for day, time in zip(days, times, strict=False):
        for frame in (
            f"on {{{day}}} at {{{time}}}",
            f"{{{day}}} at {{{time}}}",
            f"at {{{time}}} on {{{day}}}",
        ):
            sentences += _written_out(frame, samples)
    return sentences


def _written_out(phrase: str, samples: dict[str, list[str]]) -> Iterator[str]:
    names = list(dict.fromkeys(PLACEHOLDER.findall(phrase)))
    lists = [samples[name] or [""] for name in names]
    if not any(len(values) > 1 for values in lists):
        for _ in range(_PLAIN):
            yield PLACEHOLDER.sub("", phrase)
        return
    count = min(_VARIANTS, max(len(values) for values in lists))
    # Strides that differ keep "four" from always going with "Thursday".
    turns = [
        islice(cycle(values[shift:] + values[:shift]), count)
        for shift, values in enumerate(lists)
    ]  # fmt: skip
    for chosen in zip(*turns, strict=True):
        sentence = phrase
        for name, value in zip(names, chosen, strict=True):
            sentence = sentence.replace(f"{{{name}}}", value)
        yield sentence


def _samples(slot: Slot) -> list[str]:
    match slot.type:
        case "number":
            return [number_words(number) for number in range(max(1, slot.min), min(slot.max, 24) + 1)]
        case "day":
            return [*WEEKDAYS, "today", "tomorrow", "tonight"]
        case "time":
            plain = [number_words(hour) for hour in range(1, 13)]
            halves = [spoken_time(f"{hour:02d}:30") for hour in range(12, 24)]
            quarters = [spoken_time(f"{hour:02d}:{minute}") for hour in range(12, 24) for minute in (15, 45)]
            return [
                *plain,
                *halves,
                *(f"{hour} in the evening" for hour in plain[4:10]),
                *(f"{hour} thirty" for hour in plain),
                *(f"{hour} o'clock" for hour in plain),
                *(f"{hour} p m" for hour in plain),
                *quarters,
            ]
        case "one_of":
            return [word for name, others in slot.values.items() for word in (name, *others)]
        case "text":
            return []
