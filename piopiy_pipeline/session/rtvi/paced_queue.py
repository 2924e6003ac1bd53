"""The messages that wait to be sent to an RTVI client, bounded in rate and in number. Without I/O.

A model writes faster than a client needs to read, and the gateway ends a call whose agent sends too many
events. So these messages have a rate limit of their own, beside the one for the messages of the bot's author.
Messages that come faster wait here. Meanwhile, pieces of text are joined, and a message that a later one
replaces is dropped, so the client misses nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["MESSAGES_PER_S", "PacedQueue"]

Message = dict[str, Any]

MESSAGES_PER_S = 25
"""Messages a second in the long run, twice as many at once. With the author's 40, the gateway accepts that."""
LONGEST = 256
"""How many messages may wait."""

_GROW = ("bot-llm-text", "llm-raw-text")
"""Pieces of a text: two in a row are joined."""
_EXPENDABLE = (*_GROW, "metrics", "bot-tts-text", "tts-raw-text", "user-llm-text")
"""Dropped first when there are too many: another message says the same, or the client can do without."""


class PacedQueue:
    """Messages in order, as many as the rate allows. `now` is in seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._rate = TokenBucket(MESSAGES_PER_S, now)
        self._waiting: deque[Message] = deque()
        self.dropped = 0

    @property
    def waits(self) -> bool:
        """Whether messages wait. If so, call `take` again in ``1 / MESSAGES_PER_S`` seconds."""
        return bool(self._waiting)

    def add(self, message: Message) -> None:
        """Queue a message. Text of the same turn is joined, and if too many messages wait, one is dropped."""
        if self._waiting and _joined(self._waiting[-1], message):
            return
        if len(self._waiting) >= LONGEST:
            self._drop_one()
        self._waiting.append(message)

    def take(self, now: float) -> list[Message]:
        """Take the messages that may be sent now."""
        messages: list[Message] = []
        while self._waiting and self._rate.take(now):
            messages.append(self._waiting.popleft())
        return messages

    def _drop_one(self) -> None:
        self.dropped += 1
        for i, message in enumerate(self._waiting):
            if message["type"] in _EXPENDABLE or _interim(message):
                del self._waiting[i]
                return
        self._waiting.popleft()


def _joined(last: Message, message: Message) -> bool:
    """Join a message with the one before it, if it continues or replaces that one. Returns whether it did."""
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
