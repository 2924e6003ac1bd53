"""`CollectedValues`: what was collected of the caller in one call, as every checkpoint has it.

A callback that runs once more, at another instance after a loss, asks for the same values in the same order. What was
collected is given to it again without a word to the caller, and what was being collected goes on where it stood. The
values of a tool's run have its idempotency key before their names, so that another run of the tool asks anew. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["MAX_COLLECTED", "CollectedValues"]

MAX_COLLECTED = 100
"""So many values are kept; of more, those that tools have collected first are left out, and then the oldest."""


class CollectedValues:
    """The values of one call by their keys.

    Args:
        saved: What the instance before this one has left: `to_json`. What of it is no such thing, is left out.
    """

    def __init__(self, saved: Any = None) -> None:
        self._done = _values_in(saved, "done")
        self._open = _values_in(saved, "open")
        self._left = set(self._done) | set(self._open)  # by the instance before
        self._begun: Counter[str] = Counter()
        self.moved = isinstance(saved, Mapping) and bool(saved.get("moved"))
        """Whether the instance before has given the call away between two turns, and nothing was lost."""
        self.moving = False
        """Set while the call is saved for that."""

    def key_of(self, name: str, tool_run: str = "") -> str:
        """Return the key of the value that is to be collected now.

        Args:
            name: The author's name of it, or its kind.
            tool_run: The idempotency key of the tool's run in which it is collected; empty outside of tools.
        """
        name = name.replace("%", "%25").replace("/", "%2F")  # the "/" marks the values of tools
        scope = f"{tool_run}/{name}" if tool_run else name
        self._begun[scope] += 1
        return f"{scope}#{self._begun[scope]}"

    def done(self, key: str) -> dict[str, Any] | None:
        """Return what the instance before this one has collected under the key."""
        return self._done.get(key) if key in self._left else None

    def progress(self, key: str) -> dict[str, Any] | None:
        """Return how far the instance before this one had come with it."""
        return self._open.get(key) if key in self._left else None

    def caller_acts(self) -> None:
        """Note that the caller does something while nothing is collected: what is asked from now on is asked anew,
        but in the tools that run again.
        """
        self._left = {key for key in self._left if "/" in key}

    def note(self, key: str, progress: dict[str, Any]) -> None:
        """Note how far it has come with a value."""
        self._open[key] = progress

    def finish(self, key: str, outcome: dict[str, Any]) -> None:
        """Note what was collected, or that it was not."""
        self._open.pop(key, None)
        self._done[key] = outcome
        while len(self._done) > MAX_COLLECTED:
            del self._done[next((one for one in self._done if "/" in one), next(iter(self._done)))]

    def drop(self, key: str) -> None:
        """Forget a value that is not collected any more."""
        self._open.pop(key, None)

    def to_json(self) -> dict[str, Any] | None:
        """Return all of it for a checkpoint; None if there is nothing."""
        both = {"done": self._done, "open": self._open}
        kept: dict[str, Any] = {name: dict(values) for name, values in both.items() if values}
        if kept and self.moving:
            kept["moved"] = True
        return kept or None


def _values_in(saved: Any, name: str) -> dict[str, dict[str, Any]]:
    values = saved.get(name) if isinstance(saved, Mapping) else None
    if not isinstance(values, Mapping):
        return {}
    return {str(key): dict(value) for key, value in values.items() if isinstance(value, Mapping)}
