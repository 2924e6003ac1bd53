"""Errors of ``/v3``: a word for programs, a sentence, and the id of the request; and why an order is refused."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

__all__ = ["BadOrder", "NotHere", "v3_error"]


class BadOrder(Exception):
    """An order whose fields do not fit together. The text names them."""


class NotHere(Exception):
    """A gateway of one's own cannot do that. The text names the field, and says what to use."""


_WORDS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "not_found",
    429: "rate_limited",
    500: "gateway_error",
    502: "gateway_error",
    503: "gateway_error",
    504: "gateway_error",
}


def v3_error(
    status: int, text: str, word: str | None = None, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of an error.

    Args:
        status: The HTTP status.
        text: A sentence that says what was wrong and what to do.
        word: The word for programs. None: that of the status.
        more: Further keys. A `request_id` there is that of a transfer; without, this request gets one.
    """
    word = word or _WORDS.get(status, "invalid_request")
    return {"error": word, "message": text, "request_id": secrets.token_hex(8), **(more or {})}
