"""`LateKeys`: which key belongs to an input that is over, and is no answer to what is asked next. No I/O.

It stands on the ground floor because both sides collect keys: the gateway's prompts, and the collections of a bot and
its keys as words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["END_KEY_S", "REPEAT_S", "LateKeys"]

END_KEY_S = 3.0
"""So long behind an input the key that ends inputs still belongs to it, in seconds."""
REPEAT_S = 1.0
"""So long behind an answer of one key the same key is that answer once more, in seconds."""


class LateKeys:
    """Knows the keys that callers press behind an input that was whole without them.

    Many callers end each number with ``#``, also where its last digit has ended it; and some press a key twice.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def ended(self, now: float, end_key: str = "#", *, answer: str = "") -> None:
        """Note that an input of keys is over.

        Args:
            now: The time in seconds, of one clock.
            end_key: The key that ends inputs; empty if none does.
            answer: The key, if the input was an answer of one key.
        """
        self._until = {end_key: now + END_KEY_S}
        if answer:
            self._until[answer] = now + REPEAT_S

    def has(self, key: str, now: float) -> bool:
        """Return whether a key with nothing before it belongs to the input that is over."""
        return now < self._until.get(key, now)

    def to_json(self, now: float) -> dict[str, float] | None:
        """Return for how many seconds each key still belongs to it, for a checkpoint; None if none does."""
        return {
            key: round(until - now, 3) for key, until in self._until.items() if key and until > now
        } or None

    def restore(self, saved: Any, now: float) -> None:
        """Go on with what another instance has saved, as if no time had passed. What is no such thing is left out.

        Args:
            saved: What `to_json` has returned there.
            now: The time in seconds, of the clock of this instance.
        """
        left = saved.items() if isinstance(saved, Mapping) else ()
        self._until = {
            str(key): now + min(float(left_s), END_KEY_S)
            for key, left_s in left
            if isinstance(left_s, (int, float)) and left_s > 0
        }
