"""The event loop of the verbs that run in production: uvloop if it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["prefer_uvloop", "run"]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Do as `asyncio.run` does, on uvloop if it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def prefer_uvloop() -> None:
    """Make every `asyncio.run` of this process use uvloop, if it is installed. A bot's file calls
    `asyncio.run` itself.
    """
    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
