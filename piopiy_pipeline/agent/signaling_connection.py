"""`SignalingConnection`: one connection of an agent to one gateway, from the handshake until it is gone.

The shell of `AgentProtocol`, which is the conversation without I/O. Whether another connection follows is the business
of whoever makes it: the one to the gateway at home is made again (`GatewayConnection`), one to another gateway is not
(`RoamingConnections`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.agent.late_checkpoints import LateCheckpoints
from piopiy_pipeline.compat.websockets import connect_here
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol, AgentState, AgentStep
from piopiy_pipeline.signaling.liveness import (
    SIGNALING_FEATURES_HEADER,
    confirms_checkpoints,
    counts_usage,
    knows_call_workers,
    knows_load,
    lets_roam,
    moves_calls,
    takes_heartbeats,
    takes_steps,
    unknown_part,
)
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, GatewayMessage
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer
from piopiy_pipeline.signaling.unread_messages import legible
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["GatewayListener", "SignalingConnection"]

OPEN_S = 5.0
"""How long the handshake may take, in seconds, where nobody else can be asked."""


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """What an agent does with what comes over its connections. Each function is given the connection."""

    make_protocol: Callable[[SignalingConnection, float], AgentProtocol]
    """Makes its conversation, when the gateway has said what it can do. It is given the time in seconds, too."""
    on_message: Callable[[SignalingConnection, GatewayMessage], None]
    """Called with each message about registration and calls."""
    on_lost: Callable[[SignalingConnection], None]
    """Called when the connection is lost, and with it its calls."""
    on_closing: Callable[[SignalingConnection], None]
    """Called before the connection is closed, while messages can still be sent."""
    on_cancelled: Callable[[asyncio.CancelledError], object]
    """Called likewise if that is because what serves it is cancelled. It is given the cancellation alone."""


class SignalingConnection:
    """Serves one connection. What it knows of the gateway is False until the handshake is done.

    Args:
        url: The gateway's address, as `gateway_url` returns it.
        token: The agent's token, or a ticket for roaming.
        listener: Is told what comes.
        host: The address to connect to, if the name in `url` has several.
        open_s: How long the handshake may take, in seconds.
    """

    def __init__(
        self,
        url: str,
        token: str,
        listener: GatewayListener,
        *,
        host: str | None = None,
        open_s: float = OPEN_S,
    ) -> None:
        self.url = url
        self._token = token
        self._listener = listener
        self._host = host
        self._open_s = open_s
        self.takes_heartbeats = False
        """Whether the gateway takes heartbeats, and what a watchdog says."""
        self.confirms_checkpoints = False
        """Whether the gateway says when it has a checkpoint."""
        self.counts_usage = False
        self.takes_steps = False
        """Whether the gateway takes what the providers of a call were given."""
        self.moves_calls = False
        """Whether the gateway moves calls when it is asked to."""
        self.knows_call_workers = False
        """Whether the gateway knows call workers apart, and what the death of one means."""
        self.knows_load = False
        """Whether the gateway knows the load of a status."""
        self.lets_roam = False
        """Whether the gateway may send the agent to others."""
        self.refused: str | None = None
        """Why the gateway refuses this agent, so that connecting again makes no sense."""
        self.orderly = False
        """Whether the gateway has said that it shuts down."""
        self._protocol: AgentProtocol | None = None
        self._socket: DirectClientConnection | None = None
        self._features: str | None = None
        self._checkpoints = LateCheckpoints(
            self._post_now, lambda: 0 if self._socket is None else self._socket.write_buffer_size
        )

    @property
    def address(self) -> GatewayAddress:
        """Where the gateway is: once the connection is made, the place that was reached, whatever else has its name."""
        return GatewayAddress(self.url, self._host)

    @property
    def registered(self) -> bool:
        """Whether the gateway knows the agent, and the connection is open."""
        return self._protocol is not None and self._protocol.state is AgentState.REGISTERED

    def post(self, message: AgentMessage) -> None:
        """Send a message without waiting. Without a connection, there is nobody to receive it.

        One that the gateway could not read, or is too old to know, is left out: it would cost the connection, and with
        it all calls. A checkpoint waits while much is on its way.
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
        if unknown := unknown_part(message, self._features):
            log = logger.bind(call_id=getattr(message, "call_id", None))
            log.warning(
                "{} is not sent: the gateway is older, and does not know it: update the gateway", unknown
            )
            return
        try:
            text = legible(message)
        except ValueError as error:
            logger.bind(call_id=getattr(message, "call_id", None)).error("a message is not sent: {}", error)
        else:
            self._socket.post_text(text)

    async def serve(self, closing: asyncio.Event) -> None:
        """Connect, and serve the connection until it is gone or `closing` is set.

        Raises:
            OSError: The gateway cannot be reached.
            TimeoutError: It did not answer in time.
            WebSocketException: It does not take the connection.
        """
        loop = asyncio.get_running_loop()
        to_host: dict[str, Any] = {} if self._host is None else {"host": self._host}
        connection = await connect_here(
            f"{self.url}/agent",
            create_connection=DirectClientConnection,
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,
            proxy=None,
            open_timeout=self._open_s,
            ping_interval=None,
            **to_host,
        )
        assert isinstance(connection, DirectClientConnection)
        self._socket = connection
        if (peer := connection.remote_address) is not None:  # else it was gone at once
            self._host = _numeric(peer)
        response = connection.response
        features = None if response is None else response.headers.get(SIGNALING_FEATURES_HEADER)
        self._features = features
        self.takes_heartbeats = takes_heartbeats(features)
        self.confirms_checkpoints = confirms_checkpoints(features)
        self.counts_usage = counts_usage(features)
        self.takes_steps = takes_steps(features)
        self.moves_calls = moves_calls(features)
        self.knows_call_workers = knows_call_workers(features)
        self.knows_load = knows_load(features)
        self.lets_roam = lets_roam(features)
        protocol = self._protocol = self._listener.make_protocol(self, loop.time())
        gone = asyncio.Event()
        timer = ProtocolTimer(
            loop,
            wake_at=lambda: protocol.wake_at,
            tick=lambda now: self._carry_out(protocol.tick(now), gone),
        )

        def on_text(text: bytes) -> None:
            self._carry_out(protocol.receive(text, loop.time()), gone)
            timer.arm()

        connection.listen(on_text=on_text, on_close=gone.set)
        self._carry_out(protocol.start(), gone)
        timer.arm()
        wait_closing = asyncio.ensure_future(closing.wait())
        wait_gone = asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait({wait_closing, wait_gone}, return_when=asyncio.FIRST_COMPLETED)
            if not closing.is_set():
                self._listener.on_lost(self)
        except asyncio.CancelledError as error:
            self._listener.on_cancelled(error)
            raise
        finally:
            wait_closing.cancel()
            wait_gone.cancel()
            if closing.is_set():
                self._listener.on_closing(self)
            protocol.lost()
            timer.close()
            self._socket = None
            self._checkpoints.forget()
            await connection.close()

    def _carry_out(self, step: AgentStep, gone: asyncio.Event) -> None:
        for message in step.send:
            self.post(message)
        for event in step.events:
            self._listener.on_message(self, event)
        if (unread := step.unread) is not None:
            log = logger.bind(call_id=unread.call_id)
            log.error("a message of the gateway ({}) cannot be read: {}", unread.kind, unread.detail)
        if step.close is not None:
            self.orderly = step.orderly
            level = "INFO" if step.orderly else "WARNING"
            logger.log(level, "closing the connection to the gateway: {}", step.close)
            if step.refused:
                self.refused = step.close
            if self._socket is not None:
                self._socket.finish(reason=step.close[:100])
            gone.set()


def _numeric(address: tuple[str, int]) -> str:
    """Return the IP address of a socket's, with its scope if it is of one link."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
