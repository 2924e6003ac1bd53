"""Calls whose agent is lost, is shut down or breaks the protocol: who gets them, and when they are given up."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import MAX_MOVES, RECOVERY_S
from piopiy_pipeline.gateway.core.agent_side import MEDIA_GRACE_S
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.messages import Checkpoint, Ended, Hangup, Status
from tests.support.switchboard import Room


def test_a_lost_agent_hands_its_call_to_another_with_the_last_checkpoint(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    media = one.take()
    media.gaps, media.worst_gap_s = 2, 0.3
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    one.lose()
    assert leg.ended is None
    assert media.closed
    assert two.offers[0].checkpoint == {"turn": 2}
    two.take()
    assert leg.notes == ["ring", "answer"], "the caller's leg was answered once"
    assert call.phase is Phase.LIVE
    seen = room.board.snapshot().calls[0]
    assert (seen.instance_id, seen.losses, seen.gaps, seen.worst_gap_s) == ("two", 1, 2, 0.3)


def test_the_caller_is_told_whose_sound_they_hear_when_that_changes(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    one.take()
    room.frame_tick(times=3)
    assert leg.sources == [], "the bot's, without a word"
    one.lose()
    room.frame_tick(times=3)
    assert leg.sources == ["nobody"]
    again = room.agent("two")
    room.wait(0.3)
    again.take()
    room.frame_tick(times=3)
    call.media_path.hold()
    room.frame_tick(times=3)
    call.media_path.resume()
    room.frame_tick(times=3)
    assert leg.sources == ["nobody", "bot", "hold", "bot"]


def test_with_no_other_instance_the_call_ends_with_agent_lost(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    one.lose()
    room.wait(RECOVERY_S - 0.1)
    assert leg.ended is None, "somebody may come"
    room.wait(0.2)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_a_call_that_lost_its_only_agent_goes_on_when_that_is_there_again(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.lose()
    room.wait(2.0)
    again = room.agent()
    room.wait(0.3)
    assert again.offers[0].checkpoint == {"turn": 1}
    again.take()
    room.wait(RECOVERY_S)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)


def test_it_waits_longer_for_an_agent_that_is_being_started(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    one.lose()
    room.board.instances.expect("desk", 30.0)
    room.wait(RECOVERY_S + 20.0)
    assert leg.ended is None
    again = room.agent()
    room.board.instances.expect("desk", None)
    room.wait(0.3)
    again.take()
    room.wait(RECOVERY_S)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)


def test_and_no_longer_when_that_one_failed_to_start(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    one.lose()
    room.board.instances.expect("desk", 30.0)
    room.wait(RECOVERY_S + 20.0)
    room.board.instances.expect("desk", None)
    room.wait(0.5)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_and_so_it_does_when_the_others_refuse(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.take()
    one.lose()
    two.reject()
    room.wait(RECOVERY_S + 0.5)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_an_agent_lost_before_it_accepted_is_just_passed_over(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    one.lose()
    assert len(two.offers) == 1
    assert room.board.snapshot().calls[0].losses == 0


def test_a_call_that_loses_agent_after_agent_is_given_up(room: Room) -> None:
    agents = {name: room.agent(name) for name in ("a", "b", "c", "d", "e", "f")}
    _, leg = room.call()
    lost = 0
    while leg.ended is None:
        holder = next(agent for agent in agents.values() if agent.instance.calls)
        holder.take()
        holder.lose()
        lost += 1
    assert lost == SuspectLosses.MOST_ALONE + 1
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_an_agent_that_shuts_down_gives_its_call_to_another(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    media = one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    assert leg.ended is None
    assert media.closed
    assert two.offers[0].checkpoint == {"turn": 1}
    two.take()
    assert call.phase is Phase.LIVE
    assert leg.notes == ["ring", "answer"]
    assert room.board.snapshot().calls[0].losses == 0, "nobody was lost"


def test_with_no_other_instance_a_shutdown_ends_the_call_and_says_so(room: Room) -> None:
    one, full = room.agent("one"), room.agent("full")
    _, leg = room.call()
    one.take()
    full.say(Status(active=0, capacity=10, state="draining"))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    room.wait(RECOVERY_S)
    assert leg.ended == (EndReason.SHUTDOWN, "the agent was shut down")


def test_a_call_whose_only_agent_shuts_down_is_there_when_it_has_started_again(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    one.lose()
    room.wait(RECOVERY_S - 0.5)
    assert leg.ended is None
    again = room.agent("again")
    assert again.offers[0].checkpoint == {"turn": 1}
    again.take()
    assert call.phase is Phase.LIVE


def test_a_call_that_agent_after_agent_gives_back_is_given_up(room: Room) -> None:
    agents = [room.agent(name) for name in ("a", "b", "c")]
    _, leg = room.call()
    moves = 0
    while leg.ended is None:
        holder = next(agent for agent in agents if agent.instance.calls)
        holder.take()
        holder.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN))
        moves += 1
    assert moves == MAX_MOVES + 1
    assert leg.ended[0] is EndReason.SHUTDOWN


def test_the_limit_on_a_calls_length_goes_on_while_it_changes_agents(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.take()
    room.wait(50)
    one.lose()
    two.take()
    room.wait(10.1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.MAX_DURATION


def test_a_media_stream_that_closes_just_before_the_hangup_is_no_loss(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    call.agent.media_lost(one.take(), room.now)
    room.wait(MEDIA_GRACE_S / 2)
    one.hangup(EndReason.AGENT_HANGUP)
    assert leg.ended == (EndReason.AGENT_HANGUP, "")


def test_one_that_closes_without_a_hangup_is(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    call.agent.media_lost(one.take(), room.now)
    room.wait(MEDIA_GRACE_S + 0.1)
    assert isinstance(one.last(), Ended)
    assert leg.ended is None
    assert len(two.offers) == 1


def test_an_agent_that_breaks_the_media_protocol_ends_its_call_with_error(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    call.agent.media_fault(one.take(), room.now, "too far ahead")
    assert leg.ended == (EndReason.ERROR, "media stream: too far ahead")
    assert isinstance(one.last(), Ended)


def test_the_newer_connection_of_an_instance_wins(room: Room) -> None:
    old = room.agent("one")
    _, leg = room.call()
    old.take()
    old.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    new = room.agent("one")
    assert old.replaced
    assert new.offers[0].checkpoint == {"turn": 1}
    old.lose()
    new.take()
    assert leg.ended is None
    assert len(room.board.snapshot().instances) == 1
