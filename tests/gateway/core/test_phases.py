"""The phases of a call: every change that the table allows happens in a real call, and no other does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState
from piopiy_pipeline.gateway.core.phases import TRANSITIONS, Phase, next_phase
from piopiy_pipeline.signaling.messages import Transfer
from tests.support.switchboard import Room

Step = Callable[[Room], GatewayCall]


def dialling(room: Room) -> GatewayCall:
    room.agent("one")
    return room.dial("+15550100")[0]


def dialling_without_agent(room: Room) -> GatewayCall:
    return room.dial("+15550100", options=CallOptions(with_agent=False))[0]


def offering(room: Room) -> GatewayCall:
    room.agent("one")
    room.agent("two")
    return room.call()[0]


def setup(room: Room) -> GatewayCall:
    one = room.agent("one")
    room.agent("two")
    call, _ = room.call()
    one.open_media()
    one.accept()
    return call


def live(room: Room) -> GatewayCall:
    one = room.agent("one")
    room.agent("two")
    call, _ = room.call()
    one.take()
    return call


def bridged(room: Room) -> GatewayCall:
    call = live(room)
    transfer(room, call)
    room.dialler.legs[-1].dialled.callee_answered(room.now)
    return call


def transfer(room: Room, call: GatewayCall) -> None:
    request = Transfer(call_id=call.call_id, request_id="r", to="+15550111")
    call.control.transfer(request, lambda _: None, room.now)


def lose_agent(room: Room, call: GatewayCall) -> None:
    instance = next(one for one in room.board.instances.all() if call.agent.serves(one))
    room.board.lose(instance, room.now, "killed")


def bridge_after_loss(room: Room, call: GatewayCall) -> None:
    """A cold transfer rings; the agent is lost meanwhile, and then somebody picks up."""
    transfer(room, call)
    lose_agent(room, call)
    assert call.phase is Phase.OFFERING
    room.dialler.legs[-1].dialled.callee_answered(room.now)


def bridge_in_setup(room: Room, call: GatewayCall) -> None:
    """The same, and another instance has accepted the call before somebody picks up."""
    transfer(room, call)
    one = room.agent("three")
    two = next(agent for agent in room.board.instances.all() if agent.instance_id == "two")
    room.board.lose(two, room.now, "killed")
    lose_agent(room, call)
    one.open_media()
    one.accept()
    assert call.phase is Phase.SETUP
    room.dialler.legs[-1].dialled.callee_answered(room.now)


def go_live(room: Room, call: GatewayCall) -> None:
    offer = call.agent.assignment.offer
    assert offer is not None
    assert offer.media is not None
    offer.media.started = True  # type: ignore[misc]
    call.agent.answer(offer.instance, room.now)


def accept(room: Room, call: GatewayCall) -> None:
    offer = call.agent.assignment.offer
    assert offer is not None
    offer.media_open = True
    call.agent.accept(offer.instance, offer.offer_id, room.now)


def hang_up(room: Room, call: GatewayCall) -> None:
    call.caller_hangup(room.now)


WALKS: dict[tuple[Phase, Phase], tuple[Step, Callable[[Room, GatewayCall], None]]] = {
    (Phase.DIALLING, Phase.OFFERING): (dialling, lambda room, call: call.callee_answered(room.now)),
    (Phase.DIALLING, Phase.LIVE): (
        dialling_without_agent,
        lambda room, call: call.callee_answered(room.now),
    ),
    (Phase.DIALLING, Phase.ENDED): (dialling, lambda room, call: room.wait(20)),
    (Phase.OFFERING, Phase.OFFERING): (offering, lambda room, call: room.wait(0.5)),
    (Phase.OFFERING, Phase.SETUP): (offering, accept),
    (Phase.OFFERING, Phase.BRIDGED): (live, bridge_after_loss),
    (Phase.OFFERING, Phase.ENDED): (offering, hang_up),
    (Phase.SETUP, Phase.OFFERING): (setup, lose_agent),
    (Phase.SETUP, Phase.LIVE): (setup, go_live),
    (Phase.SETUP, Phase.BRIDGED): (live, bridge_in_setup),
    (Phase.SETUP, Phase.ENDED): (setup, hang_up),
    (Phase.LIVE, Phase.OFFERING): (live, lose_agent),
    (Phase.LIVE, Phase.BRIDGED): (bridged, lambda room, call: None),
    (Phase.LIVE, Phase.ENDED): (live, hang_up),
    (Phase.BRIDGED, Phase.ENDED): (bridged, hang_up),
}


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk[0]}-{walk[1]}")
def test_a_real_call_makes_every_change_that_is_allowed(
    walk: tuple[Phase, Phase], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Phase, Phase]] = []
    enter = GatewayCallState.enter

    def noting(state: GatewayCallState, phase: Phase) -> None:
        made.append((state.phase, phase))
        enter(state, phase)

    monkeypatch.setattr(GatewayCallState, "enter", noting)
    room = Room()
    begin, change = WALKS[walk]
    call = begin(room)
    change(room, call)
    assert walk in made
    assert call.phase is walk[1]


def test_the_walks_are_those_of_the_table() -> None:
    assert set(WALKS) == {(now, then) for now, after in TRANSITIONS.items() for then in after}
    assert set(TRANSITIONS) == set(Phase)


@pytest.mark.parametrize("now", Phase)
@pytest.mark.parametrize("then", Phase)
def test_no_other_change_is_possible(now: Phase, then: Phase) -> None:
    if then in TRANSITIONS[now]:
        assert next_phase(now, then) is then
    else:
        with pytest.raises(RuntimeError, match="cannot become"):
            next_phase(now, then)


def test_a_call_that_has_ended_keeps_its_first_reason() -> None:
    room = Room()
    call = live(room)
    hang_up(room, call)
    call.end(room.now, EndReason.ERROR)
    assert (call.phase, call.reason) == (Phase.ENDED, EndReason.CALLER_HANGUP)
