"""Finds what pipecat takes in the file of a flow though it cannot work: it would come to light in a call."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

__all__ = ["slip_in"]

ROLES = ("system", "developer", "user", "assistant")
_OPEN_KEY = re.compile(r"(?<!\\)\{\{\s*[A-Za-z_](?![^{}]*\}\})")
"""A ``{{ key`` whose braces nobody closes."""


def slip_in(root: yaml.Node) -> tuple[int, str] | None:
    """Return the line and the sentence of the first slip in a file, from 1 on.

    Args:
        root: The file, composed and not constructed.
    """
    return next(_slips_in(root), None)


def _slips_in(root: yaml.Node) -> Iterator[tuple[int, str]]:
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
                if name == "task_messages" and isinstance(value, yaml.SequenceNode):
                    yield from _wrong_roles(value)
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif _OPEN_KEY.search(str(node.value)):
            yield node.start_mark.line + 1, "a '{{' that no '}}' closes: it would be read out as it is"


def _wrong_roles(messages: yaml.SequenceNode) -> Iterator[tuple[int, str]]:
    for message in messages.value:
        for key, value in message.value if isinstance(message, yaml.MappingNode) else ():
            if key.value == "role" and value.value not in ROLES:
                yield (
                    value.start_mark.line + 1,
                    f"there is no role {value.value!r}, only {', '.join(ROLES)}",
                )
