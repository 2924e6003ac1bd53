"""Finds what pipecat takes in the file of a flow though it cannot work: it would come to light in a call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import yaml

__all__ = ["MESSAGES", "slip_in"]

MESSAGES = "task_messages"
"""The key of a node's messages."""
ROLES = ("system", "developer", "user", "assistant")
_OPEN_KEY = re.compile(r"(?<!\\)\{\{\s*[A-Za-z_](?![^{}]*\}\})")
"""A ``{{ key`` whose braces nobody closes."""


def slip_in(root: yaml.Node, *, of_messages: bool = False) -> tuple[int, str] | None:
    """Return the line and the sentence of the first slip in a file, from 1 on.

    Args:
        root: The file, composed and not constructed.
        of_messages: Whether it is a node's messages, or one of them, in a file of their own.
    """
    return next(_slips_in(root, of_messages), None)


def _slips_in(root: yaml.Node, of_messages: bool) -> Iterator[tuple[int, str]]:
    if of_messages:
        yield from _wrong_roles(root.value if isinstance(root, yaml.SequenceNode) else [root])
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in keys and name != "<<":
                    yield line, f"{name!r} is there twice: the first one would be lost"
                keys.add(name)
                if name == MESSAGES and isinstance(value, yaml.SequenceNode):
                    yield from _wrong_roles(value.value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif _OPEN_KEY.search(str(node.value)):
            yield node.start_mark.line + 1, "a '{{' that no '}}' closes: it would be read out as it is"


def _wrong_roles(messages: Iterable[yaml.Node]) -> Iterator[tuple[int, str]]:
    for message in messages:
        for key, value in message.value if isinstance(message, yaml.MappingNode) else ():
            if key.value == "role" and value.value not in ROLES:
                yield (
                    value.start_mark.line + 1,
                    f"there is no role {value.value!r}, only {', '.join(ROLES)}",
                )
