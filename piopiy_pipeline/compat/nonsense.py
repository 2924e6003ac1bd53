"""`end_at_nonsense`: a realtime connection over which something came that is no event of the protocol's is lost.

pipecat's services of Grok, Inworld and Azure Voice Live leave such a message out, and an answer ended in mid-sentence
without a word. Its service of OpenAI ends the session, and another one answers.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from typing import Any

from loguru import logger

from piopiy_pipeline.compat.realtime import wrap_connections
from piopiy_pipeline.compat.wrapped_connection import WrappedConnection

__all__ = ["end_at_nonsense"]

SHOWN = 80
"""So many characters of it are in the log."""


def end_at_nonsense(service: Any) -> None:
    """Have a service of OpenAI's mould, before it runs, read a connection up to the first message that is no object."""
    wrap_connections(service, _SenseOnly)


class _SenseOnly(WrappedConnection):
    """A connection that ends before the first such message."""

    async def take(self, message: str | bytes) -> bool:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        if text.lstrip()[:1] == "{" and text.rstrip()[-1:] == "}":
            return True
        logger.warning("the provider has sent what is no event: {}", text[:SHOWN])
        return False
