"""`PromisedSentence`: what the bot says by itself and the caller is to hear to its end, also over the loss of an agent.

A greeting, the introduction of a persona, the words with which a language begins: no model knows them, so that no model
could go on with them. While one is being said it is in the checkpoint, and the next instance says what is left of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PART", "SEVERAL", "PromisedSentence", "kept_in", "rest_of", "says"]

MAX_SENTENCES = 10
"""So many sentences are kept that wait to be heard; of more, the oldest are left out."""
PART = "sentence"
"""Under this name it is in a checkpoint: of several, all of them as one, which a reader of an older version says."""
SEVERAL = "sentences"
"""Under this name there are several, each by itself."""
BESIDE = "beside"
"""Under this name there is what a model has written beside a tool call."""
_MARKS = re.compile(r"[^\w]+")


class PromisedSentence:
    """The sentence of one call that is being said, and those that are said behind it."""

    def __init__(self) -> None:
        self._unheard: list[tuple[str, asyncio.Future[bool]]] = []
        self._beside = ""  # what the model writes beside a tool call

    def begin(self, text: str, heard: asyncio.Future[bool]) -> None:
        """Keep a text until it was heard, or cut off by the caller."""
        self._forget_heard()
        self._unheard = [*self._unheard, (text, heard)][-MAX_SENTENCES:]

    def to_json(self) -> str | dict[str, str] | None:
        """Return what is being said, for the checkpoint; None if nothing is."""
        self._forget_heard()
        if not self._unheard:
            return {BESIDE: self._beside} if self._beside else None
        return " ".join(text for text, _ in self._unheard)

    def several(self) -> list[str] | None:
        """Return the sentences of which there is more than one, each by itself, for the checkpoint."""
        self._forget_heard()
        return [text for text, _ in self._unheard] if len(self._unheard) > 1 else None

    def _forget_heard(self) -> None:
        self._unheard = [(text, heard) for text, heard in self._unheard if not heard.done()]

    def writes(self, text: str) -> None:
        """Keep what the model writes beside a tool call, until `was_said`."""
        self._beside = text

    def was_said(self, turn: str, *, cut_off: bool) -> None:
        """Note that a turn of the bot is over, or was cut off: what it has of such a text was said."""
        if cut_off or says(turn, self._beside):
            self._beside = ""


def kept_in(parts: Mapping[str, Any]) -> Any:
    """Return what another instance has left of what it was saying; of several sentences a list, if it knew of them.

    Args:
        parts: The parts of its checkpoint. One of an older version passes on the list that it was given.
    """
    kept, several = parts.get(PART), parts.get(SEVERAL)
    return several if isinstance(several, list) and " ".join(map(str, several)) == kept else kept


def rest_of(kept: Any, messages: Sequence[Mapping[str, Any]], heard: str) -> str:
    """Return what the caller has not heard of the sentence that another instance was saying; empty if there is none.

    Args:
        kept: What that instance has left in its checkpoint.
        messages: The conversation of the checkpoint. A sentence that is in it was heard.
        heard: What was heard of the bot's turn that was not over.
    """
    beside = kept.get(BESIDE) if isinstance(kept, Mapping) else None
    texts = kept if isinstance(kept, list) else [kept if beside is None else beside]
    said = _words_of(heard)
    callers = [n for n, message in enumerate(messages) if message.get("role") == "user"]
    # A model may write the same at another turn; what is prepared is said once.
    since = 0 if beside is None or not callers else callers[-1]
    turns = [
        _words_of(str(message.get("content") or ""))
        for message in messages[since:]
        if message.get("role") == "assistant"
    ]
    words: list[str] = []
    for text in texts:  # what comes behind one that was heard may have begun
        if isinstance(text, str) and not any(_has(turn, _words_of(text)) for turn in (*turns, said)):
            words += text.split()
    plain = [_plain(word) for word in words]
    begun = next((n for n in range(min(len(said), len(plain)), 0, -1) if said[-n:] == plain[:n]), 0)
    return " ".join(words[begun:])


def says(turn: str, text: str) -> bool:
    """Return whether a turn has a text, word for word."""
    return _has(_words_of(turn), _words_of(text))


def _words_of(text: str) -> list[str]:
    return [_plain(word) for word in text.split()]


def _has(words: list[str], part: list[str]) -> bool:
    """Return whether these words stand there, one behind the other."""
    return any(words[at : at + len(part)] == part for at in range(len(words) - len(part) + 1))


def _plain(word: str) -> str:
    return _MARKS.sub("", word).lower()
