"""`end_at_nonsense`: a realtime connection over which something came that is no event of the protocol's is lost.

pipecat's services of Grok, Inworld and Azure Voice Live leave such a message out, and an answer ended in mid-sentence
without a word. Its service of OpenAI ends the session, and another one answers.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from loguru import logger

from piopiy_pipeline.compat.realtime import wrap_connections

__all__ = ["end_at_nonsense"]

SHOWN = 80
"""So many characters of it are in the log."""


def end_at_nonsense(service: Any) -> None:
    """Have a service of OpenAI's mould, before it runs, read a connection up to the first message that is no object."""
    wrap_connections(service, _SenseOnly)


class _SenseOnly:
    """A connection that ends before the first such message. Everything else is the connection's own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for message in self._connection:
            text = message if isinstance(message, str) else message.decode(errors="replace")
            if not (text.lstrip()[:1] == "{" and text.rstrip()[-1:] == "}"):
                logger.warning("the provider has sent what is no event: {}", text[:SHOWN])
                return
            yield message
