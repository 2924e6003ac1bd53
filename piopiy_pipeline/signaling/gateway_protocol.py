"""The gateway's side of one agent's signaling connection, as a state machine without I/O.

It checks what an agent may say when, answers pings, sends pings, notices an agent that has gone silent, and passes
on the messages about calls. It knows no calls: that is the switchboard's part. The agent's side is in
`agent_protocol`.

Bytes and the time (in seconds of one clock) go in; a `GatewayStep` comes out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from piopiy_pipeline.signaling.call_rates import CallRates
from piopiy_pipeline.signaling.failure_detector import FailureDetector
from piopiy_pipeline.signaling.json_messages import ProtocolError
from piopiy_pipeline.signaling.liveness import HEARTBEAT_S
from piopiy_pipeline.signaling.messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    AgentMessage,
    Blocked,
    GatewayMessage,
    Heartbeat,
    Ping,
    Pong,
    ProtocolFault,
    Register,
    Registered,
    parse_agent_message,
)
from piopiy_pipeline.signaling.unread_messages import UnreadMessage, call_id_of, unread_of
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["GatewayProtocol", "GatewayState", "GatewayStep"]

FaultCode = Literal["protocol", "unknown_agent", "duplicate_instance", "version", "shutdown"]


class GatewayState(Enum):
    """How far the connection with an agent has come."""

    NEW = auto()
    """The agent has yet to send `Register`."""
    REGISTERED = auto()
    """The agent gets calls."""
    WATCHDOG = auto()
    """It is no agent's connection, but that of an agent's watchdog, which sends `Blocked` and nothing else."""
    CLOSED = auto()
    """Nothing is sent or heard any more."""


@dataclass(frozen=True, slots=True)
class GatewayStep:
    """What one input to the protocol causes: messages to send, and messages of the agent to handle."""

    send: tuple[GatewayMessage, ...] = ()
    """The messages to send, in order."""
    events: tuple[AgentMessage, ...] = ()
    """The messages that are for the switchboard."""
    unread: UnreadMessage | None = None
    """Set when a message of one call cannot be read: only that call can be the worse for it."""
    close: str | None = None
    """Why the connection must be closed once `send` has gone out; None if it stays open."""
    silent: str | None = None
    """Set when the agent has gone silent: a sentence. Its next heartbeat says that it is back."""


_NOTHING = GatewayStep()
_HEARTBEAT = Heartbeat()
_OF_ITS_COURSE = frozenset({"accept", "reject", "answer", "hangup"})
_HEARTBEAT_BEGINS = b'{"type":"heartbeat"'


class GatewayProtocol:
    """The gateway's side of one agent's connection.

    Every `heartbeat_s` the agent is sent a ping, which any message answers; when three have gone
    unanswered, the agent counts as lost. An agent that sends heartbeats, which an older one does not, is sent some too,
    and is known to be silent within two seconds. More messages than an agent of its capacity needs are a fault; but
    those of one call beyond its share are laid to that call, as what cannot be read is.

    Args:
        agent_ids: The agents that the presented token is good for.
        now: The time in seconds.
        heartbeat_s: Seconds between two pings.
        register_s: How long the agent may take to register.
    """

    MESSAGES_PER_S = CallRates.PER_S
    """Allowed for the connection, and once more for each call of the agent's capacity."""
    HEARTBEATS_PER_S = 100
    """Allowed beside the others: those of half a minute, which a network that stood delivers at once, are no fault."""
    _MISSED = 3

    def __init__(
        self, *, agent_ids: Collection[str], now: float, heartbeat_s: float = 10.0, register_s: float = 5.0
    ) -> None:
        self.state = GatewayState.NEW
        self.registration: Register | None = None
        """What the agent said of itself, once it did."""
        self._agent_ids = agent_ids
        self._heartbeat_s = heartbeat_s
        self._register_s = register_s
        self._unanswered = 0  # pings since the last sign of life
        self._ping_at = now + register_s
        self._pings = 0
        self._detector: FailureDetector | None = None  # from the agent's first heartbeat on
        self._heartbeat_at = now
        self._rate = TokenBucket(self.MESSAGES_PER_S, now)
        self._calls = CallRates(0)
        self._heartbeats = TokenBucket(self.HEARTBEATS_PER_S, now)

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None after the end."""
        if self.state is GatewayState.CLOSED:
            return None
        if self._detector is None:
            return self._ping_at
        at = min(self._ping_at, self._heartbeat_at)
        silent_at = self._detector.wake_at
        return at if silent_at is None else min(at, silent_at)

    def receive(self, text: bytes, now: float) -> GatewayStep:
        """Take a text message of the agent, as UTF-8."""
        if self.state is GatewayState.CLOSED:
            return _NOTHING
        self._unanswered = 0
        if self._detector is not None:
            self._detector.sign_of_life(now)
        is_heartbeat = text.startswith(_HEARTBEAT_BEGINS)
        if not is_heartbeat and (beyond := self._beyond_share(text, now)) is not None:
            return beyond
        rate = self._heartbeats if is_heartbeat else self._rate
        if not rate.take(now):
            return self.fault("protocol", f"more than {rate.per_s:g} messages a second")
        if len(text) > MAX_MESSAGE_BYTES:
            return self._unread(text, f"a message of {len(text)} bytes: {MAX_MESSAGE_BYTES} are the limit")
        try:
            message = parse_agent_message(text)
        except ProtocolError as error:
            return self._unread(text, str(error))
        if isinstance(message, Blocked):
            return self._blocked(message, now)
        if self.state is not GatewayState.REGISTERED:
            return self._register(message, now)
        match message:
            case Heartbeat():
                self._heartbeat(now)
                return GatewayStep(events=(message,))
            case Register():
                return self.fault("protocol", "register: this connection is registered already")
            case Ping(n=n):
                return GatewayStep(send=(Pong(n=n),))
            case Pong():
                return _NOTHING
            case ProtocolFault(detail=detail):
                return self._close(f"the agent reports a fault: {detail}")
            case _:
                return GatewayStep(events=(message,))

    def receive_binary(self) -> GatewayStep:
        """Handle a binary message, which is a fault, because signaling is JSON text."""
        return self.fault("protocol", "a binary message: signaling is JSON text")

    def tick(self, now: float) -> GatewayStep:
        """Act on the deadlines that have passed. Call it at the time `wake_at`."""
        if self.state is GatewayState.CLOSED:
            return _NOTHING
        send: list[GatewayMessage] = []
        silent = None
        if self._detector is not None:
            if now >= self._heartbeat_at:
                self._heartbeat_at = now + HEARTBEAT_S
                send.append(_HEARTBEAT)
            limit_s = self._detector.limit_s
            if self._detector.tick(now):
                silent = f"nothing was heard of it for {limit_s:.1f} s"
        if now >= self._ping_at:
            if self.state is GatewayState.NEW:
                return self.fault("protocol", f"no register within {self._register_s:g} s")
            if self.state is GatewayState.WATCHDOG:
                return self._close("the watchdog has nothing more to say")
            if self._unanswered == self._MISSED:
                return self._close(
                    f"no sign of life after {self._MISSED} pings, {self._heartbeat_s:g} s apart"
                )
            self._ping_at = now + self._heartbeat_s
            self._pings += 1
            self._unanswered += 1
            send.append(Ping(n=self._pings))
        return GatewayStep(send=tuple(send), silent=silent)

    def fault(self, code: FaultCode, detail: str) -> GatewayStep:
        """End the connection, and send the agent the reason."""
        if self.state is GatewayState.CLOSED:
            return _NOTHING
        return self._close(detail, ProtocolFault(code=code, detail=detail))

    def lost(self) -> None:
        """Close the protocol, because the connection was lost."""
        self.state = GatewayState.CLOSED

    def _beyond_share(self, text: bytes, now: float) -> GatewayStep | None:
        """Lay a message of a call that sends too many to that call. Returns None if this is none."""
        call_id = call_id_of(text) if self.state is GatewayState.REGISTERED else None
        if call_id is None:
            return None
        verdict = self._calls.take(call_id, now)
        if verdict == "taken":
            return None
        if verdict == "over":
            beyond = unread_of(text, f"more than {CallRates.PER_S} messages a second")
            # How the call goes on or ends is not left out because its code has reported too much.
            return None if beyond is None or beyond.kind in _OF_ITS_COURSE else GatewayStep(unread=beyond)
        detail = f"more than {CallRates.FLOOD_PER_S} messages a second of one call"
        if verdict == "endless":
            return self.fault("protocol", f"{detail}, which has ended")
        return GatewayStep(unread=UnreadMessage(call_id, "", detail))

    def _unread(self, text: bytes, detail: str) -> GatewayStep:
        """Lay a message that cannot be read to its call; one of no call ends the connection."""
        unread = unread_of(text, detail) if self.state is GatewayState.REGISTERED else None
        return self.fault("protocol", detail) if unread is None else GatewayStep(unread=unread)

    def _heartbeat(self, now: float) -> None:
        if self._detector is None:
            self._detector = FailureDetector(now)
            self._heartbeat_at = now
        else:
            self._detector.heartbeat(now)

    def _blocked(self, message: Blocked, now: float) -> GatewayStep:
        if self.state is GatewayState.REGISTERED:
            return self.fault("protocol", "blocked: a watchdog says this on a connection of its own")
        if message.agent_id not in self._agent_ids:
            return self.fault("unknown_agent", f"this token is not that of agent {message.agent_id!r}")
        self.state = GatewayState.WATCHDOG
        self._ping_at = now + self._register_s
        return GatewayStep(events=(message,))

    def _register(self, message: AgentMessage, now: float) -> GatewayStep:
        if self.state is GatewayState.WATCHDOG:
            return self.fault("protocol", f"{message.type}: a watchdog says nothing but blocked")
        if isinstance(message, ProtocolFault):
            return self._close(f"the agent reports a fault: {message.detail}")
        if not isinstance(message, Register):
            return self.fault("protocol", f"{message.type} before register: register first")
        if message.protocol != PROTOCOL_VERSION:
            return self.fault(
                "version",
                f"this gateway speaks protocol {PROTOCOL_VERSION}, the agent {message.protocol}: "
                f"update the older of the two",
            )
        if message.agent_id not in self._agent_ids:
            return self.fault("unknown_agent", f"this token is not that of agent {message.agent_id!r}")
        self.state = GatewayState.REGISTERED
        self.registration = message
        self._ping_at = now + self._heartbeat_s
        capacity = min(message.capacity, 1000)
        self._rate = TokenBucket(self.MESSAGES_PER_S * (1 + capacity), now)
        self._calls = CallRates(capacity)
        return GatewayStep(send=(Registered(heartbeat_s=self._heartbeat_s),), events=(message,))

    def _close(self, why: str, *last: GatewayMessage) -> GatewayStep:
        self.state = GatewayState.CLOSED
        return GatewayStep(send=last, close=why)
