"""`ValueReader`: knows one kind of value: how it is said and pressed, when it is whole, and how it is read back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

__all__ = ["Reading", "ValueReader", "Wording"]

T = TypeVar("T")

Wording = Callable[[str], str]
"""Returns a phrase of the bot's language by its name: an attribute of `CollectPhrases`."""


class Reading(StrEnum):
    """What became of an answer."""

    NOTHING = "nothing"
    """There is nothing of such a value in it."""
    PART = "part"
    """The value is right so far, and not whole."""
    INVALID = "invalid"
    """It cannot be such a value: too long, a wrong checksum, out of range."""
    WHOLE = "whole"


class ValueReader(ABC, Generic[T]):
    """Reads one value, from one answer or several, by voice and by keys. Without I/O and without a clock.

    Its state between two answers is JSON, so that another instance can go on with it.

    Args:
        language: The language that the caller speaks, by its code.
    """

    kind: ClassVar[str]
    """The name of the kind, as in events."""
    expects: str = "open"
    """What the answer is made of: see `Call.expect`."""
    reads_back: ClassVar[bool] = True
    """Whether the value is read back unless the author says otherwise."""

    def __init__(self, language: str) -> None:
        self.language = language

    @abstractmethod
    def hear(self, text: str, *, checking: bool = False) -> Reading:
        """Take what the caller has said.

        Args:
            text: The words.
            checking: Whether the value was whole and was read back: this may correct it.
        """

    def would_read(self, text: str, *, checking: bool = False) -> Reading:
        """Return what `hear` would return, and take nothing."""
        before = self.state()
        reading = self.hear(text, checking=checking)
        self.restore(before)
        return reading

    def press(self, keys: str, *, checking: bool = False) -> Reading:
        """Take keys that were pressed, without the key that ends them. Most values have none."""
        return Reading.NOTHING

    def keys_suffice(self, keys: str) -> bool:
        """Return whether no more keys are waited for."""
        return False

    @property
    @abstractmethod
    def value(self) -> T:
        """The value, when it is whole."""

    @abstractmethod
    def spoken(self) -> str:
        """Return the value, or what there is of it, as it is read back."""

    def written(self) -> str:
        """Return the same as it is written, for a caller who reads."""
        return self.spoken()

    @property
    def model_task(self) -> str:
        """In which form a model writes such a value, if it is to read an answer that this cannot; empty: it is not.

        `hear` takes what it writes, and the value is read back.
        """
        return ""

    def missing(self, words: Wording) -> str:
        """Return what is said when there is a part of the value, ``{value}`` in it: it asks for the rest."""
        return words("go_on")

    def fault(self, words: Wording) -> str:
        """Return what is said when what was given, ``{value}``, cannot be right."""
        return words("invalid")

    @abstractmethod
    def clear(self) -> None:
        """Forget what there is of the value."""

    @abstractmethod
    def state(self) -> Any:
        """Return what there is of the value, as JSON."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go on with what `state` has returned elsewhere."""

    @abstractmethod
    def to_json(self, value: T) -> Any:
        """Return a value as JSON."""

    @abstractmethod
    def from_json(self, value: Any) -> T:
        """Return the value of this JSON."""
