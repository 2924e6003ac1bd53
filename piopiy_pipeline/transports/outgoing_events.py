"""Sends the caller what is not speech: messages to the client's application, and keys."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.json_values import MAX_NESTING, has_endless_number, nests_too_deep
from piopiy_pipeline.signaling.json_messages import dump
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.token_bucket import TokenBucket
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["MESSAGES_PER_S", "MessageRefused", "OutgoingEvents", "event_of"]

MESSAGES_PER_S = 40
"""Messages to the client's application in the long run, twice as many at once: fewer than the gateway takes."""
MAX_EVENT_BYTES = 64 * 1024
"""How many bytes of JSON the gateway takes in one event."""
MAX_KEYS = 64
"""How many keys one event holds."""


class MessageRefused(ValueError):
    """The gateway would not take this message, and would end the call because of it."""


class OutgoingEvents:
    """Sends events over a media link, within the gateway's limits.

    Args:
        link: The call's media link.
    """

    def __init__(self, link: MediaLink) -> None:
        self._link = link
        self._rate = TokenBucket(MESSAGES_PER_S, 0.0)

    def send_message(self, message: Any, now: float) -> None:
        """Send a message to the client's application.

        Args:
            message: A dict that can be written as JSON.
            now: The time in seconds, of a clock that does not go backwards.

        Raises:
            MessageRefused: It is no such dict, it is too long, or too many were sent.
        """
        event = event_of(message)
        if not self._rate.take(now):
            raise MessageRefused(f"more than {MESSAGES_PER_S} transport messages a second: one is left out")
        self._link.send_event(event)

    def send_keys(self, digits: str) -> None:
        """Press keys of a telephone: any number of ``0-9*#A-D``."""
        for i in range(0, len(digits), MAX_KEYS):
            self._link.send_event(Dtmf(digits=digits[i : i + MAX_KEYS]))


def event_of(message: Any) -> DataMessage:
    """Return the event that carries a message to the client's application.

    Raises:
        MessageRefused: It is no dict, no JSON, nests too deep, or is too long.
    """
    if not isinstance(message, dict):
        raise MessageRefused(f"a transport message must be a dict, not {type(message).__name__}")
    try:
        event = DataMessage(data=message)
        text = dump(event)
    except (ValueError, RecursionError) as error:  # pydantic's, of whichever kind
        raise MessageRefused(f"a transport message must be JSON: {error}") from None
    if has_endless_number(text):
        raise MessageRefused("a transport message has an integer of thousands of digits")
    if nests_too_deep(text):
        raise MessageRefused(f"a transport message nests more than {MAX_NESTING} deep")
    size = len(text.encode())
    if size > MAX_EVENT_BYTES:
        raise MessageRefused(f"a transport message of {size} bytes: {MAX_EVENT_BYTES} are the limit")
    return event
