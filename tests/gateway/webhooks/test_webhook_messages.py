"""The messages of webhooks, made from the events of the bus."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, get_args

from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.webhooks.config import WebhookEvent
from piopiy_pipeline.gateway.webhooks.webhook_messages import CONVERSATION_LIMIT, WebhookMessages
from tests.support.call_events import CallEvents

EVERY: tuple[WebhookEvent, ...] = get_args(WebhookEvent)


def bodies_of(*events: BusEvent, wanted: tuple[WebhookEvent, ...] = EVERY) -> list[dict[str, Any]]:
    numbers = count(1)
    maker = WebhookMessages(wanted, new_id=lambda: f"msg_{next(numbers)}")
    bodies = []
    for one in events:
        for message in maker.messages_for(one):
            body = json.loads(message.body)
            assert body["type"] == message.event
            assert body["timestamp"].endswith("Z")
            bodies.append(body)
    return bodies


def types(bodies: list[dict[str, Any]]) -> list[str]:
    return [body["type"] for body in bodies]


def test_a_call_is_placed_answered_and_ended_once_each() -> None:
    call = CallEvents()
    events: list[BusEvent] = [
        call.placed(),
        call.answered(102.0),
        call._changed(103.0, phase=Phase.OFFERING),  # its agent was lost, and another is asked
        call._changed(104.0, phase=Phase.LIVE),
        call.ended(110.0),
    ]
    bodies = bodies_of(*events)
    assert types(bodies) == ["call.placed", "call.answered", "call.ended"]
    assert [body["data"]["call"]["phase"] for body in bodies] == ["offering", "live", "ended"]
    record = bodies[-1]["data"]["call"]
    assert (record["call_id"], record["reason"], record["duration_s"]) == ("call-1", "caller_hangup", 8.0)
    assert record["metadata"] == {"table": 7}


def test_the_end_has_the_whole_conversation_without_partial_words() -> None:
    call = CallEvents()
    events: list[BusEvent] = [
        call.placed(),
        call.answered(101.0),
        call.event("user_partial", 1.0, text="a ta"),
        call.event("user_turn", 2.0, text="A “table”\n"),
        call.event("tool", 2.5, number=1, name="book", arguments={"guests": 4}),
        call.ended(110.0),
    ]
    data = bodies_of(*events, wanted=("call.ended",))[0]["data"]
    assert data["events_left_out"] == 0
    assert data["events"] == [
        {"number": 2, "at": 2.0, "event": "user_turn", "data": {"text": "A “table”\n"}},
        {
            "number": 3,
            "at": 2.5,
            "event": "tool",
            "data": {"number": 1, "name": "book", "arguments": {"guests": 4}},
        },
    ]


def test_turns_and_transfers_are_told_as_they_happen() -> None:
    call = CallEvents()
    outcome = {"request_id": "r", "to": "200", "warm": True, "outcome": "busy", "detail": ""}
    bodies = bodies_of(
        call.placed(),
        call.event("user_turn", 2.0, text="Hello?"),
        call.event("latency", 2.5, total_s=0.5),
        call.event("bot_turn", 3.0, text="Good morning.", interrupted=True),
        call.event("transfer", 9.0, **outcome),
    )
    assert types(bodies) == ["call.placed", "call.turn", "call.turn", "call.transfer"]
    assert bodies[2]["data"] == {
        "call_id": "call-1",
        "event": {
            "number": 3,
            "at": 3.0,
            "event": "bot_turn",
            "data": {"text": "Good morning.", "interrupted": True},
        },
    }
    assert bodies[3]["data"]["event"]["data"] == outcome


def test_what_was_collected_is_told_when_it_is_known() -> None:
    call = CallEvents()
    asked = {"name": "pin", "kind": "digits", "attempts": 0}
    bodies = bodies_of(
        call.placed(),
        call.event("collection", 2.0, **asked, outcome="begun"),
        call.event("collection", 4.0, **asked, outcome="collected", how="keys", value="1234"),
        wanted=("call.collection",),
    )
    [body] = bodies
    assert (body["type"], body["data"]["event"]["data"]["value"]) == ("call.collection", "1234")


def test_nothing_is_told_that_nobody_wants() -> None:
    call = CallEvents()
    events: list[BusEvent] = [call.placed(), call.event("user_turn"), call.answered(101.0), call.ended(102.0)]
    assert types(bodies_of(*events, wanted=("call.answered",))) == ["call.answered"]


def test_a_call_that_was_refused_at_once_has_only_its_end() -> None:
    assert types(bodies_of(CallEvents().ended(100.0))) == ["call.ended"]


def test_what_is_said_of_a_call_that_is_not_known_is_not_told() -> None:
    assert bodies_of(CallEvents().event("user_turn")) == []


def test_a_conversation_that_is_too_long_is_told_from_its_beginning_and_how_much_is_left_out() -> None:
    call = CallEvents()
    long = "x" * (CONVERSATION_LIMIT // 10)
    events = [call.event("user_turn", float(n), text=long) for n in range(12)]
    data = bodies_of(call.placed(), *events, call.ended(200.0), wanted=("call.ended",))[0]["data"]
    assert len(data["events"]) == 9
    assert data["events_left_out"] == 3


ENDED = (
    '{"type":"call.ended","timestamp":"2027-01-15T08:01:50.250000Z","data":{"call":{"call_id":"call-1",'
    '"agent_id":"front-desk","instance_id":"one","kind":"stream","from_number":"+15550100",'
    '"to_number":"+15550199","metadata":{"table":7},"phase":"ended","placed_at":"2027-01-15T08:01:40Z",'
    '"answered_at":"2027-01-15T08:01:42Z","ended_at":"2027-01-15T08:01:50.250000Z","duration_s":8.25,'
    '"reason":"caller_hangup","detail":"","recorded":false,"quality":{"gaps":1,"worst_gap_s":0.125,'
    '"frames_dropped":0,"caller_dropped_s":0.0,"line":{"packets_lost":2.0,"jitter_ms":null}}},'
    '"events":[{"number":1,"at":1.5,"event":"user_turn","data":{"text":"Grüß Gott"}}],"events_left_out":0'
)
"""What version 0.1.0 sent for this call, but for the end. The API's JSON of calls has the same models."""
USAGE = (
    ',"usage":{"input_tokens":0,"output_tokens":0,"cached_tokens":0,"stt_seconds":0.0,"tts_characters":0}}}'
)
"""What came since then stands behind it."""


def test_the_json_of_a_call_is_the_one_of_earlier_versions_to_the_byte() -> None:
    maker, call = WebhookMessages(["call.ended"]), CallEvents(line={"packets_lost": 2.0, "jitter_ms": None})
    for event in (call.placed(), call.answered(102.0), call.event("user_turn", 1.5, text="Grüß Gott")):
        maker.messages_for(event)
    (message,) = maker.messages_for(call.ended(110.25, gaps=1, worst_gap_s=0.125))
    assert message.body.decode() == ENDED + USAGE
