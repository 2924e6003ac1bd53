"""Call workers that die: their calls go on apart from each other, and the one that did it is found out."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.suspicion import APART_S, EVIDENCE_S
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied, Offer
from tests.support.switchboard import NotedAgent, Room


def died(name: str, *, apart: bool = True) -> InstanceDied:
    return InstanceDied(instance_id=name, detail="SIGSEGV, Segmentation fault", apart=apart)


def three_calls(room: Room) -> tuple[NotedAgent, NotedAgent, list[GatewayCall]]:
    """A call worker with three calls, and another one, which is free."""
    one = room.agent("w1", worker="shared")
    calls = []
    for _ in range(3):
        calls.append(room.call()[0])
        one.take()
    return one, room.agent("w2", worker="shared"), calls


def offered(agent: NotedAgent) -> list[str]:
    return [offer.call_id for offer in agent.offers]


def test_calls_of_a_worker_that_has_died_go_on_in_one_of_their_own_each(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    room.wait(0.01)
    assert two.offers == [], "it would be the next one to die"
    two.say(died("w1"))
    apart = [room.agent(f"w{number}", capacity=1, worker="apart") for number in (3, 4, 5)]
    for agent in apart:
        agent.take()
    assert sorted(call_id for agent in apart for call_id in offered(agent)) == ["call-1", "call-2", "call-3"]
    assert [call.phase for call in calls] == [Phase.LIVE] * 3
    assert two.offers == []


def test_the_call_that_its_second_worker_dies_with_is_offered_to_nobody(room: Room) -> None:
    one, two, calls = three_calls(room)
    two.say(died("w1"))
    one.lose()
    apart = room.agent("w3", capacity=1, worker="apart")
    apart.take()
    apart.lose()
    two.say(died("w3", apart=False))
    call = calls[0]
    assert (call.phase, call.reason) == (Phase.ENDED, EndReason.ERROR)
    assert call.detail == (
        "2 processes of the agent have ended under this call; the last one: SIGSEGV, Segmentation fault"
    )
    assert two.offers == []


def test_so_it_is_when_the_agent_s_word_comes_before_the_connection_is_lost(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    two.say(died("w1"))
    apart = room.agent("w3", capacity=1, worker="apart")
    apart.take()
    two.say(died("w3", apart=False))
    assert calls[0].phase is Phase.LIVE, "nothing is lost yet"
    apart.lose()
    assert calls[0].reason is EndReason.ERROR


def test_a_worker_of_one_call_that_dies_is_followed_at_once_and_the_second_one_by_nobody(room: Room) -> None:
    one, two, three = (room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3"))
    call, leg = room.call()
    one.take()
    one.lose()
    two.take()
    three.say(died("w1", apart=False))
    assert call.phase is Phase.LIVE, "it may have been bad luck"
    two.lose()
    assert three.offers == [], "the agent's word is waited for"
    three.say(died("w2", apart=False))
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.ERROR
    assert three.offers == []


def test_connections_that_are_lost_prove_nothing(room: Room) -> None:
    one, two, three = (room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3"))
    call, _ = room.call()
    one.take()
    one.lose()
    two.take()
    two.lose()
    three.take()
    assert call.phase is Phase.LIVE


def test_without_the_agent_s_word_calls_go_anywhere_after_a_moment(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    room.wait(EVIDENCE_S - 0.01)
    assert two.offers == []
    room.wait(0.02)
    assert sorted(offered(two)) == ["call-1", "call-2", "call-3"]
    assert all(call.reason is None for call in calls)


@pytest.mark.parametrize("apart", [False, True])
def test_nor_do_they_wait_for_workers_apart_that_do_not_come(room: Room, apart: bool) -> None:
    one, two, _ = three_calls(room)
    one.lose()
    two.say(died("w1", apart=apart))
    room.wait(APART_S - 0.01 if apart else 0.0)
    assert len(two.offers) == (0 if apart else 3)
    room.wait(0.02)
    assert len(two.offers) == 3


def test_a_suspect_among_others_is_not_convicted_for_them(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    two.say(died("w1", apart=False))  # nobody comes: all three go to the next one
    for offer in list(two.offers):
        take(room, two, offer)
    three = room.agent("w3", worker="shared")
    two.lose()
    three.say(died("w2"))
    assert [call.reason for call in calls] == [None] * 3
    apart = [room.agent(f"w{number}", capacity=1, worker="apart") for number in (4, 5, 6)]
    for agent in apart:
        agent.take()
    apart[0].lose()
    three.say(died("w4"))
    assert sorted(str(call.reason) for call in calls) == ["None", "None", "error"]


def test_calls_that_had_left_a_silent_worker_go_on_apart_when_it_has_died(room: Room) -> None:
    one, two, calls = three_calls(room)
    room.board.silences.silent(one.instance, "nothing was heard of it", room.now)
    for offer in list(two.offers):
        take(room, two, offer)
    assert [call.phase for call in calls] == [Phase.LIVE] * 3
    two.say(died("w1"))
    one.lose()
    two.say(died("w1"))
    apart = [room.agent(f"w{number}", capacity=1, worker="apart") for number in (3, 4, 5)]
    for agent in apart:
        agent.take()
    assert sorted(call_id for agent in apart for call_id in offered(agent)) == ["call-1", "call-2", "call-3"]
    assert [call.phase for call in calls] == [Phase.LIVE] * 3
    assert two.instance.calls == set()


def test_but_not_if_it_was_known_who_blocked_it(room: Room) -> None:
    one, two, _ = three_calls(room)
    one.instance.blocked, one.instance.blocker = "surely", "call-1"
    room.board.silences.silent(one.instance, "it is blocked", room.now)
    for offer in list(two.offers):
        take(room, two, offer)
    one.lose()
    two.say(died("w1"))
    apart = room.agent("w3", capacity=1, worker="apart")
    assert apart.offers == []


def test_workers_apart_take_no_other_calls(room: Room) -> None:
    apart = room.agent("w3", capacity=1, worker="apart")
    one = room.agent("w4", worker="shared")
    room.call()
    assert (len(apart.offers), len(one.offers)) == (0, 1)


def test_the_word_of_another_agent_does_not_count(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    two.instance.agent_id = "someone else"
    two.say(died("w1"))
    assert calls[0].agent.assignment.suspicion.whom_to_ask(room.now) == "nobody"


def take(room: Room, agent: NotedAgent, offer: Offer) -> None:
    """Take a call that is not the last one that was offered."""
    agent.sent.remove(offer)
    agent.sent.append(offer)
    agent.take()


def hung(name: str, *calls: str, apart: bool = True) -> InstanceDied:
    detail = "nothing of it has run for 2.0 s: native code keeps Python's lock"
    return InstanceDied(instance_id=name, detail=detail, apart=apart, calls=list(calls), hung=True)


def test_a_call_that_hangs_one_worker_after_another_goes_on_apart_and_ends_when_it_does_it_there(
    room: Room,
) -> None:
    one, two, calls = three_calls(room)
    room.board.silences.silent(one.instance, "nothing was heard of it", room.now)
    for offer in list(two.offers):
        take(room, two, offer)
    two.say(hung("w1", "call-1", "call-2", "call-3"))
    apart = [room.agent(f"w{number}", capacity=1, worker="apart") for number in (3, 4, 5)]
    for agent in apart:
        agent.take()
    assert [call.phase for call in calls] == [Phase.LIVE] * 3
    [culprit] = offered(apart[0])
    room.board.silences.silent(apart[0].instance, "nothing was heard of it", room.now)
    two.say(hung("w3", culprit, apart=False))
    assert [call.reason for call in calls if call.call_id == culprit] == [EndReason.ERROR]
    assert [call.detail.partition(";")[0] for call in calls if call.call_id == culprit] == [
        "2 processes of the agent have ended or hung under this call"
    ]
    assert [call.reason for call in calls if call.call_id != culprit] == [None, None]


def test_a_call_that_nobody_else_could_take_from_a_hanging_worker_is_a_suspect_as_well(room: Room) -> None:
    one = room.agent("w1", worker="shared")
    call, _ = room.call()
    one.take()
    two = room.agent("w2", capacity=1, worker="call")
    room.call()
    two.take()
    room.board.silences.silent(one.instance, "nothing was heard of it", room.now)
    two.say(hung("w1", "call-1"))
    assert (call.phase, call.reason) == (Phase.LIVE, None)
    apart = room.agent("w3", capacity=1, worker="apart")
    apart.take()
    assert offered(apart) == ["call-1"]


def test_a_hang_that_is_over_is_no_death(room: Room) -> None:
    one, two, calls = three_calls(room)
    two.say(hung("w1", "call-1", apart=False))
    one.lose()
    assert one.instance.death is None
    assert calls[1].agent.assignment.suspicion.whom_to_ask(room.now) == "nobody", (
        "the agent's word is waited for"
    )


# ---------------------------------------------------------------------- calls that had moved away before the death


def hungry(name: str, call_id: str, *, certain: bool) -> InstanceDied:
    detail = "it had 351 MB of memory of its own, and may have 300 (memory_mb); SIGKILL, Killed"
    culprit = call_id if certain else None
    return InstanceDied(instance_id=name, detail=detail, calls=[call_id], culprit=culprit)


def test_a_call_that_is_named_as_the_culprit_ends_wherever_it_is(room: Room) -> None:
    one, two, three = (room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3"))
    call, leg = room.call()
    one.take()
    room.board.silences.silent(one.instance, "nothing was heard of it for 1.0 s", room.now)
    two.take()
    one.lose()
    assert call.phase is Phase.LIVE
    three.say(hungry("w1", "call-1", certain=True))
    assert leg.ended == (
        EndReason.ERROR,
        "it had 351 MB of memory of its own, and may have 300 (memory_mb); SIGKILL, Killed",
    )
    assert three.offers == []


def test_so_it_does_when_the_agent_s_word_comes_before_the_connection_of_what_it_had_left_is_lost(
    room: Room,
) -> None:
    one, two, three = (room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3"))
    call, _ = room.call()
    one.take()
    room.board.silences.silent(one.instance, "nothing was heard of it for 1.0 s", room.now)
    two.take()
    three.say(hungry("w1", "call-1", certain=True))
    assert call.phase is Phase.LIVE, "nothing is lost yet"
    one.lose()
    assert call.reason is EndReason.ERROR


def test_a_call_that_left_two_dying_workers_because_its_media_stood_still_is_the_culprit(room: Room) -> None:
    agents = [room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3", "w4")]
    call, _ = room.call()
    for agent in agents[:2]:
        agent.take()
        call.agent.stranded.leave(agent.instance, "its media stream stands still", room.now)
        agent.lose()
    agents[2].take()
    agents[3].say(hungry("w1", "call-1", certain=False))
    assert call.phase is Phase.LIVE, "it may have been bad luck"
    agents[3].say(hungry("w2", "call-1", certain=False))
    assert call.reason is EndReason.ERROR
    assert call.detail.startswith("2 processes of the agent have ended under this call")
    assert agents[3].offers == []


def test_the_others_are_no_suspects_when_the_culprit_is_known(room: Room) -> None:
    one, two, calls = three_calls(room)
    one.lose()
    room.wait(0.01)
    assert not two.offers
    word = InstanceDied(
        instance_id="w1",
        detail="its watchdog killed it",
        apart=True,
        calls=["call-1", "call-2", "call-3"],
        culprit="call-1",
    )
    two.say(word)
    two.say(word)  # another one says it, too
    assert offered(two) == ["call-2", "call-3"], "they need no worker apart"
    assert (calls[0].reason, calls[0].detail) == (EndReason.ERROR, "its watchdog killed it")
    two.take()
    calls[1].end(room.now, EndReason.CALLER_HANGUP)
    two.lose()
    apart = room.agent("w3", capacity=1, worker="call")
    apart.say(InstanceDied(instance_id="w2", calls=["call-3"]))
    assert calls[2].reason is None, "it is the first process that has ended under it"


def test_the_calls_of_another_agent_s_worker_are_not_touched(room: Room) -> None:
    one = room.agent("w1", capacity=1, worker="call")
    call, _ = room.call()
    one.take()
    one.say(hungry("w9", "call-2", certain=True))
    assert call.phase is Phase.LIVE


def test_a_loop_that_is_blocked_by_code_of_no_call_leaves_suspects(room: Room) -> None:
    agents = [room.agent(name, capacity=1, worker="call") for name in ("w1", "w2", "w3")]
    call, _ = room.call()
    for agent in agents[:2]:
        agent.take()
        message = Blocked(
            agent_id="desk", instance_id=agent.instance.instance_id, place="", blocked_s=1.0, limit_s=10.0
        )
        room.board.silences.blocked(message, room.now)
        agent.lose()
        agents[2].say(died(agent.instance.instance_id, apart=False))
    assert call.reason is EndReason.ERROR
