"""The values that every floor shares: what a call is, how it ended, what was said.

This is the ground floor: it imports nothing of ours, and nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = ["CallEnd", "CallInfo", "CallKind", "EndReason", "ToolUse", "TransferOutcomeName", "Turn"]

CallKind = Literal["phone", "browser", "stream", "recorded"]
"""Where the caller sits. ``stream`` is a caller over a WebSocket (``piopiy call``), ``recorded`` a recording."""

TransferOutcomeName = Literal["bridged", "no_answer", "busy", "declined", "unreachable", "refused", "failed"]
"""What became of a transfer, on the wire and in Python. The one list for the agent and the gateway."""


class EndReason(StrEnum):
    """Why a call ended. One list for the agent, the gateway, the records and the wire."""

    CALLER_HANGUP = "caller_hangup"
    """The caller hung up, or the caller's connection was lost."""
    AGENT_HANGUP = "agent_hangup"
    """The bot hung up: `hangup()`, or its callback's pipeline ended by itself."""
    TRANSFERRED = "transferred"
    """The call was handed to somebody else."""
    IDLE_TIMEOUT = "idle_timeout"
    """Neither side spoke for the bot's idle timeout."""
    MAX_DURATION = "max_duration"
    """The gateway's limit on the length of a call was reached."""
    ERROR = "error"
    """The bot failed: its callback raised, returned without starting, or a provider failed twice."""
    AGENT_LOST = "agent_lost"
    """The agent's process or connection went away in mid-call, and no other took over."""
    NO_AGENT = "no_agent"
    """No instance of the agent is connected."""
    BUSY = "busy"
    """Instances are connected, and every one refused the call or let the offer expire."""
    SETUP_TIMEOUT = "setup_timeout"
    """The agent accepted, and was not ready to speak within the gateway's ``setup_s``."""
    NO_ANSWER = "no_answer"
    """A call that the gateway dialled rang, and nobody picked up."""
    CALLEE_BUSY = "callee_busy"
    """A call that the gateway dialled was turned down, or the line was in use."""
    UNREACHABLE = "unreachable"
    """A call that the gateway dialled could not be put through."""
    SHUTDOWN = "shutdown"
    """The gateway or the agent was shut down."""
    GATEWAY_LOST = "gateway_lost"
    """The gateway died in mid-call: written by the next one, on the records that it left open."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom. A value, the same on every floor.

    `agent_id` is the agent that receives the call, `call_id` a UUID, `from_number` the caller,
    `to_number` what was dialled, `metadata` the custom context that came with the call.
    """

    agent_id: str
    call_id: str
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] | None = None
    kind: CallKind = "stream"


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: the reason, a sentence for people, and its length in seconds since the answer."""

    reason: EndReason
    detail: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool by the model: its arguments, and its result once there is one."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    result: Any = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation.

    `text` of a bot's turn is what the caller heard, which after an interruption is less than what
    the bot meant to say. `at_s` is in seconds since the call was answered.
    """

    role: Literal["user", "bot"]
    text: str
    at_s: float
    interrupted: bool = False
