"""`GatewayConnection`: the agent's connection to its gateway, made again whenever it is lost.

The shell of `AgentProtocol`, which is the conversation without I/O. What the messages mean for calls is the
`Agent`'s business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from loguru import logger
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from piopiy_pipeline.agent.late_checkpoints import LateCheckpoints
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol, AgentStep, Backoff
from piopiy_pipeline.signaling.liveness import (
    SIGNALING_FEATURES_HEADER,
    confirms_checkpoints,
    knows_call_workers,
    knows_load,
    moves_calls,
    takes_heartbeats,
)
from piopiy_pipeline.signaling.messages import (
    AgentMessage,
    Checkpoint,
    GatewayMessage,
    InstanceDied,
    Registered,
)
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer
from piopiy_pipeline.signaling.unread_messages import legible
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["AuthenticationError", "GatewayConnection", "gateway_url"]


class AuthenticationError(Exception):
    """The gateway refuses this agent: its token or its id is wrong. To try again would not help."""


class GatewayConnection:
    """Connects, registers, and connects again.

    Args:
        url: The gateway's address, as `gateway_url` returns it.
        token: The agent's token.
        agent_id: The agent's id, for the log.
        make_protocol: Makes the conversation of one connection. It is given the time in seconds, and whether the
            gateway takes heartbeats.
        on_message: Called with each message about registration and calls.
        on_lost: Called when a connection is lost.
        on_closing: Called before the connection is closed, while messages can still be sent.
    """

    def __init__(
        self,
        url: str,
        token: str,
        agent_id: str,
        *,
        make_protocol: Callable[[float, bool], AgentProtocol],
        on_message: Callable[[GatewayMessage], None],
        on_lost: Callable[[], None],
        on_closing: Callable[[], None],
    ) -> None:
        self._url = url
        self._token = token
        self._agent_id = agent_id
        self._make_protocol = make_protocol
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_closing = on_closing
        self.takes_heartbeats = False
        """Whether the gateway takes heartbeats, and what a watchdog says."""
        self.confirms_checkpoints = False
        """Whether the gateway says when it has a checkpoint."""
        self.moves_calls = False
        """Whether the gateway moves calls when it is asked to."""
        self.knows_call_workers = False
        """Whether the gateway knows call workers apart, and what the death of one means."""
        self.knows_load = False
        """Whether the gateway knows the load of a status."""
        self._socket: DirectClientConnection | None = None
        self._checkpoints = LateCheckpoints(
            self._post_now, lambda: 0 if self._socket is None else self._socket.write_buffer_size
        )
        self._refused: str | None = None
        self._orderly = False  # whether the gateway has said that it shuts down
        self._backoff = Backoff()

    async def serve(self, closing: asyncio.Event) -> None:
        """Keep a connection until `closing` is set.

        Raises:
            AuthenticationError: The gateway refuses the agent.
        """
        gateway_missing = False
        while not closing.is_set():
            try:
                await self._serve_once(closing)
                gateway_missing = False
            except InvalidStatus as error:
                body = (error.response.body or b"").decode("utf-8", "replace").strip()[:200]
                status = error.response.status_code
                if status in (401, 403):
                    raise AuthenticationError(
                        f"{self._url}: the gateway refuses agent {self._agent_id!r}: {body or 'wrong token'}"
                    ) from None
                if not gateway_missing:
                    logger.warning("no gateway at {} (HTTP {}: {}): trying on", self._url, status, body)
                gateway_missing = True
            except (OSError, TimeoutError, WebSocketException) as error:
                if not gateway_missing:
                    logger.warning("no gateway at {} ({}): trying until there is one", self._url, error)
                gateway_missing = True
            if self._refused:
                raise AuthenticationError(f"{self._url}: {self._refused}")
            if not closing.is_set():
                await _wait(closing, self._backoff.wait(random.random()))

    def post(self, message: AgentMessage) -> None:
        """Send a message without waiting. Without a connection, there is nobody to receive it.

        One that the gateway could not read is left out, because it would cost the connection, and with it all calls.
        A checkpoint waits while much is on its way.
        """
        if self._socket is None:
            return
        if isinstance(message, Checkpoint):
            self._checkpoints.post(message)
        else:
            self._post_now(message)

    def _post_now(self, message: AgentMessage) -> None:
        if self._socket is None:
            return
        try:
            text = legible(message)
        except ValueError as error:
            logger.bind(call_id=getattr(message, "call_id", None)).error("a message is not sent: {}", error)
        else:
            self._socket.post_text(text)

    def tell_of_death(self, death: InstanceDied) -> None:
        """Tell the gateway that another call worker has died, if it knows what that means."""
        if self.knows_call_workers:
            self.post(death)

    async def _serve_once(self, closing: asyncio.Event) -> None:
        """Serve one connection, from the handshake until it is gone."""
        loop = asyncio.get_running_loop()
        socket = await connect(
            f"{self._url}/agent",
            create_connection=DirectClientConnection,
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,
            proxy=None,
            open_timeout=5,
            ping_interval=None,
        )
        assert isinstance(socket, DirectClientConnection)
        self._socket = socket
        self._orderly = False
        features = None if socket.response is None else socket.response.headers.get(SIGNALING_FEATURES_HEADER)
        self.takes_heartbeats = takes_heartbeats(features)
        self.confirms_checkpoints = confirms_checkpoints(features)
        self.moves_calls = moves_calls(features)
        self.knows_call_workers = knows_call_workers(features)
        self.knows_load = knows_load(features)
        protocol = self._make_protocol(loop.time(), self.takes_heartbeats)
        gone = asyncio.Event()

        def carry_out(step: AgentStep) -> None:
            self._do(step)
            if step.close is not None:
                gone.set()

        timer = ProtocolTimer(
            loop, wake_at=lambda: protocol.wake_at, tick=lambda: carry_out(protocol.tick(loop.time()))
        )

        def on_text(text: bytes) -> None:
            carry_out(protocol.receive(text, loop.time()))
            timer.arm()

        socket.listen(on_text=on_text, on_close=gone.set)
        carry_out(protocol.start())
        timer.arm()
        wait_closing = asyncio.ensure_future(closing.wait())
        wait_gone = asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait({wait_closing, wait_gone}, return_when=asyncio.FIRST_COMPLETED)
            if not closing.is_set():
                self._on_lost()
        finally:
            wait_closing.cancel()
            wait_gone.cancel()
            if closing.is_set():
                self._on_closing()
            protocol.lost()
            timer.close()
            self._socket = None
            self._checkpoints.forget()
            await socket.close()
        if not closing.is_set():
            level = "INFO" if self._orderly else "WARNING"
            logger.log(level, "the connection to {} is gone: connecting again", self._url)

    def _do(self, step: AgentStep) -> None:
        for message in step.send:
            self.post(message)
        for event in step.events:
            if isinstance(event, Registered):
                self._backoff.reset()
            self._on_message(event)
        if (unread := step.unread) is not None:
            log = logger.bind(call_id=unread.call_id)
            log.error("a message of the gateway ({}) cannot be read: {}", unread.kind, unread.detail)
        if step.close is not None:
            self._orderly = step.orderly
            level = "INFO" if step.orderly else "WARNING"
            logger.log(level, "closing the connection to the gateway: {}", step.close)
            if step.refused:
                self._refused = step.close
            if self._socket is not None:
                self._socket.finish(reason=step.close[:100])


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


def gateway_url(url: str) -> str:
    """Return the gateway's address, with a WebSocket scheme and without a slash at the end.

    Raises:
        ValueError: It is no such address, or it holds a user or a password.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if "@" in parts.netloc:
        raise ValueError(
            "leave user and password out of the gateway's address: agent_token is the credential"
        )
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"the gateway's address must look like ws://host:port, not {url!r}")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"the gateway's address {url!r}: {error}") from None
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
