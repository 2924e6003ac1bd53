"""Interruption strategies of Piopiy's SDK: `Action(interruption_strategy=MinWordsInterruptionStrategy(min_words=3))`.

The SDK asked such a strategy for each transcript over the bot's speech. Here the rule for words is `TurnAfterBot`'s, of
which these are the values: see `interruption_of`.
"""

from __future__ import annotations

__all__ = ["BaseInterruptionStrategy", "MinWordsInterruptionStrategy"]


class BaseInterruptionStrategy:
    """What an interruption strategy of Piopiy's SDK derives from. One of an author's own is refused by `Action`."""


class MinWordsInterruptionStrategy(BaseInterruptionStrategy):
    """The caller cuts the bot off with so many words.

    Args:
        min_words: The number of words.

    Raises:
        ValueError: There are no words, or less.
    """

    def __init__(self, *, min_words: int) -> None:
        if min_words < 1:
            raise ValueError(f"min_words={min_words}: it takes one word at least to cut in")
        self.min_words = min_words
