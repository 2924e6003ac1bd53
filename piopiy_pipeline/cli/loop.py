"""The event loop of what runs in production: uvloop where it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["prefer_uvloop", "run"]


def run(main: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run`, on uvloop if there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def prefer_uvloop() -> None:
    """Have every `asyncio.run` of this process use uvloop: for a bot's file, which calls it itself."""
    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
