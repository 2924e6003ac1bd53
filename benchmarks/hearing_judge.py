"""What the bot understood of a sentence, and whether a caller who tells the truth gets the right table.

Both are judged from outside, by what the playbook says and does:

- *Understood*: after the sentence a caller says yes to everything, and answers each question with a value that
  nobody wants ("nineteen people", "the third of June", "three fifteen"). So what is booked at the end shows what the
  sentence was taken for: a slot that was not heard, or was put into the caller's mouth, is a wrong one. Where
  the bot heard two values and asks which ("Did you say nine or five?"), the caller says the right one.
- *A false booking*: after the sentence a caller answers each question truthfully, and says no to what is read
  back unless all of it is right. A table that is booked then, and is not the one that the caller wants, is a
  false booking; so is any table for somebody who wanted none. Whatever the caller answers goes through the
  same ears, by the same voice and over the same line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from benchmarks.hearing_ears import Heard
from benchmarks.hearing_words import (
    MONTHS,
    day_of,
    number_of,
    number_words,
    ordinal_words,
    same_day,
    stated,
    time_of,
)
from piopiy_pipeline.services.playbook.dialogue import Action, Dialogue

__all__ = ["Item", "Verdict", "judge", "phrase", "truthful_call"]

MAX_TURNS = 7
"""A caller who has said so much without getting a table gives up."""

Slots = Mapping[str, object]
Hear = Callable[[str], Awaitable[Heard]]
"""Says a text to the bot, and returns what it hears."""

_BEFORE: Mapping[str, tuple[str, ...]] = {
    "start": (),
    "people": ("I would like to book a table.",),
    "day": ("I would like to book a table.", "four people"),
    "time": ("I would like to book a table.", "four people", "on Friday"),
    "confirm": ("I would like to book a table.", "four people", "on Friday", "at seven"),
    "booked": ("I would like to book a table.", "four people", "on Friday", "at seven", "yes"),
}
"""What was said, in text, before the sentence."""
_GIVEN: Mapping[str, Slots] = {
    "start": {},
    "people": {},
    "day": {"people": 4},
    "time": {"people": 4, "day": "friday"},
    "confirm": {"people": 4, "day": "friday", "time": "19:00"},
    "booked": {"people": 4, "day": "friday", "time": "19:00"},
}
_UNWANTED: Slots = {"people": 19, "day": "06-03", "time": "15:15"}
_UNWANTED_TEXTS = {
    "people": "nineteen people",
    "day": "on the third of June",
    "time": "at three fifteen in the afternoon",
}
_WISHES: tuple[Slots, ...] = (
    {"people": 5, "day": "thursday", "time": "19:30"},
    {"people": 8, "day": "saturday", "time": "18:00"},
    {"people": 3, "day": "wednesday", "time": "20:15"},
)
"""What a caller wants who has not said it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A sentence with what it means: one entry of `hearing_sentences.yaml`."""

    id: str
    half: str
    say: str
    state: str = "start"
    intent: str | None = None
    people: int | None = None
    day: str | None = None
    time: str | None = None
    polarity: bool | None = None
    recording: str | None = None

    @property
    def slots(self) -> Slots:
        """What the sentence says of the booking."""
        said = {"people": self.people, "day": self.day, "time": self.time}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def is_about_a_table(self) -> bool:
        """Whether the caller wants a table when the sentence has been said."""
        return self.intent in (None, "book")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a sentence."""

    understood: bool
    slots_right: bool | None
    """None where the sentence has no slots."""
    got: Slots
    """The booking at which the caller arrives who says yes to everything; empty for none."""
    reply: str
    """What the bot answered to the sentence."""


class _Conversation:
    """A conversation with the playbook, in text. Each tool succeeds."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.bookings: list[Slots] = []
        self.tools: list[str] = []
        self._messages: list[dict[str, Any]] = []
        self._unsure: dict[str, frozenset[str]] = {}

    def say(self, text: str, unsure: frozenset[str] = frozenset()) -> str:
        """Say something, and return all that the bot answers.

        Args:
            text: What the bot hears.
            unsure: The words of which its recogniser is not sure.
        """
        self._unsure[text] = unsure
        if text.strip():
            self._messages.append({"role": "user", "content": text})
        else:  # nothing was heard: the session asks the bot to say something
            self._messages.append({"role": "developer", "content": "Nothing was understood."})
        action = self._next()
        said = [action.text]
        for _ in range(3):
            if action.tool is None:
                break
            action = self._call(action)
            said.append(action.text)
        return " ".join(part for part in said if part)

    def _next(self) -> Action:
        action = self.dialogue.next(self._messages, lambda text: self._unsure.get(text, frozenset()))
        if action.text:
            self._messages.append({"role": "assistant", "content": action.text})
        return action

    def _call(self, action: Action) -> Action:
        assert action.tool is not None
        self.tools.append(action.tool)
        if action.tool == self.dialogue.playbook.intents["book"].tool:
            self.bookings.append(dict(action.arguments))
        arguments = json.dumps(dict(action.arguments))
        call = {"id": f"call_{len(self._messages)}", "type": "function"}
        function = {"name": action.tool, "arguments": arguments}
        self._messages.append({"role": "assistant", "tool_calls": [{**call, "function": function}]})
        result = json.dumps({"done": True, **action.arguments})
        self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return self._next()

    def asked(self, reply: str) -> str | None:
        """Return the slot that the bot asks for in a reply; None if for none."""
        for name, slot in self.dialogue.playbook.slots.items():
            if any(reply.endswith(question) for question in slot.ask):
                return name
        return None


def judge(dialogue: Dialogue, item: Item, heard: Heard, today: date) -> Verdict:
    """Say what the playbook understood.

    Args:
        dialogue: The playbook's.
        item: What was said.
        heard: What the recogniser made of it.
        today: The day of the call.
    """
    talk = _Conversation(dialogue)
    for text in _BEFORE[item.state]:
        talk.say(text)
    booked_before, tools_before = len(talk.bookings), len(talk.tools)
    reply = talk.say(heard.text, heard.unsure)
    tools = talk.tools[tools_before:]
    if not item.is_about_a_table:
        return Verdict(_served(dialogue, item, reply, tools), None, {}, reply)
    if item.polarity is not None and not item.slots:
        booked = len(talk.bookings) > booked_before
        changes = any(text in reply for text in dialogue.playbook.replies.change)
        return Verdict(booked if item.polarity else changes and not booked, None, {}, reply)
    if not item.slots:  # a table, and nothing of it yet
        return Verdict(talk.asked(reply) is not None, None, {}, reply)
    wanted = {**_UNWANTED, **_GIVEN[item.state], **item.slots}
    got = _agree_to_everything(talk, reply, booked_before, wanted)
    right = bool(got) and _same(got, wanted, today)
    return Verdict(right, right, got, reply)


def _served(dialogue: Dialogue, item: Item, reply: str, tools: list[str]) -> bool:
    if item.intent == "none":
        others = [intent.reply or [] for name, intent in dialogue.playbook.intents.items() if name != "hello"]
        return not tools and not any(text in reply for texts in others for text in texts)
    intent = dialogue.playbook.intents[item.intent or ""]
    if intent.tool:
        return tools == [intent.tool]
    return not tools and any(text in reply for text in intent.reply or [])


def _agree_to_everything(talk: _Conversation, reply: str, booked_before: int, wanted: Slots) -> Slots:
    for _ in range(MAX_TURNS):
        if len(talk.bookings) > booked_before:
            return talk.bookings[-1]
        if asked := talk.asked(reply):
            reply = talk.say(_UNWANTED_TEXTS[asked])
        elif doubted := _chosen_from(reply, wanted):
            reply = talk.say(phrase(doubted, wanted[doubted], 1))
        else:
            reply = talk.say("yes")
    return {}


def _chosen_from(reply: str, wanted: Slots) -> str | None:
    """Return the slot of which the bot names two values ("Did you say nine or five?"); None if of none."""
    if " or " not in reply or not reply.endswith("?"):
        return None
    first, _, second = reply.rpartition(" or ")
    if day_of(first, date.min) is not None and day_of(second, date.min) is not None:
        return "day"
    if time_of(first) is not None and time_of(second) is not None:
        return "time"
    numbers = {number_of(first), number_of(second)}
    if None in numbers:
        return None
    is_hour = wanted["people"] not in numbers and int(str(wanted["time"])[:2]) % 12 in numbers
    return "time" if is_hour else "people"


async def truthful_call(
    dialogue: Dialogue, item: Item, heard: Heard, hear: Hear, today: date
) -> tuple[bool, bool]:
    """Let a caller who tells the truth go on until there is a table, or they give up.

    Args:
        dialogue: The playbook's.
        item: What was said first.
        heard: What the recogniser made of that.
        hear: Brings each further answer to the bot.
        today: The day of the call.

    Returns:
        Whether the right table was booked at the end, or none where none was wanted, and whether a false
        booking happened on the way.
    """
    talk = _Conversation(dialogue)
    for text in _BEFORE[item.state]:
        talk.say(text)
    booked_before = len(talk.bookings)
    reply = talk.say(heard.text, heard.unsure)
    if not item.is_about_a_table:
        return len(talk.bookings) == booked_before, len(talk.bookings) > booked_before
    wish = _WISHES[int(item.id[1:]) % len(_WISHES)]
    wanted = {**wish, **_GIVEN[item.state], **item.slots}
    if item.polarity is False and not item.slots:  # they do not say yet what was wrong
        wanted |= {"people": wish["people"]}
    caller = _Caller(talk, wanted, today)
    for _ in range(MAX_TURNS):
        if len(talk.bookings) > booked_before:
            break
        answer = await hear(caller.answer(reply))
        reply = talk.say(answer.text, answer.unsure)
    if len(talk.bookings) == booked_before:
        return False, False
    right = _same(talk.bookings[-1], wanted, today)
    return right, not right


class _Caller:
    """Answers the bot truthfully, and in other words each time that it asks the same."""

    def __init__(self, talk: _Conversation, wanted: Slots, today: date) -> None:
        self._talk, self._wanted, self._today = talk, wanted, today
        self._times: Counter[str] = Counter()

    def answer(self, reply: str) -> str:
        """Return what to say after the bot's reply."""
        if asked := self._talk.asked(reply) or _chosen_from(reply, self._wanted):
            self._times[asked] += 1
            return phrase(asked, self._wanted[asked], self._times[asked])
        read_back = stated(reply, self._today)
        if read_back and not any(text in reply for text in self._talk.dialogue.playbook.replies.change):
            # Who cannot tell what a summary says of a value does not agree to it.
            whole = "table for" not in reply or read_back.keys() >= self._wanted.keys()
            right = whole and _same({**self._wanted, **read_back}, self._wanted, self._today)
            self._times["yes" if right else "no"] += 1
            return _of(
                ("Yes, that is right.", "Yes.", "Yes please.") if right else ("No, that is wrong.", "No."),
                self._times["yes" if right else "no"],
            )
        self._times["all"] += 1
        day, time = (phrase(name, self._wanted[name], self._times["all"]) for name in ("day", "time"))
        people = number_words(int(str(self._wanted["people"])))
        guests = "person" if people == "one" else "people"
        return f"A table for {people} {guests}, {_inside(day)}, {_inside(time)}."


def _inside(sentence: str) -> str:
    return (
        sentence[0].lower() + sentence[1:].rstrip(".")
        if sentence[:2] in ("On", "At", "Th")
        else sentence.rstrip(".")
    )


def _of(texts: Sequence[str], attempt: int) -> str:
    return texts[(attempt - 1) % len(texts)]


def _same(got: Slots, wanted: Slots, today: date) -> bool:
    times = {name: time_of(str(slots["time"])) for name, slots in (("got", got), ("wanted", wanted))}
    return (
        str(got["people"]) == str(wanted["people"])
        and times["got"] == times["wanted"]
        and same_day(_day(got["day"], today), _day(wanted["day"], today), today)
    )


def _day(value: object, today: date) -> date | str | None:
    return value if isinstance(value, date) else day_of(str(value), today)


def phrase(name: str, value: object, attempt: int) -> str:
    """Return how a caller says a value, in other words at each attempt.

    Args:
        name: `people`, `day` or `time`.
        value: As it stands in an `Item`.
        attempt: How often they have said it now, from 1.
    """
    text = str(value)
    if name == "people":
        number = number_words(int(text))
        guests = "person" if number == "one" else "people"
        return _of((f"{number} {guests}.", f"{number}.", f"We are {number}."), attempt).capitalize()
    if name == "time":
        return _of(_times(int(text[:2]), int(text[3:])), attempt)
    if text[0].isdigit():
        month, nth = MONTHS[int(text[:2]) - 1].capitalize(), ordinal_words(int(text[3:]))
        return _of((f"On the {nth} of {month}.", f"On {month} {nth}."), attempt)
    if text == "day after tomorrow":
        return _of(("The day after tomorrow.", "For the day after tomorrow, please."), attempt)
    if text in ("today", "tonight", "tomorrow"):
        return _of((f"{text}.", f"It is for {text}."), attempt).capitalize()
    return _of((f"On {text.capitalize()}.", f"{text.capitalize()}, please."), attempt)


def _times(hour: int, minute: int) -> tuple[str, ...]:
    part = "in the evening" if hour >= 17 else "in the afternoon"
    half, name, following = "p m", number_words((hour - 1) % 12 + 1), number_words(hour % 12 + 1)
    if hour == 12 and not minute:
        return "At noon.", "At twelve o'clock."
    digital = f"At {name} {number_words(minute)} {half}." if minute else f"At {name} {half}."
    match minute:
        case 0:
            return f"At {name} o'clock {part}.", digital
        case 30:
            return f"At half past {name}.", digital
        case 15:
            return f"At quarter past {name}.", digital
        case 45:
            return f"At quarter to {following}.", digital
    if minute < 30:
        return f"At {number_words(minute)} past {name}.", digital
    return f"At {number_words(60 - minute)} to {following}.", digital
