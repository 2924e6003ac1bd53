"""Messages recorded from an earlier version are read by today's models, and written as they were then.

``published/messages.json`` holds, for every message between agent and gateway, on a media stream and of a caller over a
WebSocket: its least form, a full one, and one for each value of its enumerations ("sent"), and what the
version of commit c5a3850 wrote of it ("dumped"). It is never generated anew: a message that this test refuses
is one that agents and clients in use can no longer send. New keys with a default may be added.

The other way round, what today's models have beside the recorded ones is named here, with what keeps it from a peer of
that version. Whoever adds a message, a key or a value to the protocol says here why an older peer never gets it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from piopiy_pipeline.signaling.caller import CallerEvent, LegEvent, parse_caller_event, parse_leg_event
from piopiy_pipeline.signaling.liveness import NEWER, SIGNALING_FEATURES
from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    AgentMessage,
    GatewayMediaEvent,
    GatewayMessage,
    dump,
    parse_agent_media,
    parse_agent_message,
    parse_gateway_media,
    parse_gateway_message,
)

RECORDED = json.loads((Path(__file__).parent / "published" / "messages.json").read_text())
PARSERS: dict[str, Callable[[str], Any]] = {
    "agent_message": parse_agent_message,
    "gateway_message": parse_gateway_message,
    "agent_media": parse_agent_media,
    "gateway_media": parse_gateway_media,
    "caller_event": parse_caller_event,
    "leg_event": parse_leg_event,
}


@pytest.mark.parametrize("union", PARSERS)
def test_recorded_messages_are_read_and_written_as_they_were(union: str) -> None:
    for message in RECORDED[union]:
        assert dump(PARSERS[union](json.dumps(message["sent"]))) == message["dumped"]
        assert dump(PARSERS[union](message["dumped"])) == message["dumped"]


def test_every_kind_of_message_is_recorded() -> None:
    kinds = {
        union: {message["sent"].get("type", message["sent"].get("event")) for message in messages}
        for union, messages in RECORDED.items()
    }
    assert kinds == {
        "agent_message": {
            "register", "status", "accept", "reject", "answer", "checkpoint", "event", "hangup", "transfer",
            "control", "ping", "pong", "fault",
        },
        "gateway_message": {
            "registered", "offer", "confirm", "cancel", "ended", "control", "transfer_result", "ping", "pong", "fault",
        },
        "agent_media": {"start", "clear", "dtmf", "message", "stop"},
        "gateway_media": {"played", "cleared", "dtmf", "message", "stop"},
        "caller_event": {"start", "hangup", "dtmf", "message"},
        "leg_event": {"ringing", "answered", "conversation", "ended", "fault", "dtmf", "message"},
    }  # fmt: skip


UNIONS: dict[str, Any] = {
    "agent_message": AgentMessage,
    "gateway_message": GatewayMessage,
    "agent_media": AgentMediaEvent,
    "gateway_media": GatewayMediaEvent,
    "caller_event": CallerEvent,
    "leg_event": LegEvent,
}
KEPT: dict[str, dict[str, str]] = {
    "agent_message": {
        **{name: f"`NEWER`: {feature}" for name, feature in NEWER.items()},
        "register.worker": "feature call-workers",
        "register.roams": "feature roaming",
        "status.load": "feature load",
        "status.away": "feature roaming",
        "checkpoint.number": "feature checkpoints",
        "hangup.drained": "feature moves",
        "hangup.moved": "no agent says it",
    },
    "gateway_message": {
        "heartbeat": "to agents that send heartbeats",
        "roam": "to agents that registered with roams",
        "roam_refused": "the answer to roaming",
        "checkpoint_kept": "the answer to a checkpoint with a number",
        "offer.text": "to agents that registered with roams, true or false",
        "offer.heard": "to agents that send heartbeats",
        "control.clean_sound": "agents are told of holds alone",
        "ended.moved": "to agents that send heartbeats",
        "ended.drained": "no gateway says it to an agent",
    },
    "agent_media": {
        "hold": "media feature hold",
        "resume": "media feature hold",
        "calm_pieces": "media feature calm",
        "start.caller_piece_ms": "media feature pieces",
    },
    "gateway_media": {"held": "the answer to hold"},
    "caller_event": {},
    "leg_event": {
        "ended.drained": "a caller of the recorded version calls it an error, at the end of the call",
        "ended.moved": "no call ends so",
    },
}
"""What is newer than the recorded messages, and what keeps it from a peer of that version."""


def _values(schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    named = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return [value for value in named.get("enum", ()) if isinstance(value, str)]


def _newer(union: str) -> set[str]:
    recorded: dict[str, list[dict[str, Any]]] = {}
    for message in RECORDED[union]:
        sent = message["sent"]
        recorded.setdefault(sent.get("type") or sent["event"], []).append(sent)
    definitions = TypeAdapter(UNIONS[union]).json_schema()["$defs"]
    found = set()
    for model in definitions.values():
        properties = model.get("properties", {})
        kind = properties.get("type", {}).get("const") or properties.get("event", {}).get("const")
        if kind is None:  # of a part, or an enumeration
            continue
        if kind not in recorded:
            found.add(kind)
            continue
        for name, schema in properties.items():
            values = {sent[name] for sent in recorded[kind] if isinstance(sent.get(name), str)}
            if not any(name in sent for sent in recorded[kind]):
                found.add(f"{kind}.{name}")
            found |= {f"{kind}.{value}" for value in _values(schema, definitions) if value not in values}
    return found


@pytest.mark.parametrize("union", UNIONS)
def test_what_an_older_peer_cannot_read_is_kept_from_it(union: str) -> None:
    assert _newer(union) == set(KEPT[union])


def test_a_gateway_names_each_feature_that_agents_look_for() -> None:
    assert set(NEWER.values()) <= {word.strip() for word in SIGNALING_FEATURES.split(",")}
