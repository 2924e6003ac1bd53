"""A value that may have been misheard: how it is read back by itself, and what the answer settles."""

from __future__ import annotations

import re
from dataclasses import replace

from piopiy_pipeline.services.playbook.matching import Understood
from piopiy_pipeline.services.playbook.values import Value, with_other

__all__ = ["doubted", "read_back", "settle"]

_FIRST = re.compile(r"\b(?:1st|former)\b")
_SECOND = re.compile(r"\b(?:2nd|latter|last)\b")


def read_back(value: Value, check: str, choose: str) -> str:
    """Return the question whether a value is what was said.

    Args:
        value: The doubtful value.
        check: The question for one value, with ``{value}`` in it.
        choose: The question between two, with ``{value}`` and ``{other}``.
    """
    if value.other is None:
        return check.replace("{value}", value.spoken)
    return choose.replace("{value}", value.other.spoken).replace("{other}", value.spoken)  # as they were said


def settle(value: Value, heard: Understood, slot: str) -> tuple[bool, Value | None]:
    """Find what an answer to the question says.

    Args:
        value: The value that was read back.
        heard: The answer.
        slot: The name of the value's slot.

    Returns:
        Whether the answer was clear, and the value that holds now: None if it was none of those.
    """
    first, second = _FIRST.search(heard.words), _SECOND.search(heard.words)
    if value.other is not None and (first or second):
        return True, replace(value.other if first else value, doubtful=False, other=None)
    said = heard.values.get(slot)
    if said is not None:
        known = {value.value, value.other.value if value.other else None}
        return True, replace(said, doubtful=False) if said.other is None and said.value in known else said
    if heard.polarity is True and value.other is None and not heard.changes:
        return True, replace(value, doubtful=False)
    return heard.polarity is False, None


def doubted(value: Value, known: Value | None) -> Value:
    """Return a value that was not asked for: one that is not sure and does not fit what is known is doubtful."""
    if known is None or value.sure or known.value == value.value:
        return value
    return with_other(value, known)
