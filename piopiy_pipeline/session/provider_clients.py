"""SDK clients that nobody closes: pipecat's OpenAI services make one each, and leave it to the garbage.

Its connections are kept alive without an end, so that every call would leave sockets behind until the
collector happens to come by. The session owns what was opened in a call, and so it closes these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from loguru import logger

from piopiy_pipeline.compat.pipecat import openai_clients

__all__ = ["close_clients"]

CLOSE_S = 1.0


async def close_clients(stages: Iterable[Any]) -> None:
    """Close the OpenAI clients of these stages, in bounded time.

    A service makes its own client and lives for one call, so nobody else uses it. Clients of other
    SDKs may have been handed in by the author, and are the author's to close.
    """
    clients = openai_clients(stages)
    if not clients:
        return
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*(client.close() for client in clients))
    except (OSError, RuntimeError, TimeoutError) as error:
        logger.warning("a client of a provider did not close: {}", error or "timeout")
