"""The agent's side of the signaling connection, as a state machine without I/O.

It registers, answers pings, notices a gateway that has gone silent, and passes on the messages about
calls. The gateway's side is in `gateway_protocol`. Every time is in seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.signaling.failure_detector import FailureDetector
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.json_messages import ProtocolError
from piopiy_pipeline.signaling.liveness import HEARTBEAT_S, MediaCount
from piopiy_pipeline.signaling.messages import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    AgentMessage,
    Ended,
    GatewayMessage,
    Heartbeat,
    Ping,
    Pong,
    ProtocolFault,
    Register,
    Registered,
    dump,
    parse_gateway_message,
)
from piopiy_pipeline.signaling.unread_messages import UnreadMessage, unread_of

__all__ = ["AgentProtocol", "AgentState", "AgentStep", "Backoff"]


class AgentState(Enum):
    """How far the connection with the gateway has come."""

    REGISTERING = auto()
    """`Register` is on its way."""
    REGISTERED = auto()
    """The gateway offers calls."""
    CLOSED = auto()
    """Nothing is sent or heard any more."""


@dataclass(frozen=True, slots=True)
class AgentStep:
    """What one input to the protocol causes: messages to send, and events for the agent."""

    send: tuple[AgentMessage, ...] = ()
    """The messages to send, in order."""
    events: tuple[GatewayMessage, ...] = ()
    """The messages that are for the agent."""
    unread: UnreadMessage | None = None
    """Set when a message of one call cannot be read: only that call can be the worse for it."""
    close: str | None = None
    """Why the connection must be closed once `send` has gone out; None if it stays open."""
    refused: bool = False
    """Whether the gateway refuses this agent, so that connecting again makes no sense."""
    orderly: bool = False
    """Whether the gateway shuts down, so that nothing is wrong with the connection."""


_NOTHING = AgentStep()
_HEARTBEAT = Heartbeat()
_HEARTBEAT_TEXT = dump(_HEARTBEAT).encode()  # four of them come each second


class AgentProtocol:
    """The agent's side of one connection.

    Something must come from the gateway within three pings, which are `Registered.heartbeat_s` apart; from one that
    takes heartbeats, within two seconds or a little more.

    Args:
        agent_id: The id of the agent; its instances share its calls.
        instance_id: The id of this instance.
        capacity: How many calls it takes at once.
        version: The version of the agent's software, for the gateway's log.
        now: The time in seconds.
        register_s: How long the gateway may take to answer the registration.
        count_media: Returns how far the media stream of each call has come. With it the agent sends heartbeats, which
            only a gateway takes that has said so.
        worker: What kind of call worker this instance is, if it is one; only for a gateway that has said that it
            knows them.
        roams: Whether it takes calls at other gateways; None for a gateway that does not ask for that.
    """

    SILENT_FLOOR_S = 1.75
    """No shorter silence of the gateway counts. It costs all calls of this agent, so it is longer than an agent's."""
    SILENT_CAP_S = 3.0
    SLACK_S = 0.05
    """A heartbeat goes out with the gateway's, so much earlier or later than it is due: one wake-up for both."""
    _MISSED = 3

    def __init__(
        self,
        *,
        agent_id: str,
        instance_id: str,
        capacity: int,
        version: str,
        now: float,
        register_s: float = 5.0,
        count_media: Callable[[], dict[str, MediaCount]] | None = None,
        worker: WorkerKind | None = None,
        roams: bool | None = None,
    ) -> None:
        self.state = AgentState.REGISTERING
        self._register = Register(
            agent_id=agent_id,
            instance_id=instance_id,
            capacity=capacity,
            version=version,
            worker=worker,
            roams=roams,
        )
        self._deadline = now + register_s
        self._silence_s = register_s
        self._count_media = count_media
        self._heartbeat_at: float | None = None  # when the next one is due, once the agent is registered
        self._detector: FailureDetector | None = None  # from the gateway's first heartbeat on

    def start(self) -> AgentStep:
        """Return what to send first, because the connection is open."""
        return AgentStep(send=(self._register,))

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None after the end."""
        if self.state is AgentState.CLOSED:
            return None
        at = self._deadline if self._heartbeat_at is None else min(self._deadline, self._heartbeat_at)
        silent_at = None if self._detector is None else self._detector.wake_at
        return at if silent_at is None else min(at, silent_at)

    def receive(self, text: bytes, now: float) -> AgentStep:
        """Take a text message of the gateway, as UTF-8."""
        if self.state is AgentState.CLOSED:
            return _NOTHING
        self._deadline = now + self._silence_s
        if self._detector is not None:
            self._detector.sign_of_life(now)
        if len(text) > MAX_MESSAGE_BYTES:
            return self._unread(text, f"a message of {len(text)} bytes: {MAX_MESSAGE_BYTES} are the limit")
        try:
            message = _HEARTBEAT if text == _HEARTBEAT_TEXT else parse_gateway_message(text)
        except ProtocolError as error:
            return self._unread(text, str(error))
        match message:
            case ProtocolFault(code=code, detail=detail):
                refused = code in ("unknown_agent", "duplicate_instance", "version")
                return self._close(f"the gateway says: {detail}", refused=refused, orderly=code == "shutdown")
            case Ping(n=n):
                return AgentStep(send=(Pong(n=n),))
            case Pong():
                return _NOTHING
            case Registered(protocol=protocol, heartbeat_s=heartbeat_s):
                if self.state is AgentState.REGISTERED:
                    return self._fault("registered: twice")
                if protocol != PROTOCOL_VERSION:
                    return self._close(
                        f"this agent speaks protocol {PROTOCOL_VERSION}, the gateway {protocol}", refused=True
                    )
                self.state = AgentState.REGISTERED
                self._silence_s = self._MISSED * heartbeat_s
                self._deadline = now + self._silence_s
                if self._count_media is None:
                    return AgentStep(events=(message,))
                return AgentStep(send=(self._heartbeat(now),), events=(message,))
            case _ if self.state is AgentState.REGISTERING:
                return self._fault(f"{message.type} before registered")
            case Heartbeat():
                if self._detector is None:
                    self._detector = FailureDetector(
                        now, floor_s=self.SILENT_FLOOR_S, cap_s=self.SILENT_CAP_S
                    )
                self._detector.heartbeat(now)
                if self._heartbeat_at is not None and now >= self._heartbeat_at - 2 * self.SLACK_S:
                    return AgentStep(send=(self._heartbeat(now),))  # one wake-up for both
                return _NOTHING
            case _:
                return AgentStep(events=(message,))

    def tick(self, now: float) -> AgentStep:
        """Act on the deadline that has passed. Call it at the time `wake_at`."""
        if self.state is AgentState.CLOSED:
            return _NOTHING
        if now >= self._deadline:
            if self.state is AgentState.REGISTERING:
                return self._close(f"the gateway did not answer the registration in {self._silence_s:g} s")
            return self._close(f"nothing was heard of the gateway for {self._silence_s:g} s")
        if self._detector is not None:
            limit_s = self._detector.limit_s
            if self._detector.tick(now):
                return self._close(f"nothing was heard of the gateway for {limit_s:.1f} s")
        if self._heartbeat_at is not None and now >= self._heartbeat_at:
            return AgentStep(send=(self._heartbeat(now),))
        return _NOTHING

    def lost(self) -> None:
        """Close the protocol, because the connection was lost."""
        self.state = AgentState.CLOSED

    def _heartbeat(self, now: float) -> Heartbeat:
        self._heartbeat_at = now + HEARTBEAT_S + self.SLACK_S
        return Heartbeat(media={} if self._count_media is None else self._count_media())

    def _unread(self, text: bytes, detail: str) -> AgentStep:
        """Lay a message that cannot be read to its call; one of no call ends the connection."""
        unread = unread_of(text, detail) if self.state is AgentState.REGISTERED else None
        if unread is None:
            return self._fault(detail)
        if unread.kind != "ended":
            return AgentStep(unread=unread)
        ended = Ended(call_id=unread.call_id, reason=EndReason.ERROR, detail="how it ended cannot be read")
        return AgentStep(events=(ended,), unread=unread)

    def _fault(self, detail: str) -> AgentStep:
        return self._close(
            f"the gateway breaks the protocol: {detail}", ProtocolFault(code="protocol", detail=detail)
        )

    def _close(
        self, why: str, *last: AgentMessage, refused: bool = False, orderly: bool = False
    ) -> AgentStep:
        self.state = AgentState.CLOSED
        return AgentStep(send=last, close=why, refused=refused, orderly=orderly)


class Backoff:
    """Decides how long to wait before the next attempt to connect: longer each time, up to `longest_s`.

    An agent takes calls within two seconds of its gateway's start, so the longest wait is short.

    Args:
        first_s: The first wait in seconds.
        longest_s: The longest wait in seconds.
        factor: How many times longer each wait is than the one before.
    """

    def __init__(self, *, first_s: float = 0.1, longest_s: float = 1.5, factor: float = 1.7) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._factor = factor
        self._next_s = first_s

    def wait(self, random: float) -> float:
        """Return the seconds to wait now: half to all of the wait that is due.

        Args:
            random: A number in [0, 1), which keeps a fleet from coming back to its gateway all at once.
        """
        wait_s = self._next_s * (0.5 + random / 2)
        self._next_s = min(self._next_s * self._factor, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """Begin again with the first wait, because a connection was made."""
        self._next_s = self._first_s
