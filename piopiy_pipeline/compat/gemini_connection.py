"""What this project uses of Google's client for Gemini Live beyond its public interface: the connections of a service.

A session of the client's writes to a WebSocket and reads from it, and makes JSON of what it is given. Whoever stands in
the WebSocket's place sees the messages as they are sent, and whoever makes the session needs no provider.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from google.genai import Client
from google.genai._api_client import BaseApiClient
from google.genai.live import AsyncLive, AsyncSession
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.compat import CompatError, check_attributes
from piopiy_pipeline.compat.leave_in_time import leave_in_time
from piopiy_pipeline.compat.pipecat import PIPECAT
from piopiy_pipeline.compat.wrapped_connection import WrappedConnection

__all__ = [
    "bound_sends",
    "check",
    "close_in_time",
    "connect_by",
    "lead_to",
    "on_failure",
    "takes_nothing",
    "wrap_connections",
]

GENAI = ">=2.25,<3"
"""The versions that this file was written for, as in pyproject.toml."""


def wrap_connections(service: Any, wrap: Callable[[Any, dict[str, Any]], Any]) -> None:
    """Have a service use what `wrap` makes of each of its connections, behind the set-up of the session.

    Args:
        service: The service, before it runs.
        wrap: Takes a WebSocket, and the set-up: the model, and Google's `LiveConnectConfig`.
    """
    live = service._client.aio.live
    connect = live.connect

    @asynccontextmanager
    async def wrapped(*, model: str, config: Any) -> AsyncIterator[AsyncSession]:
        setup = _as_json(model, config)
        async with connect(model=model, config=config) as session:
            session._ws = wrap(session._ws, setup)
            yield session

    live.connect = wrapped


def connect_by(service: Any, make: Callable[[dict[str, Any]], Any]) -> None:
    """Have a service use the connections that `make` returns, and open none itself.

    Args:
        service: The service, before it runs.
        make: Takes the set-up, and returns what has a WebSocket's `send`, `recv` and `close`.
    """
    client = service._client._api_client

    @asynccontextmanager
    async def connected(*, model: str, config: Any) -> AsyncIterator[AsyncSession]:
        connection = make(_as_json(model, config))
        try:
            yield AsyncSession(api_client=client, websocket=connection)
        finally:
            await connection.close()

    service._client.aio.live.connect = connected


def _as_json(model: str, config: Any) -> dict[str, Any]:
    return {"model": model, **config.model_dump(mode="json", exclude_none=True)}


def lead_to(service: Any, url: str) -> None:
    """Have a service that has not connected yet talk to another address."""
    service._client._api_client._http_options.base_url = url


def bound_sends(service: Any, within_s: float) -> None:
    """Have a connection be lost that takes nothing for so many seconds, and its loss be noticed where it is read.

    Otherwise whatever is sent waits for ever, and the service with it; and each message that cannot be sent would be an
    error of its own, although the session is about to be opened again.
    """
    wrap_connections(service, lambda connection, _setup: _BoundedSocket(connection, within_s))
    tell = service._handle_send_error

    async def quietly(error: Exception) -> None:
        if not isinstance(error, (ConnectionClosed, TimeoutError, OSError)):
            await tell(error)

    service._handle_send_error = quietly


def takes_nothing(service: Any) -> bool:
    """Return whether something could not be sent over the connection that stands, of a service with `bound_sends`.

    Its loss is noticed later, where it is read.
    """
    return bool(getattr(getattr(service._session, "_ws", None), "takes_nothing", False))


class _BoundedSocket(WrappedConnection):
    """A WebSocket that waits for nobody for long."""

    def __init__(self, connection: Any, within_s: float) -> None:
        super().__init__(connection)
        self._within_s = within_s
        self.takes_nothing = False
        """Whether something could not be sent."""

    async def send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._within_s):
                await self._connection.send(message)
        except (ConnectionClosed, OSError):  # and so a TimeoutError
            self.takes_nothing = True
            if (transport := getattr(self._connection, "transport", None)) is not None:
                transport.abort()
            raise


def on_failure(service: Any, failed: Callable[[Exception], None]) -> None:
    """Have a function called with why a connection has failed, in the place of a traceback in the log."""
    handle = service._connection_task_handler

    async def handled(*args: Any, **options: Any) -> None:
        try:
            await handle(*args, **options)
        except Exception as error:  # noqa: BLE001  whatever Google's client raises
            failed(error)

    service._connection_task_handler = handled


def close_in_time(service: Any, wait_s: float) -> None:
    """Have a service drop a connection whose provider has not taken leave within so many seconds."""
    leave_in_time(service, wait_s, lambda: getattr(service._session, "_ws", None))


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    used: list[tuple[object, str]] = [(AsyncSession, "_ws"), (AsyncLive, "connect")]
    used += [
        (GeminiLiveLLMService, name)
        for name in ("_connection_task_handler", "_disconnect", "_handle_send_error")
    ]
    used += [(Client, "_api_client"), (BaseApiClient, "_http_options")]
    check_attributes("google-genai", used, written_for=GENAI, used_in=__name__)
    if "_client" not in GeminiLiveLLMService.create_client.__code__.co_names:
        raise CompatError(
            "pipecat-ai", "GeminiLiveLLMService has no _client", written_for=PIPECAT, used_in=__name__
        )


check()
