"""What waits to be told to an RTVI client: bounded in rate and in length. Without I/O.

A model writes faster than a client needs to read, and the media stream's events are counted: whoever
sends too many loses the call. So these messages have a budget of their own, beside that of the bot's
author. What comes faster waits here, where pieces of text grow together and what a later message
replaces is dropped: the client misses nothing but the pace.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["MESSAGES_PER_S", "PacedQueue"]

Message = dict[str, Any]

MESSAGES_PER_S = 25
"""In the long run, and twice as many at once: with the author's 40 it is fewer than the gateway takes."""
LONGEST = 256
"""So many messages wait at most."""

_GROW = ("bot-llm-text", "llm-raw-text")
"""Pieces of a text: two in a row are one."""
_IN_PASSING = (*_GROW, "metrics", "bot-tts-text", "tts-raw-text", "user-llm-text")
"""Dropped first when there are too many: the client is told the same in another message, or can do without."""


class PacedQueue:
    """Messages in order, as many as the budget allows. `now` is in seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._rate = TokenBucket(MESSAGES_PER_S, now)
        self._waiting: deque[Message] = deque()
        self.dropped = 0

    @property
    def waits(self) -> bool:
        """Whether something waits for its turn: ask again in ``1 / MESSAGES_PER_S`` seconds."""
        return bool(self._waiting)

    def add(self, message: Message) -> None:
        """Something to be told."""
        if self._waiting and _joined(self._waiting[-1], message):
            return
        if len(self._waiting) >= LONGEST:
            self._drop_one()
        self._waiting.append(message)

    def take(self, now: float) -> list[Message]:
        """What is to be sent now."""
        messages: list[Message] = []
        while self._waiting and self._rate.take(now):
            messages.append(self._waiting.popleft())
        return messages

    def _drop_one(self) -> None:
        self.dropped += 1
        for i, message in enumerate(self._waiting):
            if message["type"] in _IN_PASSING or _interim(message):
                del self._waiting[i]
                return
        self._waiting.popleft()


def _joined(last: Message, message: Message) -> bool:
    """Put a message into the one before it, if it goes on with it or replaces it."""
    kind = message["type"]
    if kind != last["type"]:
        return False
    if kind in _GROW:
        last["data"] = {"text": last["data"]["text"] + message["data"]["text"]}
        return True
    if _interim(last):
        last["data"] = message["data"]
        return True
    return False


def _interim(message: Message) -> bool:
    data = message.get("data")
    return isinstance(data, dict) and data.get("final") is False
