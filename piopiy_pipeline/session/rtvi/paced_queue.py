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
_SHOWN = ("bot-tts-text", "tts-raw-text")
"""In a text chat these are such pieces, too. Of a voice they are words, with no blanks between them."""
_EXPENDABLE = (*_GROW, "metrics", "bot-tts-text", "tts-raw-text", "user-llm-text")
"""Dropped first when there are too many: another message says the same, or the client can do without."""


class PacedQueue:
    """Messages in order, as many as the rate allows. `now` is in seconds of one clock.

    Args:
        now: The time.
        shown: Whether what the bot says is shown as it is written, and not spoken word by word.
    """

    def __init__(self, now: float, *, shown: bool = False) -> None:
        self._shown = shown
        self._grows = (*_GROW, *_SHOWN) if shown else _GROW
        self._rate = TokenBucket(MESSAGES_PER_S, now)
        self._waiting: deque[Message] = deque()
        self.dropped = 0

    @property
    def waits(self) -> bool:
        """Whether messages wait. If so, call `take` again in ``1 / MESSAGES_PER_S`` seconds."""
        return bool(self._waiting)

    def joins(self, message: Message) -> bool:
        """Return whether this is a piece of a text that is shown, which the next piece may be joined with."""
        return message["type"] in self._grows and self._shown

    def add(self, message: Message) -> None:
        """Queue a message. Text of the same turn is joined, and if too many messages wait, one is dropped."""
        for last in reversed(self._waiting):
            if self._joined(last, message):
                return
            if last["type"] not in self._grows or message["type"] not in self._grows:
                break  # pieces of one text may stand behind those of the other, and nothing else
        if len(self._waiting) >= LONGEST:
            self._drop_one()
        self._waiting.append(message)

    def take(self, now: float) -> list[Message]:
        """Take the messages that may be sent now."""
        messages: list[Message] = []
        while self._waiting and self._rate.take(now):
            messages.append(self._waiting.popleft())
        return messages

    def _joined(self, last: Message, message: Message) -> bool:
        """Join a message with one before it, if it continues or replaces that one. Returns whether it did."""
        kind = message["type"]
        if kind != last["type"]:
            return False
        if kind in self._grows:
            last["data"] = {"text": last["data"]["text"] + message["data"]["text"]}
            return True
        if _interim(last):
            last["data"] = message["data"]
            return True
        return False

    def _drop_one(self) -> None:
        self.dropped += 1
        for i, message in enumerate(self._waiting):
            if message["type"] in _EXPENDABLE or _interim(message):
                del self._waiting[i]
                return
        self._waiting.popleft()


def _interim(message: Message) -> bool:
    data = message.get("data")
    return isinstance(data, dict) and data.get("final") is False
