"""The messages between gateway and agent over signaling, as models that forbid unknown keys.

Signaling is one WebSocket per agent (``/agent``), JSON in text messages: `AgentMessage` goes to the gateway,
`GatewayMessage` to the agent. The events of a call's media stream are in `media_events`, heartbeats in `liveness`,
what an agent says of its instances in `instance_messages`, what lets it serve other gateways in `roaming`; all can be
imported from here as well: gateway and agent share one protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from piopiy_pipeline.call import CallInfo, CallKind, EndReason, TransferOutcomeName
from piopiy_pipeline.signaling.instance_messages import (
    PROTOCOL_VERSION,
    InstanceDied,
    Load,
    Positive,
    Register,
    Registered,
    Status,
    TakenCalls,
)
from piopiy_pipeline.signaling.json_messages import Message, ProtocolError, dump, parser, without_none
from piopiy_pipeline.signaling.liveness import Blocked, Heartbeat
from piopiy_pipeline.signaling.media_events import (
    AgentMediaEvent,
    CalmPieces,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    Held,
    Hold,
    MediaStart,
    MediaStop,
    Played,
    Resume,
    parse_agent_media,
    parse_gateway_media,
)
from piopiy_pipeline.signaling.moves import Move
from piopiy_pipeline.signaling.roaming import Roam, Roaming, RoamRefused, RoamResult

__all__ = [
    "MAX_MESSAGE_BYTES",
    "PROTOCOL_VERSION",
    "Accept",
    "AgentMediaEvent",
    "AgentMessage",
    "Answer",
    "Blocked",
    "CalmPieces",
    "Cancel",
    "Checkpoint",
    "CheckpointKept",
    "Clear",
    "Cleared",
    "Confirm",
    "Control",
    "ConversationEvent",
    "ConversationEventName",
    "DataMessage",
    "Dtmf",
    "Ended",
    "GatewayMediaEvent",
    "GatewayMessage",
    "Hangup",
    "Heartbeat",
    "Held",
    "Hold",
    "InstanceDied",
    "Load",
    "MediaStart",
    "MediaStop",
    "Message",
    "Move",
    "Offer",
    "Ping",
    "Played",
    "Pong",
    "ProtocolError",
    "ProtocolFault",
    "Register",
    "Registered",
    "Reject",
    "Resume",
    "Roam",
    "RoamRefused",
    "RoamResult",
    "Roaming",
    "Status",
    "Switchable",
    "TakenCalls",
    "Transfer",
    "TransferResult",
    "dump",
    "parse_agent_media",
    "parse_agent_message",
    "parse_gateway_media",
    "parse_gateway_message",
]

MAX_MESSAGE_BYTES = 1 << 20
"""The largest signaling message that either side takes: a checkpoint of a long conversation fits."""

ConversationEventName = Literal[
    "user_partial",
    "user_turn",
    "user_backchannel",
    "bot_partial",
    "bot_turn",
    "barge_in",
    "tool",
    "tool_result",
    "latency",
    "eager_dropped",
    "error",
    "collection",
    "transfer",
    "usage",
    "flow",
    "hand_off",
    "summary",
    "language",
]
"""What can happen in a conversation: see `ConversationEvent`."""
CallId = Annotated[str, Field(min_length=1, max_length=64)]


# ------------------------------------------------------------------ agent -> gateway


class Accept(Message):
    """Says that the media stream is open: the agent takes the call if the gateway confirms."""

    type: Literal["accept"] = "accept"
    call_id: CallId
    offer_id: str


class Reject(Message):
    """Says that the agent does not take the call, which goes to the next instance."""

    type: Literal["reject"] = "reject"
    call_id: CallId
    offer_id: str
    reason: Literal["full", "draining", "error"]
    detail: str = ""


class Answer(Message):
    """Says that the pipeline can hear and speak, so the caller is to be answered."""

    type: Literal["answer"] = "answer"
    call_id: CallId


class Checkpoint(Message):
    """The state that another instance would need to continue this call: small, JSON, sent at each turn's end, before a
    tool runs and when it has returned.

    A gateway that confirms checkpoints (`confirms_checkpoints`) answers one with a number with `CheckpointKept`.
    """

    type: Literal["checkpoint"] = "checkpoint"
    call_id: CallId
    state: dict[str, Any]
    number: Annotated[int, Field(ge=0)] | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_none(serialize(self), "number")


class ConversationEvent(Message):
    """An event of the conversation, for whoever watches the call.

    `at` is in seconds since the call was answered. `event` is one of

    * ``user_partial`` (text): what the recogniser makes of the caller's turn so far; the next one replaces
    it;
    * ``user_turn`` (text, turn_wait_s, turn_reason): the caller's turn as it went into the context; the silence after
    which it was over, and why so long, where the agent knows;
    * ``user_backchannel`` (text): what the caller said to show that they listen, while the bot spoke on;
    * ``bot_partial`` (text): what was heard of the bot's turn so far; the next one replaces it;
    * ``bot_turn`` (text, interrupted): the bot's turn, as far as it was heard;
    * ``barge_in`` (verdict, reason, held_s): what became of a sound over the bot's speech, which was held
      meanwhile: ``interrupt`` or ``resume``;
    * ``tool`` (number, name, arguments) and ``tool_result`` (number, name, result): `number` joins the two;
    * ``latency`` (silence_s, stt_s, turn_s, llm_s, tts_s, playout_s, total_s): where the time of an answer
      went, sent when its first sample was played; the parts sum to the total;
    * ``eager_dropped`` (reason, wasted): an answer that was begun ahead is dropped, the `wasted`th of the call;
    * ``error`` (stage, message): something of the call went wrong; docs/protocol.md lists the stages;
    * ``collection`` (name, kind, outcome, attempts, how, value): the bot's code asks for a value (``begun``), has it
      (``collected``), or does not get it. The gateway makes it of keys that its own prompts collect (with
      request_id; with length and no value, if one receiver alone is told the keys);
    * ``transfer`` (request_id, to, warm, outcome, detail): what became of a `Transfer`. The gateway makes it;
    * ``usage`` (service, provider, model, and requests, input_tokens, output_tokens, cached_tokens; or seconds; or
      characters): what a model, an STT or a voice was given, and has written, since the last one: they are to be added;
    * ``flow`` (node, before, function): a node of the call's flow is entered, from which one, and by which function;
    * ``hand_off`` (agent, before, context): another persona speaks now, and who did before; empty for the first one;
    * ``language`` (language, before, how): the caller speaks another language, and the call goes on in it;
    * ``summary`` (messages, tokens_before, tokens_after): a summary stands for so many messages of the conversation.

    Partial ones come a few times a second at most, and are not kept on the record. An agent sends
    ``user_backchannel``, ``barge_in`` and ``eager_dropped`` to gateways that can hold speech, ``usage`` to those that
    count it, ``flow``, ``hand_off``, ``collection``, ``summary`` and ``language`` to those that take steps.
    """

    type: Literal["event"] = "event"
    call_id: CallId
    at: float
    event: ConversationEventName
    data: dict[str, Any] = Field(default_factory=dict)


class Hangup(Message):
    """Ends the call at once. The agent has waited until the caller heard what they were to hear."""

    type: Literal["hangup"] = "hangup"
    call_id: CallId
    reason: EndReason
    detail: str = ""


class Transfer(Message):
    """Hand the caller to `to`: a number, a SIP URI, or a name that the gateway's configuration knows.

    *warm*: it rings there while the caller goes on talking to the bot; when it is answered the two
    are joined, and the agent's call ends with ``transferred``. *cold* (a blind transfer): the bot
    leaves at once. `TransferResult` answers either way, unless the call is over before. One at a
    time per call. `summary` is what whoever answers is to know.
    """

    type: Literal["transfer"] = "transfer"
    call_id: CallId
    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    to: Annotated[str, Field(min_length=1, max_length=256)]
    warm: bool = True
    summary: Annotated[str, Field(max_length=2000)] = ""
    ring_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30


Switchable = Literal["hold", "mute", "record", "clean_sound"]
"""What of a call can be switched on and off."""


class Control(Message):
    """Switch something of the call on or off.

    ``hold``: neither side hears the other, the caller hears the gateway's hold sound; ``mute``: the
    bot does not hear the caller; ``record``: the call is written to disk at the gateway; ``clean_sound``: noise and the
    echo of the bot are taken out of what the caller says.

    The gateway sends its agent every ``hold`` in turn, whoever asked for it: the bot's speech waits then,
    and neither side counts as idle.
    """

    type: Literal["control"] = "control"
    call_id: CallId
    what: Switchable
    on: bool


class Ping(Message):
    """Asks whether the other side is there. Either side may send it; the other answers with the same number."""

    type: Literal["ping"] = "ping"
    n: int


class Pong(Message):
    """The answer to a `Ping`, with the same number."""

    type: Literal["pong"] = "pong"
    n: int


# ------------------------------------------------------------------ gateway -> agent


class Offer(Message):
    """A call for this instance, to be accepted within `deadline_ms`.

    The media stream is at `media_path` of the same host, opened with the bearer token
    `media_token`, which works once. `caller_rate` is the caller's sample rate in Hz.
    `checkpoint` is the state of the call when another instance lost it, and `heard` what the caller has heard of the
    turn that its bot was speaking. Agents that send no heartbeats are not sent `heard`.
    """

    type: Literal["offer"] = "offer"
    call_id: CallId
    offer_id: str
    agent_id: str
    from_number: str | None
    to_number: str | None
    metadata: dict[str, Any] | str | None
    kind: CallKind
    caller_rate: Positive
    deadline_ms: Positive
    setup_s: Annotated[float, Field(gt=0)]
    media_path: str
    media_token: str
    checkpoint: dict[str, Any] | None = None
    heard: str | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_none(serialize(self), "heard")

    def info(self) -> CallInfo:
        """Return who calls whom, as the agent's side holds it: with metadata that is a dict, or None.

        Metadata that came as text is parsed. Text that is not JSON, and JSON that is not an object,
        becomes ``{"value": ...}``; empty text becomes None.
        """
        return CallInfo(
            agent_id=self.agent_id,
            call_id=self.call_id,
            from_number=self.from_number,
            to_number=self.to_number,
            metadata=_parsed_metadata(self.metadata),
            kind=self.kind,
        )


def _parsed_metadata(metadata: dict[str, Any] | str | None) -> dict[str, Any] | None:
    if metadata is None or isinstance(metadata, dict):
        return metadata
    if not metadata.strip():
        return None
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError):  # the latter of text that nests without end
        return {"value": metadata}
    return value if isinstance(value, dict) or value is None else {"value": value}


class Confirm(Message):
    """Says that the accept came in time: the call is this instance's, and the callback may run."""

    type: Literal["confirm"] = "confirm"
    call_id: CallId
    offer_id: str


class Cancel(Message):
    """Withdraws the offer: its deadline passed, or the caller is lost. It also answers a late accept."""

    type: Literal["cancel"] = "cancel"
    call_id: CallId
    offer_id: str
    detail: str = ""


class Ended(Message):
    """Says that the call is over for a reason that did not come from this agent."""

    type: Literal["ended"] = "ended"
    call_id: CallId
    reason: EndReason
    detail: str = ""


class CheckpointKept(Message):
    """Says that the gateway has the `Checkpoint` with this number: another instance would go on from there."""

    type: Literal["checkpoint_kept"] = "checkpoint_kept"
    call_id: CallId
    number: int


class TransferResult(Message):
    """The outcome of a `Transfer`.

    ``bridged``: the caller talks to them. Otherwise the caller is still with the bot, and `detail` says
    in a sentence why: ``no_answer``, ``busy``, ``declined``, ``unreachable``, ``refused`` (not allowed, or
    another one is under way), ``failed``.
    """

    type: Literal["transfer_result"] = "transfer_result"
    call_id: CallId
    request_id: str
    to: str = ""
    outcome: TransferOutcomeName
    detail: str = ""


class ProtocolFault(Message):
    """Says what the other side did that ends the connection. Only the close follows it."""

    type: Literal["fault"] = "fault"
    code: Literal["protocol", "unknown_agent", "duplicate_instance", "version", "shutdown"]
    detail: str


AgentMessage = Annotated[
    Register
    | Status
    | Accept
    | Reject
    | Answer
    | Checkpoint
    | ConversationEvent
    | Hangup
    | Move
    | Transfer
    | Control
    | Heartbeat
    | Blocked
    | InstanceDied
    | Roaming
    | RoamResult
    | Ping
    | Pong
    | ProtocolFault,
    Field(discriminator="type"),
]
GatewayMessage = Annotated[
    Registered
    | Offer
    | Confirm
    | Cancel
    | Ended
    | CheckpointKept
    | Control
    | TransferResult
    | Roam
    | RoamRefused
    | Heartbeat
    | Ping
    | Pong
    | ProtocolFault,
    Field(discriminator="type"),
]


parse_agent_message: Callable[[str | bytes], AgentMessage] = parser(AgentMessage)
"""A signaling message of an agent. Raises `ProtocolError`."""
parse_gateway_message: Callable[[str | bytes], GatewayMessage] = parser(GatewayMessage)
"""A signaling message of a gateway. Raises `ProtocolError`."""
