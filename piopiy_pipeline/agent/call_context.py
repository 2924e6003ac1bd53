"""What a callback finds in its context, and everything that it begins: where its call's media stream is."""

from __future__ import annotations

import contextvars

__all__ = ["ROOM_CTX", "TOKEN_CTX", "URL_CTX", "enter_call"]

URL_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_url")
"""The address of the call's media stream, within a callback."""
TOKEN_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_token")
"""The token of the call's media stream, within a callback. It worked once, and has been used."""
ROOM_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_room")
"""The call's id, within a callback."""


def enter_call(url: str, token: str, call_id: str) -> None:
    """Make the context of the running task that of a call."""
    URL_CTX.set(url)
    TOKEN_CTX.set(token)
    ROOM_CTX.set(call_id)
