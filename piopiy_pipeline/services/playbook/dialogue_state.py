"""Where a conversation stands, and what the bot does next: the values that `dialogue.py` computes with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from piopiy_pipeline.services.playbook.model import PLACEHOLDER
from piopiy_pipeline.services.playbook.values import Value

__all__ = [
    "Action",
    "DialogueStage",
    "DialogueState",
    "filled",
    "message_text",
    "tool_result",
    "without_question",
]

_LAST_QUESTION = re.compile(r"[^.!?]*\?\s*$")


@dataclass(frozen=True, slots=True)
class Action:
    """What the bot does next: it says `text` (nothing if empty), then calls `tool` with `arguments`, if there
    is one.
    """

    text: str = ""
    tool: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


class DialogueStage(Enum):
    """What the bot waits for."""

    OPEN = auto()  # nothing is under way
    ASKING = auto()  # a slot is missing
    CHECKING = auto()  # a doubtful slot was read back by itself
    CONFIRMING = auto()
    CALLING = auto()  # the tool was decided on
    RUNNING = auto()  # the tool was called
    DONE = auto()  # it has answered; a change of mind calls it again

    @property
    def is_question(self) -> bool:
        """Whether the bot has asked the caller something that has to be answered."""
        return self in (DialogueStage.ASKING, DialogueStage.CHECKING, DialogueStage.CONFIRMING)


@dataclass(frozen=True, slots=True)
class DialogueState:
    """Where a conversation stands after some of its messages."""

    stage: DialogueStage = DialogueStage.OPEN
    intent: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    asked: str | None = None
    again: bool = False  # the tool has been called before: this is a change
    done: Mapping[str, Value] = field(default_factory=dict)  # the values with which it was
    turn: int = 0  # of the caller; chooses among alternatives
    last: Action = Action()
    then: tuple[str, ...] = ()  # the intents to serve when the tool has answered
    unsure: frozenset[str] = frozenset()  # words of the newest turn that the recogniser doubts
    topic: str | None = None  # the question that was just answered: "and on Sundays?" asks it again
    heard: str | None = None  # what the caller has heard since the last turn; None: no message ever said


def filled(text: str, state: DialogueState, result: Any) -> str:
    """Return a text with values and the fields of a tool's result in the place of their names in braces."""

    def value(name: str) -> str:
        if name.startswith("result."):
            return _shown(result.get(name[7:])) if isinstance(result, Mapping) else ""
        return state.values[name].spoken if name in state.values else ""

    return PLACEHOLDER.sub(lambda match: value(match[1]), text)


def _shown(value: Any) -> str:
    """Return a value of JSON as a person says it, and not as Python writes it: nothing for null, a list's items."""
    if value is None:
        return ""
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def without_question(text: str) -> str:
    """Return a text without the question at its end: what comes next answers it."""
    match = _LAST_QUESTION.search(text)
    return text[: match.start()].rstrip() if match else text


def tool_result(content: str) -> tuple[Any, bool]:
    """Return a tool's result, and whether it is a failure: an "error" in it, or pipecat's sentence about an
    exception.
    """
    try:
        result = json.loads(content)
    except json.JSONDecodeError:
        result = content
    if isinstance(result, Mapping):
        return result, bool(result.get("error"))
    return result, isinstance(result, str) and result.startswith("The function `")


def message_text(content: Any) -> str:
    """Return the text of a message whose content is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""
