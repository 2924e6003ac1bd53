"""Checks the messages with which an author begins a context, when the call begins and not when the model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from piopiy_pipeline.arguments import shown

__all__ = ["checked_messages"]

_ROLES = ("system", "developer", "user", "assistant", "tool")


def checked_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return copies of an author's messages. Raises `TypeError` and `ValueError` for what is none."""
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence):
        raise TypeError(
            f"initial_messages is a list of messages, each with 'role' and 'content', not {shown(messages)}"
        )
    checked = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise TypeError(
                f"initial_messages, {number}: a message is a dict, not a {type(message).__name__}"
            )
        if message.get("role") not in _ROLES:
            raise ValueError(
                f"initial_messages, {number}: its role is {message.get('role')!r}, not one of {', '.join(_ROLES)}"
            )
        if "content" not in message and "tool_calls" not in message:
            raise ValueError(f"initial_messages, {number}: it has no content")
        checked.append(dict(message))
    return checked
