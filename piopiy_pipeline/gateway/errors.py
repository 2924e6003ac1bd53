"""The one exception that the gateway raises for what its operator can put right."""

from __future__ import annotations

__all__ = ["GatewayError"]


class GatewayError(Exception):
    """Something that the operator can put right. The text says what is wrong, where, and what to do about it."""
