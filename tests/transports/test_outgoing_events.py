"""Messages and keys leave within the gateway's limits. Through the stage: test_bot_output, test_messages."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings

from piopiy_pipeline.signaling.messages import AgentMediaEvent, DataMessage, Dtmf, dump, parse_agent_media
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.outgoing_events import (
    MAX_EVENT_BYTES,
    MESSAGES_PER_S,
    MessageRefused,
    OutgoingEvents,
)
from tests.signaling.test_unread_messages import CASES, ODD
from tests.test_json_values import nested


class Link:
    """Keeps the events that are sent."""

    def __init__(self) -> None:
        self.sent: list[AgentMediaEvent] = []

    def send_event(self, event: AgentMediaEvent) -> None:
        self.sent.append(event)


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def events(link: Link) -> OutgoingEvents:
    return OutgoingEvents(cast(MediaLink, link))


def test_a_message_is_sent(events: OutgoingEvents, link: Link) -> None:
    events.send_message({"a": 1}, 0.0)
    assert link.sent == [DataMessage(data={"a": 1})]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("text", "must be a dict, not str"),
        ({"x": object()}, "must be JSON"),
        ({"x": nested(120)}, "nests more than 100 deep"),
        ({"x": nested(5000)}, "must be JSON|nests"),
        ({"x": "a" * MAX_EVENT_BYTES}, f"{MAX_EVENT_BYTES} are the limit"),
    ],
)
def test_what_the_gateway_would_not_take_is_refused(
    events: OutgoingEvents, link: Link, message: Any, says: str
) -> None:
    with pytest.raises(MessageRefused, match=says):
        events.send_message(message, 0.0)
    assert link.sent == []


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(ODD)
def test_whatever_is_sent_the_gateway_can_read(value: Any) -> None:
    link = Link()
    try:
        OutgoingEvents(cast(MediaLink, link)).send_message({"x": value}, 0.0)
    except MessageRefused:
        assert link.sent == []
    else:
        [event] = link.sent
        assert isinstance(parse_agent_media(dump(event)), DataMessage)


def test_too_many_messages_are_refused_until_time_has_passed(events: OutgoingEvents, link: Link) -> None:
    for n in range(2 * MESSAGES_PER_S):
        events.send_message({"n": n}, 1.0)
    with pytest.raises(MessageRefused, match="messages a second"):
        events.send_message({}, 1.0)
    events.send_message({}, 1.0 + 2 / MESSAGES_PER_S)
    assert len(link.sent) == 2 * MESSAGES_PER_S + 1


def test_many_keys_are_sent_in_several_events(events: OutgoingEvents, link: Link) -> None:
    events.send_keys("1" * 100)
    assert [len(event.digits) for event in link.sent if isinstance(event, Dtmf)] == [64, 36]


def test_no_keys_are_no_event(events: OutgoingEvents, link: Link) -> None:
    events.send_keys("")
    assert link.sent == []
