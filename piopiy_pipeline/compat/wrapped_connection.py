"""`WrappedConnection`: what stands in the place of a provider's WebSocket, and sees or changes what goes over it.

A speech-to-speech service is given it by `wrap_connections`, of `realtime.py` or of `gemini_connection.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

__all__ = ["WrappedConnection"]


class WrappedConnection:
    """A connection whose messages can be looked at. Everything that a subclass does not change is the connection's own.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for message in self._connection:
            if not await self.take(message):
                return
            yield message

    async def take(self, message: str | bytes) -> bool:
        """Look at a message before the service reads it.

        Returns:
            Whether the service reads it. If not, the connection is over for the service.
        """
        return True
