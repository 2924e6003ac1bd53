"""`PromisedSentence`: what the bot says by itself and the caller is to hear to its end, also over the loss of an agent.

A greeting, the introduction of a persona, the words with which a language begins: no model knows them, so that no model
could go on with them. While one is being said it is in the checkpoint, and the next instance says what is left of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PART", "PromisedSentence", "rest_of"]

PART = "sentence"
"""Under this name it is in a checkpoint."""
_MARKS = re.compile(r"[^\w]+")


class PromisedSentence:
    """The sentence of one call that is being said."""

    def __init__(self) -> None:
        self._text = ""
        self._heard: asyncio.Future[bool] | None = None

    def begin(self, text: str, heard: asyncio.Future[bool]) -> None:
        """Keep a text until it was heard, or cut off by the caller."""
        self._text, self._heard = text, heard

    def to_json(self) -> str | None:
        """Return what is being said, for the checkpoint; None if nothing is."""
        return None if self._heard is None or self._heard.done() else self._text


def rest_of(kept: Any, messages: Sequence[Mapping[str, Any]], heard: str) -> str:
    """Return what the caller has not heard of the sentence that another instance was saying; empty if there is none.

    Args:
        kept: What that instance has left in its checkpoint.
        messages: The conversation of the checkpoint. A sentence that is in it was heard.
        heard: What was heard of the bot's turn that was not over.
    """
    if not isinstance(kept, str) or not kept.strip():
        return ""
    words = kept.split()
    plain = [_plain(word) for word in words]
    for message in messages:
        if message.get("role") == "assistant" and _ends_with(str(message.get("content") or ""), plain):
            return ""
    said = [_plain(word) for word in heard.split()]
    begun = next((n for n in range(min(len(said), len(plain)), 0, -1) if said[-n:] == plain[:n]), 0)
    return " ".join(words[begun:])


def _ends_with(content: str, words: list[str]) -> bool:
    return [_plain(word) for word in content.split()][-len(words) :] == words


def _plain(word: str) -> str:
    return _MARKS.sub("", word).lower()
