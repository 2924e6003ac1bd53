"""The exceptions that the gateway raises for what its operator can put right."""

from __future__ import annotations

__all__ = ["CannotListenError", "GatewayError"]


class GatewayError(Exception):
    """Something that the operator can put right. The text says what is wrong, where, and what to do about it."""


class CannotListenError(GatewayError):
    """A port of the gateway cannot be had: another one would do."""
