"""What a playbook file may contain, as pydantic models. `loading.py` reads one and checks it as a whole."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from piopiy_pipeline.services.playbook.words import MONTHS, WEEKDAYS

__all__ = [
    "PLACEHOLDER",
    "Intent",
    "Playbook",
    "PlaybookError",
    "PlaybookReplies",
    "Slot",
    "SlotType",
    "Texts",
]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
"""A slot's name, or `result.field`, in an example or a reply."""

_CAPITAL = re.compile(r"(?<=[a-z,;] )[A-Z][\w'-]+(?: (?:and )?[A-Z][\w'-]+)*")
_COMMON = {
    *(day.capitalize() for day in WEEKDAYS),
    *(month.capitalize() for month in MONTHS),
    "I'd",
    "I'm",
    "I'll",
    "I've",
}

SlotType = Literal["number", "day", "time", "one_of", "text"]


class PlaybookError(ValueError):
    """A mistake in a playbook. The message is `file:line: what was expected`."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], BeforeValidator(_listed), Field(min_length=1)]
"""One text, or alternatives that are taken in turn."""


Clock = Annotated[str, Field(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slot(_Strict):
    """A value to find out: its kind, and how to ask for it.

    A `number` has bounds, and so have a `time` and a `day`. A `time` without morning or evening is read as `assume`
    says. `one_of` has `values`, each with other words for it.
    """

    type: SlotType
    ask: Texts
    min: int = 0
    max: int = 100
    assume: Literal["am", "pm"] = "pm"
    earliest: Clock | None = None
    latest: Clock | None = None
    """The first and the last time that is taken, as `HH:MM`."""
    closed: list[Weekday] = Field(default_factory=list)
    """Weekdays that are not taken. Which weekday "tomorrow" is, a conversation does not know: the tool does."""
    values: dict[str, list[Text]] = Field(default_factory=dict)
    out_of_range: Texts | None = None
    """Said when a number is outside of `min` and `max`, a time before `earliest` or after `latest`, a day `closed`."""
    check: Texts | None = None
    """Asked when it is doubtful what was said ("For {value} people, is that right?"), instead of `check` of the
    replies."""


class Intent(_Strict):
    """Something that a caller wants: examples of what they say, the slots that it needs, and what is then said
    and done."""

    examples: Annotated[list[Text], Field(min_length=1)]
    """A few sentences that callers say. A value may be written out ("for four") or as its slot (`for {people}`)."""
    slots: list[str] = Field(default_factory=list)
    """All of them are asked for, in this order, before anything is done."""
    confirm: Texts | None = None
    """Asked before the tool is called; a caller who says no is asked what to change."""
    changed: Texts | None = None
    """Asked instead of `confirm` after the caller has changed something that was done already."""
    tool: str | None = None
    """Called with the slots as its arguments."""
    say: Texts | None = None
    """Said before the tool is called."""
    reply: Texts | None = None
    """Said at once, or when there is a tool, when its result is there (`{result.field}`)."""
    failed: Texts | None = None
    """Said when the tool failed."""

    @property
    def is_rash(self) -> bool:
        """Whether it calls its tool at once: nothing is asked first, so it must plainly be meant."""
        return bool(self.tool) and not self.slots and not self.confirm

    @property
    def is_answer(self) -> bool:
        """Whether it is a question of the caller that is answered, and nothing else is done."""
        return not self.tool and not self.slots


class PlaybookReplies(_Strict):
    """What the bot says in situations that belong to no intent."""

    fallback: Texts = ["Sorry, I did not understand that."]
    change: Texts = ["What would you like to change?"]
    check: Texts = ["Did you say {value}?"]
    """Reads back a value that may have been misheard."""
    choose: Texts = ["Did you say {value} or {other}?"]
    """Reads back a value that may have been another one."""
    forgotten: Texts = ["All right, never mind. What else can I do for you?"]
    listening: Texts = ["What can I do for you?"]
    wait: Texts = ["One moment, please."]
    failed: Texts = ["I am sorry, that did not work."]


class Playbook(_Strict):
    """A whole playbook. Make it with `load_playbook`, which also checks what a single field cannot know."""

    slots: dict[str, Slot] = Field(default_factory=dict)
    intents: Annotated[dict[str, Intent], Field(min_length=1)]
    replies: PlaybookReplies = PlaybookReplies()
    hot_words: list[Text] = Field(default_factory=list)
    """Names that callers say and that stand nowhere else here: dishes, streets, people."""
    done: str | None = None
    """The intent that a caller means who says no when nothing is open ("Anything else?" "No.")."""

    def names(self) -> tuple[str, ...]:
        """Return what a recogniser has to be told: the author's hot words, the values of lists with their other words,
        and what is written with a capital inside of an example.
        """
        found = list(self.hot_words)
        for slot in self.slots.values():
            for name, others in slot.values.items():
                found += (name, *others)
        for intent in self.intents.values():
            for example in intent.examples:
                found += (
                    name for name in _CAPITAL.findall(PLACEHOLDER.sub("", example)) if name not in _COMMON
                )
        return tuple(dict.fromkeys(found))
