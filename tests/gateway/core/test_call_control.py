"""What can be done with a call in progress, and calls that go out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialRefused
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.leg import TransferDone
from piopiy_pipeline.gateway.core.media_path import MediaPath
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import Control, Ended, Hangup, Move, Transfer, TransferResult
from tests.support.switchboard import NotedAgent, NotedFarLeg, NotedLeg, NotedMedia, Room

FRAME = b"\1\0" * 320  # 20 ms at 16 kHz


def phase(call: GatewayCall) -> Phase:
    return call.phase


class Live:
    """A call in progress, and everybody on it."""

    def __init__(self) -> None:
        self.room = Room()
        self.agent: NotedAgent = self.room.agent()
        self.call, self.leg = self.room.call()
        self.media: NotedMedia = self.agent.take()

    def control(self, what: str, on: bool) -> None:
        self.agent.say(Control.model_validate({"call_id": self.call.call_id, "what": what, "on": on}))

    def transfer(self, to: str = "200", *, warm: bool = True, summary: str = "") -> None:
        self.agent.say(
            Transfer(
                call_id=self.call.call_id,
                request_id="t1",
                to=to,
                warm=warm,
                summary=summary,
                ring_timeout_s=15,
            )
        )

    @property
    def far(self) -> NotedFarLeg:
        return self.room.dialler.legs[-1]

    @property
    def results(self) -> list[tuple[str, str]]:
        return [(m.outcome, m.detail) for m in self.agent.sent if isinstance(m, TransferResult)]


@pytest.fixture
def live() -> Live:
    return Live()


# ---------------------------------------------------------------------- hold, mute, record


def test_a_muted_caller_is_not_heard_by_the_bot_and_hears_it(live: Live) -> None:
    live.control("mute", True)
    live.leg.listener.caller_audio(FRAME)
    assert live.media.notes == []
    live.room.frame_tick()
    assert "frame" in live.leg.notes
    live.control("mute", False)
    live.leg.listener.caller_audio(FRAME)
    assert live.media.notes == [f"audio {len(FRAME)}"]


def test_on_hold_the_bots_speech_waits_and_the_caller_hears_that_the_line_is_alive(live: Live) -> None:
    live.control("hold", True)
    live.control("hold", True)
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick(3)
    assert live.media.notes == []
    assert (live.media.frame_ticks, live.media.pauses) == (0, 3)
    assert live.leg.notes.count("frame") == 3
    live.control("hold", False)
    live.room.frame_tick()
    assert live.media.frame_ticks == 1


def test_a_bot_that_is_interrupted_is_cleared_on_the_line_too_but_not_under_the_sound_of_a_hold(
    live: Live,
) -> None:
    live.call.agent.bot_cleared(NotedMedia())
    assert "clear" not in live.leg.notes
    live.control("hold", True)
    live.call.agent.bot_cleared(live.media)
    assert "clear" not in live.leg.notes
    live.control("hold", False)
    live.call.agent.bot_cleared(live.media)
    assert live.leg.notes.count("clear") == 1


def test_a_recording_holds_both_sides_and_ends_with_the_call(live: Live) -> None:
    live.control("record", True)
    live.control("record", True)
    [tap] = live.room.recordings.taps
    assert tap.rate == live.leg.rate
    live.leg.listener.caller_audio(FRAME)
    live.room.frame_tick()
    assert [side for side, _ in tap.heard] == ["caller", "bot"]
    live.leg.listener.caller_hangup(live.room.now)
    assert tap.closed


def test_a_recording_can_be_ended_and_begun_again(live: Live) -> None:
    live.control("record", True)
    live.control("record", False)
    live.leg.listener.caller_audio(FRAME)
    live.control("record", True)
    first, second = live.room.recordings.taps
    assert first.closed
    assert not first.heard
    assert not second.closed


@pytest.mark.parametrize(("record", "taps"), [(True, 1), (False, 0), (None, 1)])
def test_a_call_may_be_recorded_from_its_answer_on(record: bool | None, taps: int) -> None:
    room = Room()
    room.board.resources.record = True
    agent = room.agent()
    leg = NotedLeg()
    info = room.call()[0].info
    room.board.place(info, leg, room.now, CallOptions(record=record))
    agent.take()
    assert len(room.recordings.taps) == taps


# ---------------------------------------------------------------------- warm


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


def test_an_agent_controls_no_call_but_its_own(live: Live) -> None:
    other = live.room.agent("two")
    other.say(Transfer(call_id=live.call.call_id, request_id="x", to="200"))
    other.say(Control(call_id=live.call.call_id, what="mute", on=True))
    assert live.room.dialler.legs == []
    assert not live.call.media_path.muted


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


def holds(agent: NotedAgent) -> list[bool]:
    return [message.on for message in agent.sent if isinstance(message, Control) and message.what == "hold"]


def test_an_agent_is_told_that_its_caller_is_on_hold_whoever_asked(live: Live) -> None:
    live.call.control.switch("hold", True)
    live.call.control.switch("hold", True)
    assert holds(live.agent) == [True]
    live.call.control.switch("hold", False)
    assert holds(live.agent) == [True, False]
    live.transfer(warm=False)
    live.far.dialled.callee_failed(live.room.now, "busy", "")
    assert holds(live.agent) == [True, False, True, False]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("asked", [None, False, True])
def test_a_hold_is_what_was_asked_for_when_a_cold_transfer_comes_to_nothing(
    live: Live, before: bool, asked: bool | None
) -> None:
    live.control("hold", before)
    live.transfer(warm=False)
    if asked is not None:
        assert live.call.control.switch("hold", asked)
    assert live.call.state.media_path.held, "the transfer holds the caller"
    live.far.dialled.callee_failed(live.room.now, "busy", "")
    after = before if asked is None else asked
    assert live.call.state.media_path.held is after
    assert holds(live.agent)[-1] is after
    live.control("hold", False)
    live.leg.listener.caller_audio(FRAME)
    assert live.media.notes[-1] == f"audio {len(FRAME)}"


def test_a_hold_can_be_begun_and_ended_while_a_warm_transfer_rings(live: Live) -> None:
    live.transfer(warm=True)
    live.call.control.switch("hold", True)
    assert holds(live.agent) == [True]
    live.call.control.switch("hold", False)
    assert holds(live.agent) == [True, False]


def test_a_call_on_hold_moves_on_hold() -> None:
    live = Live()
    second = live.room.agent("two")
    live.control("hold", True)
    live.agent.say(Move(call_id=live.call.call_id, heard_s=1.0))
    second.take()
    assert holds(second) == [True]
    assert live.call.state.media_path.held


def test_an_agent_that_takes_a_call_over_is_told_that_it_is_on_hold() -> None:
    live = Live()
    second = live.room.agent("two")
    live.control("hold", True)
    live.agent.lose()
    second.open_media()
    second.accept()
    assert holds(second) == [True]


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
    """A caller whose network makes transfers, and who comes later than the bot."""

    there = True

    @property
    def hears(self) -> bool:
        return self.there

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


def test_the_bots_speech_waits_for_a_caller_who_is_not_there_yet() -> None:
    leg = NetworkLeg()
    path = MediaPath(leg)
    media = NotedMedia()
    leg.there = False
    path.on_frame_tick(1.0, media)
    assert (media.pauses, media.frame_ticks, leg.notes) == (1, 0, [])
    leg.there = True
    path.on_frame_tick(1.02, media)
    assert (media.frame_ticks, leg.notes) == (1, ["frame"])


# ---------------------------------------------------------------------- calls that go out


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


def test_a_call_may_be_shorter_than_the_gateways_limit_and_never_longer() -> None:
    room = Room()
    agent = room.agent()
    leg = NotedLeg()
    info = room.call()[0].info
    agent.reject()
    room.board.place(info, leg, room.now, CallOptions(max_duration_s=5))
    agent.take()
    room.wait(5.1)
    assert room.ended().reason is EndReason.MAX_DURATION
    assert room.ended().detail == "the limit of 5 s was reached"


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
    room.board.shutdown(room.now)
    with pytest.raises(DialRefused, match="shutting down"):
        room.dial("200")
