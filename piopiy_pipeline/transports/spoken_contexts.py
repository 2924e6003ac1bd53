"""How much was heard of each piece of the bot's speech that has a name of its own. Without I/O.

A speech-to-speech model keeps the conversation itself. Behind an interruption it has to be told how much of what it has
said was heard, and of which of its items. The name of an item is the context of its audio frames.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

__all__ = ["SpokenContexts"]

MOST = 64
"""So many stretches of speech are remembered: those that are not heard yet are a few."""


class SpokenContexts:
    """The places of contexts in the speech of the current epoch, in samples."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[int, str | None]] = deque(maxlen=MOST)

    def audio(self, context: str | None, position: int) -> None:
        """Note that audio of a context comes next.

        Args:
            context: The context; None for audio that is of none.
            position: The position of its first sample.
        """
        if not self._stretches or self._stretches[-1][1] != context:
            self._stretches.append((position, context))

    def cut(self, position: int, queued: int) -> dict[str, int]:
        """End the epoch: `position` of the `queued` samples were heard.

        Returns:
            How many samples were heard of each context that was not heard to its end, in order.
        """
        heard: dict[str, int] = {}
        cut_off: dict[str, int] = {}
        for (start, context), (end, _) in pairwise([*self._stretches, (queued, None)]):
            if context is None:
                continue
            heard[context] = heard.get(context, 0) + min(max(position - start, 0), end - start)
            if position < end:
                cut_off[context] = heard[context]
        self._stretches.clear()
        return cut_off
