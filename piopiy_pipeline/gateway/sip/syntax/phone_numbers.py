"""Telephone numbers as people write them, and patterns of numbers as operators set them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

__all__ = ["NumberPattern", "dialled_number", "matches", "matches_any"]

_READ_ONLY = re.compile(r"[\s\-.()/]")
_NUMBER = re.compile(r"\+?[0-9*#]{1,32}", re.ASCII)


def _star_at_the_end(pattern: str) -> str:
    if "*" in pattern[:-1] and pattern.strip("*") != "":
        raise ValueError("the only place for '*' is the end")
    return pattern


NumberPattern = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_star_at_the_end)
]
"""A number; with ``*`` at its end it stands for all numbers that begin so."""


def matches(pattern: str, number: str) -> bool:
    """Return whether `number` fits a `NumberPattern`."""
    return number.startswith(pattern[:-1]) if pattern.endswith("*") else number == pattern


def matches_any(patterns: Iterable[str], number: str) -> bool:
    """Return whether `number` fits one of these patterns."""
    return any(matches(pattern, number) for pattern in patterns)


def dialled_number(text: str) -> str | None:
    """Return the number in `text` as it is dialled, ``+1 (555) 0-1`` as ``+155501``; None if it is no number."""
    number = _READ_ONLY.sub("", text.removeprefix("tel:"))
    return number if len(text) <= 64 and _NUMBER.fullmatch(number) else None
