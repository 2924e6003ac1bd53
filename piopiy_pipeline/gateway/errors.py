"""The one exception that the gateway raises for what its operator can put right."""

from __future__ import annotations

__all__ = ["GatewayError"]


class GatewayError(Exception):
    """What is wrong, where, and what to do about it: a sentence to show without a traceback."""
