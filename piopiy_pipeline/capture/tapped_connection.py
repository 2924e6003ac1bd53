"""What taps of speech-to-speech services have in common: a connection whose messages are noted, whatever they say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.compat.wrapped_connection import WrappedConnection
from piopiy_pipeline.error_text import error_text

__all__ = ["ConnectionTap", "TappedConnection"]

LONGEST_TEXT = 2000
"""So much is kept of what is no message, in characters."""


class ConnectionTap:
    """Listens at the connections of one service. A protocol says what is noted.

    Args:
        service: The service, before it runs.
        log: Where the messages are noted.
    """

    def __init__(self, service: FrameProcessor, log: CaptureLog) -> None:
        self._log = log
        self._name = type(service).__name__

    def sent(self, number: int, text: str | bytes) -> None:
        """Note a message to the provider."""
        raise NotImplementedError

    def received(self, number: int, message: dict[str, Any]) -> None:
        """Note a message of the provider's."""
        raise NotImplementedError

    def received_raw(self, number: int, raw: str | bytes) -> None:
        """Note what has come from the provider, which may be no message, or one that is built otherwise than its
        protocol says.
        """
        try:
            message = json.loads(raw)
            if isinstance(message, dict):
                self.received(number, message)
                return
        except Exception as error:  # noqa: BLE001  no capture may end a call: what it is, the service itself judges
            logger.debug("{}: what came is recorded as a text: {}", self._name, error_text(error))
        text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
        self.note(number, "received", {"text": text[:LONGEST_TEXT]})

    def note(self, number: int, kind: str, data: dict[str, Any]) -> None:
        """Note what has come over a connection, or has become of it."""
        self._log.exchange("realtime", self._name, number, kind, data)


class TappedConnection(WrappedConnection):
    """A connection whose messages are noted.

    Args:
        connection: The connection, which is iterated or read message by message.
        tap: Who notes.
        number: The connection's in the capture.
    """

    def __init__(self, connection: Any, tap: ConnectionTap, number: int) -> None:
        super().__init__(connection)
        self._tap = tap
        self._number = number

    async def send(self, message: str | bytes) -> None:
        self._tap.sent(self._number, message)
        await self._connection.send(message)

    async def recv(self, **options: Any) -> Any:
        try:
            message = await self._connection.recv(**options)
        except ConnectionClosed:
            self._tap.note(self._number, "closed", {})
            raise
        await self.take(message)
        return message

    async def take(self, message: str | bytes) -> bool:
        self._tap.received_raw(self._number, message)
        return True

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            async for message in super().__aiter__():
                yield message
        except ConnectionClosed:
            self._tap.note(self._number, "closed", {})
            raise
        self._tap.note(self._number, "closed", {})
