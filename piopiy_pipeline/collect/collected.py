"""What comes of a collection: a value and how it was given, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

__all__ = ["Collected", "NoValueReason", "NotCollected"]

T = TypeVar("T")


class NoValueReason(StrEnum):
    """Why a value was not collected."""

    REFUSED = "refused"
    """The caller does not want to give it, or does not have it."""
    ATTEMPTS = "attempts"
    """Too many answers were no such value."""
    SILENCE = "silence"
    """The caller has said nothing, again and again."""
    TIMEOUT = "timeout"
    """It took too long."""
    HANGUP = "hangup"
    """The call has ended."""
    MOVED = "moved"
    """Another instance of the agent has the call now, and goes on in the same step."""
    CANCELLED = "cancelled"
    """The code that waited for it was cancelled."""


@dataclass(frozen=True, slots=True)
class Collected(Generic[T]):
    """A value that the caller has given.

    Attributes:
        value: The value.
        how: ``speech``, ``keys`` or ``both``; ``text`` in a text chat.
        attempts: How many answers before it were no such value, or were a wrong one.
        spoken: The value as it is read back.
    """

    value: T
    how: str
    attempts: int = 0
    spoken: str = ""


class NotCollected(Exception):
    """The caller has not given the value.

    Attributes:
        name: The author's name of the value, or its kind.
        why: ``refused``, ``attempts``, ``silence``, ``timeout``, ``hangup``, or ``moved``: another
            instance has the call now.
        attempts: How many answers were no such value, or were a wrong one.
    """

    def __init__(self, name: str, why: NoValueReason, attempts: int = 0) -> None:
        super().__init__(f"{name} was not collected: {_WHY[why]}")
        self.name = name
        self.why = why
        self.attempts = attempts


_WHY = {
    NoValueReason.REFUSED: "the caller does not want to give it",
    NoValueReason.ATTEMPTS: "too many answers were no such value",
    NoValueReason.SILENCE: "the caller has said nothing",
    NoValueReason.TIMEOUT: "it took too long",
    NoValueReason.HANGUP: "the call has ended",
    NoValueReason.MOVED: "another instance of the agent goes on with the call",
    NoValueReason.CANCELLED: "the code that waited for it was cancelled",
}
