"""The values that every package shares: who calls whom, how a call ended, what was said.

Texts in these values are well formed: they can be encoded in UTF-8, whatever a caller's name, a model or a
provider's error had in it. This module is at the bottom, and imports nothing of the other floors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from piopiy_pipeline.text import well_formed, well_formed_json

__all__ = [
    "CallEnd",
    "CallInfo",
    "CallKind",
    "ContextSummary",
    "EndReason",
    "ToolUse",
    "TransferOutcomeName",
    "Turn",
    "ended_well",
]

CallKind = Literal["phone", "browser", "stream", "recorded", "text"]
"""How the caller is connected. ``stream`` is a WebSocket (``piopiy call``), ``recorded`` is a recording. ``text`` is a
chat: nobody speaks, the caller types and reads."""

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
    """The agent accepted, and was not ready to speak within the gateway's ``setup_s``, or within what Piopiy's cloud
    gives."""
    NO_ANSWER = "no_answer"
    """A call that the gateway dialled rang, and nobody picked up."""
    CALLEE_BUSY = "callee_busy"
    """A call that the gateway dialled was turned down, or the line was in use."""
    UNREACHABLE = "unreachable"
    """A call that the gateway dialled could not be put through."""
    SHUTDOWN = "shutdown"
    """The gateway or the agent was shut down."""
    DRAINED = "drained"
    """The agent was shut down, and the bot has said goodbye when the call had not ended within the grace."""
    GATEWAY_LOST = "gateway_lost"
    """The gateway died in mid-call: written by the next one, on the records that it left open."""
    MOVED = "moved"
    """The call goes on with another instance of the agent. The one that had it learns this; no call ends so."""


_WELL = frozenset({EndReason.CALLER_HANGUP, EndReason.AGENT_HANGUP, EndReason.TRANSFERRED})


def ended_well(reason: EndReason) -> bool:
    """Return whether a call that ended so was ended by one of its two sides, or the bot handed the caller over.

    Every other reason is a call that nobody ended: also the idle timeout, the longest duration and the end of a bot
    that is shut down. A test that waits for an answer in vain ends with the first of these.
    """
    return reason in _WELL


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Who calls whom.

    Attributes:
        agent_id: The agent that receives the call.
        call_id: The call's id, a UUID.
        from_number: The caller, if known.
        to_number: What was dialled, if known.
        metadata: The custom context that came with the call, from the client or from the API.
        kind: How the caller is connected.
    """

    agent_id: str
    call_id: str
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] | None = None
    kind: CallKind = "stream"

    def __post_init__(self) -> None:
        for name in ("from_number", "to_number", "metadata"):
            object.__setattr__(self, name, well_formed_json(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended.

    Attributes:
        reason: Why it ended.
        detail: The same in a sentence for people. May be empty.
        duration_s: Its length since the answer, in seconds; 0 if it was not answered.
    """

    reason: EndReason
    detail: str = ""
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", well_formed(self.detail))


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One use of a tool by the model. Two are equal if name, arguments and result are.

    Attributes:
        name: The tool's name.
        arguments: What the model gave it.
        result: What it returned, which may be None; None as long as it runs.
        number: Which use of a tool in the call it is, from 1: it joins a use to its result. 0: not known.
        returned: Whether this tells the result. A tool that tells of its progress returns more than once.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    number: int = field(default=0, compare=False)
    returned: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A node of a flow is entered.

    Attributes:
        node: The node's name.
        before: The node that the call was in; empty at the first one.
        function: The function that the model has called to come here; empty where an author's code has set the node.
    """

    node: str
    before: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True)
class HandOff:
    """Another persona has the call.

    Attributes:
        agent: Who has it now; empty for the one that it began with.
        before: Who had it before.
        context: What of the conversation they know: ``keep``, ``summary`` or ``fresh``.
    """

    agent: str
    before: str = ""
    context: str = "keep"


@dataclass(frozen=True, slots=True)
class ContextSummary:
    """A summary that has taken the place of a part of the conversation.

    Attributes:
        text: The summary.
        messages: So many messages it stands for.
        tokens_before: How long the conversation was, by an estimate.
        tokens_after: How long it is now.
    """

    text: str
    messages: int
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True)
class LanguageChange:
    """The call goes on in another language, because the caller speaks it.

    Attributes:
        language: The language, such as ``"de"``, as the author has named it.
        before: The one before.
        how: ``"reported"``: the STT has reported it. ``"words"``: by the caller's words.
    """

    language: str
    before: str
    how: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation.

    Attributes:
        role: Who spoke.
        text: What was said. In a turn of the bot, what the caller heard: after an interruption that is less
            than what the model wrote.
        at_s: When the turn was over, in seconds since the call was answered.
        interrupted: Whether the bot has said a part of it only: the caller cut it off, or its model broke off.
        backchannel: Whether the caller said it while the bot spoke on, to show that they listen ("mhm"). It is in
            the transcript, and no part of the conversation that the model sees.
        turn_wait_s: Of a turn of the caller: the silence after which it was taken for over, in seconds. None where a
            strategy of pipecat's ended it.
        turn_reason: Why so long.
    """

    role: Literal["user", "bot"]
    text: str
    at_s: float
    interrupted: bool = False
    backchannel: bool = False
    turn_wait_s: float | None = None
    turn_reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", well_formed(self.text))
