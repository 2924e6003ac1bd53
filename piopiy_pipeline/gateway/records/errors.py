"""What can go wrong with records, for those who ask for them."""

from __future__ import annotations

from piopiy_pipeline.gateway.errors import GatewayError

__all__ = ["BadCursor", "RecordsUnavailable"]


class RecordsUnavailable(GatewayError):
    """The database does not answer just now: ask again later."""


class BadCursor(ValueError):
    """What was given as `before` is no `next` of a page."""
