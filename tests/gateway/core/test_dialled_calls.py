"""Calls that go out: whom they are for, how long they ring, and why they come to nothing."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialRefused
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import Hangup
from tests.support.live_call import Live, phase
from tests.support.switchboard import NotedAgent, NotedFarLeg, Room


@pytest.fixture
def dialled() -> tuple[Room, NotedAgent, GatewayCall, NotedFarLeg]:
    room = Room()
    agent = room.agent()
    return room, agent, *room.dial("200")


Dialled = tuple[Room, NotedAgent, GatewayCall, NotedFarLeg]


def test_an_agent_is_asked_when_somebody_picks_up(dialled: Dialled) -> None:
    _, agent, call, leg = dialled
    assert phase(call) is Phase.DIALLING
    leg.dialled.callee_ringing(0)
    assert agent.offers == []
    leg.dialled.callee_answered(100)
    [offer] = agent.offers
    assert (offer.to_number, offer.caller_rate) == ("200", 8000)
    agent.take()
    assert phase(call) is Phase.LIVE
    agent.say(Hangup(call_id=call.call_id, reason=EndReason.AGENT_HANGUP))
    assert leg.ended == (EndReason.AGENT_HANGUP, "")


def test_whoever_picked_up_is_not_hung_up_on_because_an_agent_is_slow_for_a_moment(dialled: Dialled) -> None:
    room, agent, call, leg = dialled
    leg.dialled.callee_answered(room.now)
    assert agent.offers[0].deadline_ms == 2000
    room.wait(1.9)
    agent.take()
    assert phase(call) is Phase.LIVE


@pytest.mark.parametrize(
    ("why", "reason"),
    [("busy", EndReason.CALLEE_BUSY), ("declined", EndReason.CALLEE_BUSY), ("failed", EndReason.UNREACHABLE)],
)
def test_a_call_that_comes_to_nothing_says_why(dialled: Dialled, why: DialFailure, reason: EndReason) -> None:
    room, _, _, leg = dialled
    leg.dialled.callee_failed(room.now, why, "486")
    assert room.ended().reason is reason


def test_nobody_picks_up(dialled: Dialled) -> None:
    room, agent, _, leg = dialled
    room.wait(20.1)
    assert room.ended().reason is EndReason.NO_ANSWER
    assert leg.ended is not None
    leg.dialled.callee_answered(room.now)
    assert agent.offers == []


def test_nobody_is_called_when_no_agent_is_free() -> None:
    room = Room()
    with pytest.raises(DialRefused, match="no instance of agent 'desk' is connected and free"):
        room.dial("200")
    assert room.dialler.legs == []


def test_what_is_dialled_rings_for_as_long_as_was_asked(live: Live) -> None:
    live.transfer()
    assert live.far.request.ring_timeout_s == 15
    _, leg = live.room.dial("200", ring_timeout_s=90)
    assert leg.request.ring_timeout_s == 90


def test_nothing_is_dialled_that_there_is_no_room_for() -> None:
    room = Room(max_calls=1)
    room.agent()
    room.call()
    with pytest.raises(DialRefused, match="not more than 1 call at a time") as refused:
        room.dial("200")
    assert refused.value.obstacle == "room"
    assert room.dialler.legs == []
    room.board.drain.switch(on=True)
    with pytest.raises(
        DialRefused, match="takes no new calls, because it drains: try another one"
    ) as refused:
        room.dial("200")
    assert refused.value.obstacle == "room"
    late, _ = room.call()
    assert (late.phase, late.snapshot().detail) == (Phase.ENDED, room.board.drain.refusal)
    room.board.shutdown(room.now)
    with pytest.raises(DialRefused, match="shutting down"):
        room.dial("200")
