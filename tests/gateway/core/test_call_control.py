"""What can be done with a call in progress: hold, mute, a recording, a shorter limit."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.gateway_call import CallOptions
from piopiy_pipeline.gateway.core.media_path import MediaPath
from piopiy_pipeline.signaling.messages import Control, Move, Transfer
from tests.support.live_call import FRAME, Live, holds
from tests.support.switchboard import NotedLeg, NotedMedia, Room


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


def test_an_agent_controls_no_call_but_its_own(live: Live) -> None:
    other = live.room.agent("two")
    other.say(Transfer(call_id=live.call.call_id, request_id="x", to="200"))
    other.say(Control(call_id=live.call.call_id, what="mute", on=True))
    assert live.room.dialler.legs == []
    assert not live.call.media_path.muted


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


class LateLeg(NotedLeg):
    """A caller who comes later than the bot."""

    there = True

    @property
    def hears(self) -> bool:
        return self.there


def test_the_bots_speech_waits_for_a_caller_who_is_not_there_yet() -> None:
    leg = LateLeg()
    path = MediaPath(leg)
    media = NotedMedia()
    leg.there = False
    path.on_frame_tick(1.0, media)
    assert (media.pauses, media.frame_ticks, leg.notes) == (1, 0, [])
    leg.there = True
    path.on_frame_tick(1.02, media)
    assert (media.frame_ticks, leg.notes) == (1, ["frame"])


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
