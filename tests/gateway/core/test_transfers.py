"""Transfers, warm, cold, and by the caller's own network: who hears whom, and what is told of how they went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import RECOVERY_S
from piopiy_pipeline.gateway.core.dialling import DialFailure
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.leg import TransferDone
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.messages import Ended, InstanceDied, Transfer, TransferResult
from tests.support.live_call import FRAME, Live, phase
from tests.support.silences import blocked
from tests.support.switchboard import LIMITS, NotedAgent, NotedLeg


def test_while_it_rings_the_caller_goes_on_talking_to_the_bot(live: Live) -> None:
    live.transfer(summary="wants a table\r\nfor four")
    assert live.far.notes == ["call"]
    assert live.far.request.headers == {"X-Call-Summary": "wants a table for four"}
    live.far.dialled.callee_ringing(live.room.now)
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick()
    assert live.media.notes == [f"audio {len(FRAME)}"]
    assert live.leg.notes[-1] == "frame"
    assert live.results == []


def test_when_it_is_answered_the_two_talk_and_the_agent_is_let_go(live: Live) -> None:
    live.transfer()
    live.far.dialled.callee_answered(live.room.now)
    assert live.results == [("bridged", "")]
    ended = live.agent.last()
    assert isinstance(ended, Ended)
    assert ended.reason is EndReason.TRANSFERRED
    assert live.media.closed
    assert live.agent.instance.calls == set()
    assert phase(live.call) is Phase.BRIDGED
    for _ in range(5):
        live.leg.listener.caller_audio(FRAME)
        live.far.dialled.caller_audio(b"\2\0" * 160)
        live.room.frame_tick()
    assert live.far.frames
    assert len(live.far.frames[0]) == 320  # 20 ms at the far leg's 8 kHz
    assert live.leg.notes.count("frame") == len(live.far.frames)
    live.leg.listener.caller_dtmf("5")
    live.far.dialled.caller_dtmf("6")
    assert live.far.notes[-1] == "dtmf 5"
    assert live.leg.notes[-1] == "dtmf 6"


@pytest.mark.parametrize("who", ["near", "far"])
def test_when_either_hangs_up_both_are_free_and_the_call_was_transferred(live: Live, who: str) -> None:
    live.transfer()
    live.far.dialled.callee_answered(live.room.now)
    listener = live.leg.listener if who == "near" else live.far.dialled
    listener.caller_hangup(live.room.now)
    assert live.room.ended().reason is EndReason.TRANSFERRED
    assert live.leg.ended is not None
    assert live.far.ended is not None


@pytest.mark.parametrize("why", ["busy", "declined", "unreachable", "failed", "no_answer"])
def test_when_it_comes_to_nothing_the_bot_is_told_why_and_may_try_again(live: Live, why: DialFailure) -> None:
    live.transfer()
    live.far.dialled.callee_failed(live.room.now, why, "486 Busy Here")
    assert live.results == [(why, "486 Busy Here")]
    assert phase(live.call) is Phase.LIVE
    live.transfer("201")
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED


def test_nobody_answers_in_time(live: Live) -> None:
    live.transfer()
    live.room.wait(15.1)
    assert live.results == [("no_answer", "nobody answered within 15 s")]
    assert live.far.ended is not None
    assert phase(live.call) is Phase.LIVE
    live.far.dialled.callee_answered(live.room.now)  # too late: a 200 that crossed the CANCEL
    assert phase(live.call) is Phase.LIVE


def test_a_second_transfer_meanwhile_is_refused(live: Live) -> None:
    live.transfer()
    live.transfer("201")
    assert live.results == [("refused", "another transfer is under way")]
    assert len(live.room.dialler.legs) == 1


def test_a_destination_that_is_none_is_told_at_once(live: Live) -> None:
    live.transfer("bad")
    assert live.results == [("unreachable", "'bad' is no number")]
    assert phase(live.call) is Phase.LIVE


def test_a_destination_that_is_not_allowed_is_refused(live: Live) -> None:
    live.transfer("barred")
    assert live.results == [("refused", "'barred' is not allowed")]
    assert phase(live.call) is Phase.LIVE


def test_the_caller_hangs_up_while_it_rings(live: Live) -> None:
    live.transfer()
    live.leg.listener.caller_hangup(live.room.now)
    assert live.far.ended is not None
    assert live.room.ended().reason is EndReason.CALLER_HANGUP
    live.far.dialled.callee_answered(live.room.now)
    assert live.results == []


def test_the_agent_dies_while_it_rings_and_the_caller_still_gets_through() -> None:
    live = Live()
    second = live.room.agent("two")
    live.transfer()
    live.agent.lose()
    assert second.offers
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED
    assert second.instance.calls == set()


def test_what_became_of_it_is_told_to_whoever_has_the_call_by_then() -> None:
    live = Live()
    second = live.room.agent("two")
    live.transfer()
    live.agent.lose()
    second.take()
    live.far.dialled.callee_failed(live.room.now, "busy", "486 Busy Here")
    result = second.last()
    assert isinstance(result, TransferResult)
    assert (result.to, result.outcome, result.detail) == ("200", "busy", "486 Busy Here")
    assert live.results == []


# ---------------------------------------------------------------------- cold


def test_a_cold_transfer_rings_in_the_callers_ear_and_the_bot_is_silent(live: Live) -> None:
    live.transfer(warm=False)
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick(2)
    assert live.media.notes == []
    assert live.leg.notes.count("frame") == 2
    live.far.dialled.callee_failed(live.room.now, "busy", "")
    live.leg.listener.caller_audio(FRAME)
    assert live.media.notes == [f"audio {len(FRAME)}"]


class ReferringLeg(NotedLeg):
    """A caller whose phone can be sent elsewhere."""

    def refer(self, to: str, done: Callable[[bool, str, float], None]) -> bool:
        self.notes.append(f"refer {to}")
        self.done = done
        return True


@pytest.fixture
def referring(live: Live) -> tuple[Live, ReferringLeg]:
    leg = ReferringLeg()
    live.call.state.leg = leg
    return live, leg


def test_a_cold_transfer_sends_the_callers_own_phone_there(referring: tuple[Live, ReferringLeg]) -> None:
    live, leg = referring
    live.transfer(warm=False)
    assert leg.notes == ["refer 200"]
    leg.done(True, "", live.room.now)
    assert live.results == [("bridged", "")]
    assert live.room.ended().reason is EndReason.TRANSFERRED
    assert live.room.dialler.legs == []


def test_a_phone_that_does_not_let_itself_be_sent_is_connected_here(
    referring: tuple[Live, ReferringLeg],
) -> None:
    live, leg = referring
    live.transfer(warm=False)
    leg.done(False, "603 Decline", live.room.now)
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED


# ---------------------------------------------------------------------- by the caller's own network


class NetworkLeg(NotedLeg):
    """A caller whose network makes transfers."""

    def transfer(self, request: Transfer, done: TransferDone, **_: object) -> bool:
        self.notes.append(f"transfer {request.to} {request.warm}")
        self.done = done
        return True


@pytest.fixture
def networked(live: Live) -> tuple[Live, NetworkLeg]:
    leg = NetworkLeg()
    live.call.state.leg = leg
    return live, leg


@pytest.mark.parametrize("warm", [True, False])
def test_a_callers_own_network_makes_the_transfer(networked: tuple[Live, NetworkLeg], warm: bool) -> None:
    live, leg = networked
    live.transfer(warm=warm)
    assert leg.notes == [f"transfer 200 {warm}"]
    leg.done("bridged", "", live.room.now)
    assert live.results == [("bridged", "")]
    assert live.room.ended().reason is EndReason.TRANSFERRED
    assert live.room.dialler.legs == []


def test_a_transfer_that_the_network_did_not_make_leaves_the_caller_with_the_bot(
    networked: tuple[Live, NetworkLeg],
) -> None:
    live, leg = networked
    live.transfer()
    leg.done("busy", "engaged", live.room.now)
    assert live.results == [("busy", "engaged")]
    assert phase(live.call) is Phase.LIVE
    live.transfer()
    assert len(leg.notes) == 2, "another one can be asked for"


def test_a_network_that_says_nothing_is_waited_for_a_bit_longer_than_it_rings(
    networked: tuple[Live, NetworkLeg],
) -> None:
    live, leg = networked
    live.transfer()
    live.room.wait(15)
    assert live.results == []
    live.room.wait(6)
    assert live.results == [("no_answer", "nobody answered within 15 s")]
    leg.done("bridged", "", live.room.now)
    assert len(live.results) == 1


# ---------------------------------------------------------------------- what is told of a transfer


def told_of(live: Live) -> list[ConversationReported]:
    told: list[ConversationReported] = []

    def watcher(news: BusEvent) -> None:
        if isinstance(news, ConversationReported):
            told.append(news)

    live.room.board.event_bus.subscribe(watcher)
    return told


def test_whoever_watches_is_told_what_became_of_a_transfer(live: Live) -> None:
    told = told_of(live)
    live.room.now += 7
    live.transfer("200")
    live.transfer("300")
    live.far.dialled.callee_answered(live.room.now)
    refused, bridged = told
    assert (refused.event, refused.number, refused.at) == ("transfer", 1, 7)
    assert (refused.data["to"], refused.data["outcome"]) == ("300", "refused")
    assert bridged.number == 2
    assert bridged.data == {
        "request_id": "t1",
        "to": "200",
        "warm": True,
        "outcome": "bridged",
        "detail": "",
    }


def test_a_transfer_that_the_end_of_the_call_cut_off_is_told_too(live: Live) -> None:
    told = told_of(live)
    live.transfer()
    live.leg.listener.caller_hangup(live.room.now)
    [event] = told
    assert event.data["outcome"] == "failed"
    assert event.data["detail"] == "the call was over before: caller_hangup"


def test_the_end_of_a_call_that_was_transferred_is_no_second_outcome(live: Live) -> None:
    told = told_of(live)
    live.transfer()
    live.far.dialled.callee_answered(live.room.now)
    live.leg.listener.caller_hangup(live.room.now)
    assert [event.data["outcome"] for event in told] == ["bridged"]


@pytest.mark.parametrize("warm", [False, True])
def test_a_transfer_that_rings_needs_no_agent(live: Live, warm: bool) -> None:
    live.transfer(warm=warm)
    live.agent.lose()
    live.room.wait(2 * RECOVERY_S)
    assert phase(live.call) is Phase.OFFERING
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED


def test_a_call_without_an_agent_ends_when_its_transfer_has_come_to_nothing(live: Live) -> None:
    live.transfer()
    live.agent.lose()
    live.room.wait(14.9)
    assert live.leg.ended is None
    live.room.wait(0.5)
    assert live.far.ended is not None
    assert live.leg.ended is not None
    assert live.leg.ended[0] is EndReason.AGENT_LOST


def test_an_agent_that_comes_late_has_the_caller_whose_transfer_rings(live: Live) -> None:
    live.transfer()
    live.agent.lose()
    live.room.wait(2 * RECOVERY_S)
    second = live.room.agent("two")
    second.open_media()
    second.accept()
    live.room.wait(LIMITS.setup_s - 5.5)  # the transfer has come to nothing meanwhile
    assert phase(live.call) is Phase.SETUP
    live.room.wait(5.5)
    assert live.leg.ended is not None
    assert live.leg.ended[0] is EndReason.SETUP_TIMEOUT


def test_one_that_is_not_ready_in_time_costs_a_caller_whose_transfer_rings_nothing(live: Live) -> None:
    second = live.room.agent("two")
    live.transfer()
    live.agent.lose()
    second.open_media()
    second.accept()
    live.room.wait(LIMITS.setup_s + 0.5)
    assert phase(live.call) is Phase.OFFERING
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED


def killed(live: Live, other: NotedAgent) -> None:
    """Its instance is killed, and it is named as the culprit, while it is offered to another one."""
    live.agent.lose()
    detail, call_id = "it had 351 MB of memory of its own", live.call.call_id
    name = live.agent.instance.instance_id
    other.say(InstanceDied(instance_id=name, detail=detail, calls=[call_id], culprit=call_id))


def named_first(live: Live, other: NotedAgent) -> None:
    detail, call_id = "it had 351 MB of memory of its own", live.call.call_id
    name = live.agent.instance.instance_id
    other.say(InstanceDied(instance_id=name, detail=detail, calls=[call_id], culprit=call_id))
    live.agent.lose()


def blocks_to_its_limit(live: Live, _: NotedAgent) -> None:
    blocked(live.agent, live.call.call_id, blocked_s=1.0, limit_s=5.0)
    live.room.wait(4.5)


def blocks_until_its_agent_is_lost(live: Live, _: NotedAgent) -> None:
    blocked(live.agent, live.call.call_id, blocked_s=1.0)
    live.agent.lose()


def breaks_the_media_protocol(live: Live, _: NotedAgent) -> None:
    live.call.agent.media_fault(live.media, live.room.now, "too far ahead")


def loses_too_many(live: Live, other: NotedAgent) -> None:
    live.call.agent.assignment.losses.count = SuspectLosses.MOST
    live.agent.lose()


HARM: dict[Callable[[Live, NotedAgent], None], str] = {
    killed: "351 MB",
    named_first: "351 MB",
    blocks_to_its_limit: "bot.py:12 in look_up",
    blocks_until_its_agent_is_lost: "bot.py:12 in look_up",
    breaks_the_media_protocol: "too far ahead",
    loses_too_many: "after 20 others",
}


@pytest.mark.parametrize("harm", HARM)
def test_a_call_that_harms_its_agents_waits_without_one_for_the_person_whom_its_transfer_rings(
    live: Live, harm: Callable[[Live, NotedAgent], None]
) -> None:
    second = live.room.agent("two")
    live.transfer()
    harm(live, second)
    assert phase(live.call) is Phase.OFFERING
    offers = len(second.offers)
    third = live.room.agent("three")
    live.room.wait(2 * RECOVERY_S - 5)
    assert (len(second.offers), len(third.offers)) == (offers, 0), "it would harm them, too"
    assert live.agent.instance.calls | second.instance.calls == set()
    live.far.dialled.callee_answered(live.room.now)
    assert phase(live.call) is Phase.BRIDGED


@pytest.mark.parametrize("harm", HARM)
def test_it_ends_for_what_it_did_when_nobody_takes_it(
    live: Live, harm: Callable[[Live, NotedAgent], None]
) -> None:
    live.transfer()
    harm(live, live.room.agent("two"))
    live.room.wait(15.5)
    assert live.far.ended is not None
    assert live.leg.ended is not None
    assert HARM[harm] in live.leg.ended[1]
    assert live.leg.ended[0] is (EndReason.AGENT_LOST if harm is loses_too_many else EndReason.ERROR)
