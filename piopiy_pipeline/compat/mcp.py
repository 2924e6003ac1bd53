"""What is asked of the inside of pipecat's `MCPClient`."""

from __future__ import annotations

from typing import Any

__all__ = ["is_started"]


def is_started(client: Any) -> bool:
    """Return whether somebody has started this client, who will close it, too. Without a client, True."""
    return bool(getattr(client, "_session_requested", not hasattr(client, "close")))
