"""Named deadlines, and the functions that are called when they pass. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

Name = TypeVar("Name", bound=str)


class Deadlines(Generic[Name]):
    """Keeps one deadline for each name. Every `now` is in seconds, of one clock."""

    def __init__(self) -> None:
        self._set: dict[Name, tuple[float, Callable[[float], None]]] = {}

    @property
    def next_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None: not at all."""
        return min((at for at, _ in self._set.values()), default=None)

    def set(self, name: Name, at: float, act: Callable[[float], None]) -> None:
        """Set a deadline. An earlier deadline of the same name is removed.

        Args:
            name: Its name.
            at: The time in seconds at which it passes.
            act: Called with the time when the deadline has passed.
        """
        self._set[name] = at, act

    def off(self, *names: Name) -> None:
        """Remove the deadlines of these names; without names, all of them."""
        for name in names or tuple(self._set):
            self._set.pop(name, None)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have passed, the earliest first. Each may set or remove others."""
        for name, deadline in sorted(self._set.items(), key=lambda one: one[1][0]):
            if deadline[0] <= now and self._set.get(name) is deadline:
                del self._set[name]
                deadline[1](now)
