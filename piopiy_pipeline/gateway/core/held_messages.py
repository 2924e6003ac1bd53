"""`HeldMessages`: messages of a client's application that came while its call moves to another instance. No I/O.

What the caller says in that time both instances hear, because neither acts on half a sentence. A message is acted on as
soon as it is read, so exactly one of them must get it: who has the call afterwards. Until that is known, it is held.
"""

from __future__ import annotations

from typing import Any

__all__ = ["HeldMessages"]


class HeldMessages:
    """The messages of one call, each with its place in what the caller said, in seconds."""

    HELD_S = 2.0
    """A message waits for so many seconds of the caller's audio at most: somebody may wait for its answer."""
    MOST = 32
    """So many wait at most, and more end the wait as well. The leg bounds the size of each."""

    def __init__(self) -> None:
        self._held: list[tuple[float, dict[str, Any]]] = []

    def add(self, at: float, data: dict[str, Any]) -> None:
        """Hold one more."""
        self._held.append((at, data))

    def overdue(self, at: float) -> bool:
        """Return whether they cannot wait any longer when the caller's audio has come to this place."""
        return bool(self._held) and (len(self._held) > self.MOST or at - self._held[0][0] > self.HELD_S)

    def take(self) -> list[tuple[float, dict[str, Any]]]:
        """Return them in order, and hold none."""
        taken, self._held = self._held, []
        return taken
