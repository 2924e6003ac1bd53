"""JSON of a call: whether the other side can read it, and which value in it is at fault.

What a model has written, a tool has returned or an author has stored may be anything. Most of it can be written as
JSON and still not be read: readers of JSON give up where it nests too deep, and one such message would cost the
connection that all calls of an agent share. So what goes out is checked here first. It is on the ground floor because
agent and gateway both send such values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["MAX_NESTING", "fault_in", "has_endless_number", "json_text", "nests_too_deep"]

MAX_NESTING = 100
"""So deep may a value nest that is sent. Gateways and agents read 200 levels, and a message adds a few of its own."""
_MAX_INT_BITS = 14_000
"""Python reads and writes integers of up to 4300 digits, which is a little more."""
_DIGITS = re.compile("[0-9]{4290}")
_SHOWN_STEPS = 4
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|[\]}]', re.DOTALL)


def json_text(value: Any, name: str, *, max_nesting: int = MAX_NESTING) -> str:
    """Return the value as JSON text, in ASCII.

    Args:
        value: Any value.
        name: What to call it in a sentence, such as ``call.state``.
        max_nesting: How deep it may nest.

    Raises:
        ValueError: It cannot be written as JSON, or not be read by the other side. The sentence names the value.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except Exception as error:  # noqa: BLE001  a type, a number, a circle, a depth, or what an author's class raises
        fault = fault_in(value, name, max_nesting=max_nesting)
        raise ValueError(fault or f"{name} is not JSON: {error}") from None
    if nests_too_deep(text, max_nesting):
        raise ValueError(fault_in(value, name, max_nesting=max_nesting) or f"{name} nests too deep")
    return text


def nests_too_deep(text: str, limit: int = MAX_NESTING) -> bool:
    """Return whether JSON text nests deeper than this many levels."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[1]:
            depth += 1
            if depth > limit:
                return True
        elif match[0] in "]}":
            depth -= 1
    return False


def has_endless_number(text: str) -> bool:
    """Return whether JSON text has an integer of more digits than a reader takes."""
    if _DIGITS.search(text) is None:
        return False
    try:
        json.loads(text)
    except ValueError:
        return True
    return False  # they stand in a text


def fault_in(value: Any, name: str, *, max_nesting: int = MAX_NESTING) -> str:
    """Return a sentence about the first value in this one that is not JSON or nests too deep; empty if there is none.

    Args:
        value: Any value, also one that holds itself.
        name: What to call it in the sentence.
        max_nesting: How deep it may nest.
    """
    waiting: list[Iterator[tuple[str, Any]]] = [iter([("", value)])]
    path: list[str] = []  # of what is looked into, the value itself not included
    while waiting:
        step, each = next(waiting[-1], (None, None))
        if step is None:
            waiting.pop()
            if path:
                path.pop()
            continue
        if what := _fault_of(each):
            return f"{_named(name, [*path, step])} {what}"
        if isinstance(each, (dict, list, tuple)):
            if len(waiting) > max_nesting:
                return f"{_named(name, [*path, step])} nests more than {max_nesting} deep, which no gateway reads"
            path.append(step)
            waiting.append(_inside(each))
    return ""


def _inside(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        return ((f"[{key!r:.40}]", each) for key, each in list(value.items()))
    return ((f"[{number}]", each) for number, each in enumerate(list(value)))


def _fault_of(value: Any) -> str:
    if value is None or isinstance(value, (str, bool, list, tuple)):
        return ""
    if isinstance(value, int):
        return "is an integer of thousands of digits" if value.bit_length() > _MAX_INT_BITS else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"is {float(value)}, a number that is not JSON"
    if isinstance(value, dict):
        for key in value:
            if not (key is None or isinstance(key, (str, int, float))):
                return f"has a key of type {type(key).__name__}, which is not JSON"
        return ""
    return f"is of type {type(value).__name__}, which is not JSON"


def _named(name: str, path: list[str]) -> str:
    steps = [step for step in path if step]
    return name + "".join(steps[:_SHOWN_STEPS]) + ("…" if len(steps) > _SHOWN_STEPS else "")
