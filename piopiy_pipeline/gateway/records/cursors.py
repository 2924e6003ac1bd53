"""Where a page of calls ends: the time and the id of its last call, as one word for a URL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from piopiy_pipeline.gateway.records.errors import BadCursor

__all__ = ["read_cursor", "write_cursor"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_cursor(placed_at: datetime, call_id: str) -> str:
    """Microseconds since 1970, and the id."""
    return f"{(placed_at - _EPOCH) // timedelta(microseconds=1)}.{call_id}"


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and the id. Raises `BadCursor`."""
    digits, point, call_id = cursor.partition(".")
    if not (
        point
        and call_id
        and len(call_id) <= 64
        and len(digits) <= 18
        and digits.isascii()
        and digits.isdigit()
    ):
        raise BadCursor(f"before: {cursor[:80]!r} is not the `next` of a page")
    try:
        return _EPOCH + timedelta(microseconds=int(digits)), call_id
    except OverflowError:
        raise BadCursor(f"before: {cursor[:80]!r} is not the `next` of a page") from None
