"""Callers for whom nobody has a place at the moment: they ring for a while, and whoever came first is served first."""

from __future__ import annotations

from dataclasses import replace

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import ASK_AGAIN_S, PLACE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import Status
from tests.support.switchboard import LIMITS, NotedAgent, Room


def drain(agent: NotedAgent) -> None:
    """Do what a call worker does that takes one call."""
    agent.say(Status(active=1, capacity=1, state="draining"))


def test_a_caller_beyond_the_places_rings_until_an_instance_has_one(room: Room) -> None:
    one = room.agent(capacity=1)
    room.call()
    one.take()
    drain(one)
    second, leg = room.call()
    room.wait(0.1)
    assert (leg.notes, leg.ended, second.phase) == (["ring"], None, Phase.OFFERING)
    two = room.agent("two", capacity=1)
    assert [offer.call_id for offer in two.offers] == ["call-2"], "at once"
    two.take()
    assert second.phase is Phase.LIVE
    room.wait(PLACE_S)
    assert second.phase is Phase.LIVE


def test_a_burst_of_callers_is_served_in_its_order_as_places_come(room: Room) -> None:
    agents = [room.agent(f"w{number}", capacity=1) for number in range(2)]
    calls = [room.call()[0] for _ in range(6)]
    for agent in agents:
        agent.take()
        drain(agent)
    served = [agent.offers[0].call_id for agent in agents]
    for number in range(2, 6):
        room.wait(0.05)
        agent = room.agent(f"w{number}", capacity=1)
        served += [offer.call_id for offer in agent.offers]
        agent.take()
        drain(agent)
    assert served == [f"call-{number}" for number in range(1, 7)]
    assert all(call.phase is Phase.LIVE for call in calls)


def test_a_place_of_a_call_that_has_ended_counts_as_soon_as_its_agent_says_so(room: Room) -> None:
    one = room.agent(capacity=1)
    room.call()
    one.take()
    one.say(Status(active=1, capacity=1))
    room.call()
    one.hangup(EndReason.AGENT_HANGUP)
    assert len(one.offers) == 1, "what the first call has opened is still being closed"
    one.say(Status(active=0, capacity=1))
    assert [offer.call_id for offer in one.offers] == ["call-1", "call-2"]


def test_a_caller_whom_nobody_gets_a_place_for_hears_busy_after_the_wait(room: Room) -> None:
    one = room.agent(capacity=1)
    room.call()
    one.take()
    _, leg = room.call()
    room.wait(PLACE_S - 0.01)
    assert leg.ended is None
    room.wait(0.02)
    assert leg.ended == (EndReason.BUSY, "instances connected: 1, and none took the call")
    one.hangup(EndReason.AGENT_HANGUP)
    one.say(Status(active=0, capacity=1))
    assert len(one.offers) == 1, "it waits no more"


def say_often(room: Room, agent: NotedAgent, seconds: float) -> None:
    """Let time pass in which the agent says ten times a second how many calls it has."""
    for _ in range(round(seconds * 10)):
        room.wait(0.1)
        agent.say(Status(active=0, capacity=4))


def test_one_that_refused_is_asked_again_in_time_however_often_somebody_says_that_they_have_a_place(
    room: Room,
) -> None:
    one = room.agent()
    room.call()
    one.reject("full")
    say_often(room, one, ASK_AGAIN_S + 0.05)
    assert len(one.offers) == 2
    one.reject("full")
    say_often(room, one, ASK_AGAIN_S - 0.05)
    assert len(one.offers) == 2, "not before the time is over"
    say_often(room, one, 0.1)
    assert len(one.offers) == 3


def test_so_is_one_that_was_lost_with_the_call(room: Room) -> None:
    one, two = room.agent(), room.agent("two")
    call, _ = room.call()
    one.take()
    one.lose()
    two.reject("error")
    say_often(room, two, ASK_AGAIN_S + 0.05)
    assert len(two.offers) == 2
    two.take()
    assert call.phase is Phase.LIVE


def test_a_caller_who_hangs_up_waits_no_more(room: Room) -> None:
    one = room.agent(capacity=1)
    room.call()
    one.take()
    second, _ = room.call()
    second.caller_hangup(room.now)
    two = room.agent("two")
    assert two.offers == []


def test_an_instance_that_was_full_is_asked_again_and_one_that_failed_is_not(room: Room) -> None:
    full, broken = room.agent("full"), room.agent("broken")
    room.call()
    full.reject()
    broken.reject("error")
    room.wait(ASK_AGAIN_S)
    assert (len(full.offers), len(broken.offers)) == (2, 1)
    full.take()


def test_an_only_instance_that_was_late_is_asked_again(room: Room) -> None:
    late = room.agent("late")
    call, leg = room.call()
    room.wait(LIMITS.offer_s + ASK_AGAIN_S)
    assert [offer.call_id for offer in late.offers] == [call.call_id] * 2
    assert leg.ended is None
    late.take()
    assert call.phase is Phase.LIVE


def test_a_call_given_back_while_places_are_coming_is_not_lost(room: Room) -> None:
    one = room.agent("one", capacity=1)
    call, leg = room.call()
    one.take()
    full = room.agent("full", capacity=1)
    full.say(Status(active=1, capacity=1))
    one.hangup(EndReason.SHUTDOWN, "the agent was shut down")
    assert leg.ended is None
    two = room.agent("two", capacity=1)
    two.take()
    assert call.phase is Phase.LIVE


RINGING = replace(LIMITS, ring_s=20.0)


def test_a_caller_rings_as_long_as_configured_for_an_instance_that_is_not_there_yet() -> None:
    room = Room(RINGING)
    call, leg = room.call()
    room.wait(19.9)
    assert leg.notes == ["ring"]
    room.agent().take()
    assert call.phase is Phase.LIVE
    room = Room(RINGING)
    _, leg = room.call()
    room.wait(20.1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.NO_AGENT


def test_a_burst_that_rang_for_the_first_instance_waits_for_places_as_any_other() -> None:
    room = Room(RINGING)
    calls = [room.call()[0] for _ in range(2)]
    room.wait(15)
    one = room.agent(capacity=1)
    one.take()
    room.wait(PLACE_S - 0.1)
    assert [call.phase for call in calls] == [Phase.LIVE, Phase.OFFERING]
    two = room.agent("two", capacity=1)
    two.take()
    assert calls[1].phase is Phase.LIVE
    third, leg = room.call()
    room.wait(PLACE_S + 0.1)
    assert third.phase is Phase.ENDED
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.BUSY, "who comes while instances are there waits as ever"


def test_an_instance_that_drains_is_none_that_a_caller_could_ring_for() -> None:
    room = Room(RINGING)
    room.agent().say(Status(active=0, capacity=4, state="draining"))
    call, leg = room.call()
    room.wait(10)
    assert (call.phase, leg.ended) == (Phase.OFFERING, None)


def test_who_starts_an_agent_says_how_long_its_callers_ring_and_when_it_has_failed(room: Room) -> None:
    room.board.instances.expect("desk", 30.0)
    call, leg = room.call()
    room.wait(20)
    assert (call.phase, leg.ended) == (Phase.OFFERING, None)
    room.board.instances.expect("desk", None)
    room.wait(ASK_AGAIN_S)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.NO_AGENT


def test_a_text_chat_is_offered_to_no_agent_that_is_too_old_to_read_the_offer(room: Room) -> None:
    old = room.agent("old")
    call, _ = room.call("text")
    room.wait(PLACE_S / 2)
    assert old.offers == [], "it would end its connection, and lose all of its calls"
    new = room.agent("new", roams=True)
    new.take()
    assert call.phase is Phase.LIVE
    room.call()
    assert [offer.kind for offer in old.offers] == ["stream"]


def test_a_text_chat_that_only_older_agents_could_take_ends_with_a_sentence(room: Room) -> None:
    room.agent("old")
    _, leg = room.call("text")
    room.wait(PLACE_S + 0.1)
    assert leg.ended == (
        EndReason.BUSY,
        "instances connected: 1, and none took the call; too old for text chats: 1",
    )
