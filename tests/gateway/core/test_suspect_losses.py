"""How many instances a call may lose: few if it may be the cause, many if something else is."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import Blocked, Heartbeat
from tests.support.agents import logged
from tests.support.switchboard import NotedAgent, NotedLeg, Room

ALONE = SuspectLosses.MOST_ALONE


@pytest.fixture
def room() -> Room:
    return Room(max_calls=100)


class Fleet:
    """Agents of which one always takes over, and is followed by a new one when it is lost."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.number = 0
        self.agents: list[NotedAgent] = []

    def more(self, count: int = 1, *, capacity: int = 50) -> None:
        for _ in range(count):
            self.number += 1
            self.agents.append(self.room.agent(f"agent-{self.number}", capacity=capacity))

    def call(self) -> tuple[GatewayCall, NotedLeg]:
        call, leg = self.room.call()
        self.take_all()
        return call, leg

    def holder(self, call: GatewayCall) -> NotedAgent:
        return next(agent for agent in self.agents if call.agent.serves(agent.instance))

    def lose(self, agent: NotedAgent, *, after_s: float = 20.0) -> None:
        """Lose it, and have those that are offered its calls take them."""
        self.room.now += after_s
        self.agents.remove(agent)
        agent.lose()
        self.take_all()

    def take_all(self) -> None:
        for agent in self.agents:
            for offer in agent.offers:
                call = self.room.board.call(offer.call_id)
                if call is None or call.phase is not Phase.OFFERING or not call.agent.serves(agent.instance):
                    continue
                agent.sent.append(offer)  # the last one, which the steps of the protocol are about
                agent.take()


def test_a_call_that_is_alone_where_agent_after_agent_is_lost_is_given_up(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(8)
    call, leg = fleet.call()
    for _ in range(ALONE):
        fleet.lose(fleet.holder(call))
        assert leg.ended is None
    fleet.lose(fleet.holder(call))
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_a_call_among_others_survives_four_losses_in_ninety_seconds(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(2)
    legs = [fleet.call()[1] for _ in range(6)]
    for _ in range(4):
        fleet.more()
        fleet.lose(fleet.holder(next(iter(room.board._calls.values()))), after_s=22)
    assert [leg.ended for leg in legs] == [None] * 6


def test_calls_among_others_are_given_up_when_they_lose_one_after_another(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(1)
    calls = [fleet.call() for _ in range(3)]
    lost = 0
    while calls[0][1].ended is None:
        fleet.more()
        fleet.lose(fleet.holder(calls[0][0]))
        lost += 1
    assert lost == 2 * ALONE + 1


def test_a_loss_elsewhere_speaks_for_a_call(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(2, capacity=1)
    call, leg = fleet.call()
    other, _ = fleet.call()
    for _ in range(SuspectLosses.MOST):
        fleet.more(2, capacity=1)
        fleet.lose(fleet.holder(call), after_s=2)
        assert leg.ended is None
        fleet.lose(fleet.holder(other), after_s=2)
    fleet.more(2, capacity=1)
    fleet.lose(fleet.holder(call), after_s=2)
    assert leg.ended is not None, "that many it does not lose, whoever is to blame"


def test_the_end_of_an_instance_without_calls_does_not(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(8)
    call, leg = fleet.call()
    for _ in range(ALONE + 1):
        fleet.lose(fleet.holder(call), after_s=2)
        idle = next(agent for agent in fleet.agents if not agent.instance.calls)
        fleet.lose(idle, after_s=2)
    assert leg.ended is not None


def poisoned(room: Room) -> tuple[Fleet, GatewayCall, GatewayCall]:
    """Have one call end the agent that it is alone in, and then a second one, in which two other calls are. Returns
    this call, and one of the others.
    """
    fleet = Fleet(room)
    fleet.more()
    culprit, _ = fleet.call()
    first = fleet.holder(culprit)
    fleet.more()
    first.instance.held_back = True
    other, _ = fleet.call()
    fleet.call()
    fleet.lose(first, after_s=3)
    fleet.lose(fleet.holder(culprit), after_s=3)
    return fleet, culprit, other


def test_the_call_that_was_in_both_of_two_deaths_is_offered_to_nobody_and_the_others_go_on(
    room: Room,
) -> None:
    with logged() as lines:
        fleet, culprit, other = poisoned(room)
    warned = [line for _, line in lines if "1 call of instance agent-2 had lost another one" in line]
    assert len(warned) == 1
    assert culprit.call_id in warned[0]
    room.wait(4.5)
    fleet.more()
    fleet.take_all()
    assert (culprit.phase, other.phase) == (Phase.OFFERING, Phase.LIVE)
    room.wait(1.0)
    assert (culprit.reason, culprit.detail) == (
        EndReason.AGENT_LOST,
        "this call was in two processes that died, one soon after the other",
    )
    assert other.reason is None


def test_a_network_that_was_gone_speaks_for_the_call_that_was_in_both(room: Room) -> None:
    fleet, culprit, _ = poisoned(room)
    fleet.agents.append(room.agent("agent-1", capacity=50))
    fleet.take_all()
    assert culprit.phase is Phase.LIVE


@pytest.mark.parametrize(("worker", "noticed_first"), [(None, True), (None, False), ("shared", False)])
def test_a_loss_does_not_count_if_the_same_process_registers_again_before_or_after_it_is_noticed(
    room: Room, worker: WorkerKind | None, noticed_first: bool
) -> None:
    one = room.agent("one-w1", worker=worker)
    _, leg = room.call()
    one.take()
    if noticed_first:
        one.lose()
    one = room.agent("one-w1", worker=worker)
    assert one.offers, "it is waited for no evidence against the call"
    one.reject()
    holder = room.agent("two")
    one.lose()
    for number in range(ALONE):
        holder.take()
        room.wait(2)
        holder, lost = room.agent(f"next-{number}"), holder
        lost.lose()
        assert leg.ended is None
    holder.take()
    assert leg.ended is None


def test_a_suspect_is_offered_to_the_instance_with_the_fewest_calls(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more()
    suspect, _ = fleet.call()
    first = fleet.holder(suspect)
    first.instance.held_back = True
    fleet.more(capacity=100)
    for _ in range(5):
        fleet.call()
    many = fleet.agents[-1]
    many.instance.held_back = True
    fleet.more(capacity=2)
    fleet.call()  # half of its places are taken, of the other one a twentieth
    few = fleet.agents[-1]
    many.instance.held_back = False
    fleet.lose(first, after_s=3)
    assert fleet.holder(suspect) is few
    few.instance.held_back = True  # and a call that has lost nobody goes where there is more room
    new, _ = fleet.call()
    assert fleet.holder(new) is many


def test_nor_are_calls_given_up_that_were_most_of_the_second_death(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more()
    calls = [fleet.call()[0] for _ in range(2)]
    first = fleet.holder(calls[0])
    fleet.more()
    first.instance.held_back = True
    fleet.call()
    fleet.lose(first, after_s=3)
    fleet.more()
    fleet.lose(fleet.holder(calls[0]), after_s=3)
    assert [call.phase for call in calls] == [Phase.LIVE] * 2


def test_deaths_with_a_longer_time_between_them_do_not_give_a_call_up(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(2)
    call, _ = fleet.call()
    fleet.call()
    fleet.lose(fleet.holder(call), after_s=3)
    fleet.more()
    fleet.lose(fleet.holder(call), after_s=SuspectLosses.SOON_S + 1)
    assert call.phase is Phase.LIVE


def test_nor_is_a_network_that_was_gone_held_against_it(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    one.take()
    for _ in range(2 * ALONE):
        one.lose()
        one = room.agent("one")
        one.take()
    assert (call.phase, leg.ended) == (Phase.LIVE, None)
    assert call.snapshot().losses == 2 * ALONE


def test_a_call_that_was_well_for_a_while_begins_anew(room: Room) -> None:
    call_losses = SuspectLosses()
    for at in range(10):
        assert call_losses.may_follow(f"{at}", at * (SuspectLosses.WELL_S + 1), alone=True)


def test_what_another_call_has_blocked_counts_for_that_one_alone(room: Room) -> None:
    fleet = Fleet(room)
    fleet.more(1)
    call, leg = fleet.call()
    for at in range(2 * ALONE + 2):
        culprit, _ = fleet.call()
        holder = fleet.holder(call)
        holder.say(Heartbeat())
        fleet.more()
        assert culprit.agent.serves(holder.instance)
        message = Blocked(
            agent_id="desk",
            instance_id=holder.instance.instance_id,
            call_id=culprit.call_id,
            place="bot.py:12 in look_up",
            blocked_s=1.0,
            limit_s=10,
        )
        room.board.silences.blocked(message, room.now)
        fleet.take_all()
        assert (leg.ended, call.snapshot().losses) == (None, at + 1)
        fleet.lose(holder, after_s=0.1)
