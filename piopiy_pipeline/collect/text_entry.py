"""`TextEntryReader`: what readers share whose value is a text that is put together from several answers."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.collect.value_reader import ValueReader

__all__ = ["TextEntryReader"]


class TextEntryReader(ValueReader[str]):
    """Reads a value that is a text, such as a number or an address.

    Args:
        language: The language that the caller speaks, by its code.
    """

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self._entry = ""
        self._over = False  # the entry was wrong or is being checked: what comes next takes its place

    @property
    def value(self) -> str:
        return self._entry

    def written(self) -> str:
        return self._entry

    def clear(self) -> None:
        self._entry, self._over = "", False

    def state(self) -> Any:
        return [self._entry, self._over]

    def restore(self, state: Any) -> None:
        self._entry, self._over = str(state[0]), bool(state[1])

    def to_json(self, value: str) -> Any:
        return value

    def from_json(self, value: Any) -> str:
        return str(value)
