"""How much was heard of each piece of the bot's speech that has a name of its own. Without I/O.

A speech-to-speech model keeps the conversation itself. Behind an interruption it has to be told how much of what it has
said was heard, and of which of its items. The name of an item is the context of its audio frames.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import NamedTuple

__all__ = ["HeardContext", "SpokenContexts"]

MOST = 64
"""So many stretches of speech are remembered: those that are not heard yet are a few."""


class HeardContext(NamedTuple):
    """How much was heard of a context when the speech was cut off.

    Attributes:
        samples: So many samples.
        whole: Whether that is all of it that had come.
    """

    samples: int
    whole: bool


class SpokenContexts:
    """The places of contexts in the speech of the current epoch, in samples."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[int, str | None]] = deque(maxlen=MOST)

    def audio(self, context: str | None, position: int) -> None:
        """Note that audio of a context comes next.

        Args:
            context: The context; None for audio that is of none, or that no interruption cuts off.
            position: The position of its first sample.
        """
        if not self._stretches or self._stretches[-1][1] != context:
            self._stretches.append((position, context))

    def cut(self, position: int, queued: int) -> dict[str, HeardContext]:
        """End the epoch: `position` of the `queued` samples were heard.

        Returns:
            How much was heard of each context, in order.
        """
        heard: dict[str, HeardContext] = {}
        for (start, context), (end, _) in pairwise([*self._stretches, (queued, None)]):
            if context is None:
                continue
            before = heard.get(context, HeardContext(0, True)).samples
            heard[context] = HeardContext(
                before + min(max(position - start, 0), end - start), position >= end
            )
        self._stretches.clear()
        return heard
