"""Closes SDK clients that nobody else closes.

Each of pipecat's OpenAI services makes a client and leaves it to the garbage collector. The client keeps its
connections open, so every call would leave sockets behind for some time. The session owns what was opened in
a call, so it closes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from loguru import logger

from piopiy_pipeline.compat.pipecat import openai_clients
from piopiy_pipeline.error_text import own_text

__all__ = ["close_clients"]

CLOSE_S = 1.0


async def close_clients(stages: Iterable[Any]) -> None:
    """Close the OpenAI clients of these stages, in bounded time.

    A service makes its own client and lives for one call, so nobody else uses it. Clients of other SDKs may
    have been passed in by the author, who closes them.
    """
    clients = openai_clients(stages)
    if not clients:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*(client.close() for client in clients))
    except (OSError, RuntimeError, TimeoutError) as error:
        logger.warning("a client of a provider did not close: {}", own_text(error))
