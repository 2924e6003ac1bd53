"""Messages recorded from an earlier version are read by today's models, and written as they were then.

``published/messages.json`` holds, for every message between agent and gateway, on a media stream and of a caller over a
WebSocket: its least form, a full one, and one for each value of its enumerations ("sent"), and what the
version of commit c5a3850 wrote of it ("dumped"). It is never generated anew: a message that this test refuses
is one that agents and clients in use can no longer send. New keys with a default may be added.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.signaling.caller import parse_caller_event, parse_leg_event
from piopiy_pipeline.signaling.messages import (
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
