"""The cursors of pages of calls: where a page ends and the next one begins, as one word for a URL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from piopiy_pipeline.gateway.records.models import BadCursor

__all__ = ["read_cursor", "write_cursor"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_cursor(placed_at: datetime, call_id: str) -> str:
    """Return the end of a page of calls as one word for a URL: microseconds since 1970, and the id of its
    last call.
    """
    return f"{(placed_at - _EPOCH) // timedelta(microseconds=1)}.{call_id}"


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the time and the id in a cursor. Raises `BadCursor`."""
    digits, _, call_id = cursor.partition(".")
    if not (0 < len(call_id) <= 64 and len(digits) <= 18 and digits.isascii() and digits.isdigit()):
        raise BadCursor(f"before: {cursor[:80]!r} is not the `next` of a page")
    try:
        return _EPOCH + timedelta(microseconds=int(digits)), call_id
    except OverflowError:
        raise BadCursor(f"before: {cursor[:80]!r} is not the `next` of a page") from None
