"""One agent's signaling connection: a thin shell between the socket, its protocol, and the switchboard."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from loguru import logger
from websockets.frames import CloseCode

from piopiy_pipeline.gateway.agents.tcp_state import unconfirmed_bytes
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.gateway_protocol import GatewayProtocol, GatewayStep
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES, Blocked, GatewayMessage, Register
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer
from piopiy_pipeline.signaling.unread_messages import UnreadMessage, legible
from piopiy_pipeline.signaling.websocket import TEXT_LIMIT_BYTES, DirectServerConnection

__all__ = ["AgentConnection"]

MOST_OFFERS = 100
"""So many offers with the longest checkpoints may wait for an agent: of the calls of another one that was lost."""
MOST_READ_BYTES = 16 << 20
"""A message of up to so many bytes is read, although it is not taken: it is the harm of the call that it names. A
longer one ends the connection, because nothing that follows on it can be read before it has come."""
ONE_HEARTBEAT_BYTES = 80
"""A heartbeat with its frame, and with that of TLS."""
REGISTER_S = 5.0
"""How long an agent may take from the connection to `Register`."""


class AgentConnection:
    """One connection on ``/agent``, which is the `AgentLink` of an instance.

    Args:
        connection: The WebSocket.
        switchboard: Learns of the agent and of what it says.
        agent_ids: The agents that the connection's token is good for.
        heartbeat_s: How often the agent is asked for a sign of life, in seconds.
        roaming: Whether it is at home at another gateway, and was summoned for a call.
        registers: Whether it may register; a watchdog does not.
    """

    def __init__(
        self,
        connection: DirectServerConnection,
        switchboard: Switchboard,
        *,
        agent_ids: Collection[str],
        heartbeat_s: float,
        roaming: bool = False,
        registers: bool = True,
    ) -> None:
        self._connection = connection
        self._switchboard = switchboard
        self._roaming = roaming
        self._registers = registers
        self._loop = asyncio.get_running_loop()
        self._instance: Instance | None = None
        self._why_closed = "the connection closed"
        self._protocol = GatewayProtocol(
            agent_ids=agent_ids, now=self._loop.time(), heartbeat_s=heartbeat_s, register_s=REGISTER_S
        )
        self._timer = ProtocolTimer(self._loop, wake_at=lambda: self._protocol.wake_at, tick=self._on_timer)
        self._timer.arm()
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    # ------------------------------------------------------------------ the switchboard's side

    def send(self, message: GatewayMessage) -> None:
        try:
            text = legible(message)
        except ValueError as error:
            unread = UnreadMessage(getattr(message, "call_id", ""), message.type, str(error))
            # later, because the call is in the midst of sending it
            self._loop.call_soon(self._switchboard.not_sent, unread, self._loop.time())
        else:
            self._connection.post_text(text)

    def replace(self) -> None:
        self._instance = None  # the switchboard knows already
        self._carry_out(
            self._protocol.fault("duplicate_instance", "another connection registered as this instance")
        )

    def shutdown(self) -> None:
        self._carry_out(self._protocol.fault("shutdown", "the gateway is shutting down"), orderly=True)

    # ------------------------------------------------------------------ the socket's side

    def _on_text(self, text: bytes) -> None:
        self._carry_out(self._protocol.receive(text, self._loop.time()))
        self._timer.arm()

    def _on_binary(self, _: bytes) -> None:
        self._carry_out(self._protocol.receive_binary())

    def _on_close(self) -> None:
        self._protocol.lost()
        self._lose()

    def _on_timer(self, now: float) -> None:
        self._carry_out(self._protocol.tick(now))

    def _carry_out(self, step: GatewayStep, *, orderly: bool = False) -> None:
        for message in step.send:
            self.send(message)
        for event in step.events:
            now = self._loop.time()
            if isinstance(event, Register) and not self._registers:
                self._carry_out(
                    self._protocol.fault("protocol", "the connection of a watchdog does not register")
                )
                return
            if isinstance(event, Register):
                # it may take over as many calls at once, each with its checkpoint
                offers_bytes = min(event.capacity, MOST_OFFERS) * MAX_MESSAGE_BYTES
                self._connection.read_up_to(MOST_READ_BYTES)
                self._connection.text_limit_bytes = TEXT_LIMIT_BYTES + offers_bytes
                self._instance = self._switchboard.register(event, self, now, roaming=self._roaming)
            elif isinstance(event, Blocked):
                self._switchboard.silences.blocked(event, now)
                self._switchboard.resources.summoner.pass_on(event.agent_id, event)
            elif self._instance is not None:
                self._switchboard.receive(self._instance, event, now)
        if step.unread is not None and self._instance is not None:
            self._switchboard.unread(self._instance, step.unread, self._loop.time())
        if step.silent is not None and self._instance is not None:
            why = f"{step.silent}{self._whose_silence()}"
            self._switchboard.silences.silent(self._instance, why, self._loop.time())
        if step.close is not None:
            self._why_closed = step.close
            registration = self._protocol.registration
            who = f"agent {registration.agent_id}" if registration else "an agent that had not registered"
            logger.log("INFO" if orderly else "WARNING", "{}: connection closed: {}", who, step.close)
            self._connection.finish(CloseCode.POLICY_VIOLATION, step.close)
            self._lose()

    def _whose_silence(self) -> str:
        """Say what is known of the way to the agent. Four heartbeats were sent to it meanwhile, of which the latest may
        be on its way. Who confirms them is the next system on that way: the agent's, or that of a proxy before it.
        """
        unconfirmed = unconfirmed_bytes(self._connection.transport.get_extra_info("socket"))
        if unconfirmed is None:
            return ""
        return (
            ", and the network to it stands"
            if unconfirmed > ONE_HEARTBEAT_BYTES
            else ", though what it is sent is confirmed: it hangs, or is cut off behind a proxy"
        )

    def _lose(self) -> None:
        self._timer.close()
        instance, self._instance = self._instance, None
        if instance is not None:
            self._switchboard.lose(instance, self._loop.time(), self._why_closed)
