"""Messages of one call that the other side cannot read, or could not: they concern that call, and not the connection.

A connection carries the messages of all calls of an agent. What could not be read is not sent (`legible`); what comes
and cannot be read is laid to the call that it names (`unread_of`). Only what names no call ends the connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from piopiy_pipeline.json_values import has_endless_number, nests_too_deep
from piopiy_pipeline.signaling.json_messages import Message, dump
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES

__all__ = ["UnreadMessage", "call_id_of", "legible", "unread_of"]

_NESTING_LIMIT = 150
"""So deep may a message nest: pydantic reads 200 levels. What a call holds has less: `json_values.MAX_NESTING`."""
_BEGINNING_BYTES = 600
"""So far into a message its call is looked for. Before it stand the kind and perhaps a few other short fields."""
_SHORT_VALUE = rb'(?:"[^"\\]*"|-?[0-9.eE+-]+|true|false|null)'
_CALL_ID = re.compile(
    rb'\s*\{(?:\s*"[a-z_]+"\s*:\s*' + _SHORT_VALUE + rb'\s*,)*?\s*"call_id"\s*:\s*"([A-Za-z0-9_.:@+-]{1,64})"'
)
_KIND = re.compile(
    rb'\s*\{(?:\s*"[a-z_]+"\s*:\s*' + _SHORT_VALUE + rb'\s*,)*?\s*"type"\s*:\s*"([a-z_]{1,40})"'
)


@dataclass(frozen=True, slots=True)
class UnreadMessage:
    """A message of one call that cannot be read, or is one too many.

    Attributes:
        call_id: The call.
        kind: The message's type, such as ``checkpoint``; empty if even that cannot be read.
        detail: What is wrong with it, in a sentence.
    """

    call_id: str
    kind: str
    detail: str


def unread_of(text: bytes, detail: str) -> UnreadMessage | None:
    """Return which call's message this is, as its beginning says; None if that does not name a call.

    Args:
        text: The message, which is no JSON perhaps.
        detail: What is wrong with it.
    """
    call_id = call_id_of(text)
    if call_id is None:
        return None
    kind = _KIND.match(text[:_BEGINNING_BYTES])
    return UnreadMessage(call_id, "" if kind is None else kind[1].decode(), detail)


def call_id_of(text: bytes) -> str | None:
    """Return which call's message this is, as its beginning says; None if that does not name a call."""
    call = _CALL_ID.match(text[:_BEGINNING_BYTES])
    return None if call is None else call[1].decode()


def legible(message: Message) -> bytes:
    """Return the message as UTF-8, if the other side can read it.

    Raises:
        ValueError: It is not JSON, too long, or nests too deep. The sentence names its kind.
    """
    kind = getattr(message, "type", type(message).__name__)
    try:
        text = dump(message)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{kind}: it is not JSON: {error}") from None
    if nests_too_deep(text, _NESTING_LIMIT):
        raise ValueError(f"{kind}: it nests more than {_NESTING_LIMIT} deep")
    if has_endless_number(text):
        raise ValueError(f"{kind}: it has an integer of thousands of digits")
    data = text.encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"{kind}: it is {len(data)} bytes, and {MAX_MESSAGE_BYTES} are the limit")
    return data
