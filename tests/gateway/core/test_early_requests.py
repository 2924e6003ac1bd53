"""What an instance asks for before the call is live with it: it is done when it is, or not at all."""

from __future__ import annotations

from piopiy_pipeline.gateway.core.early_requests import EarlyRequests
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import (
    Checkpoint,
    Control,
    Ended,
    Transfer,
    TransferResult,
)
from tests.support.moved_calls import MovingCall
from tests.support.switchboard import Room


def transfer(request_id: str = "t1") -> Transfer:
    return Transfer(call_id="call-1", request_id=request_id, to="200")


def test_what_the_next_one_asks_for_before_the_change_is_done_after_it(room: Room) -> None:
    """Its callback runs on when it has answered, and its media stream may be seen to start later."""
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = two.open_media()
    two.accept()
    two.answer()
    two.say(transfer())
    two.say(Control(call_id="call-1", what="mute", on=True))
    scene.call.agent.bot_dtmf(media, "9")
    scene.call.agent.bot_data(media, {"shown": 1})
    assert (room.dialler.legs, scene.call.media_path.muted) == ([], False)
    assert not scene.call.control.transferring
    two.start_media(media)
    assert scene.holder == "two"
    assert (len(room.dialler.legs), scene.call.media_path.muted) == (1, True)
    assert scene.leg.notes[-2:] == ["dtmf 9", "data {'shown': 1}"]
    room.dialler.legs[0].dialled.callee_failed(room.now, "busy", "486")
    result = two.last()
    assert isinstance(result, TransferResult)
    assert (result.request_id, result.outcome) == ("t1", "busy")
    assert not [message for message in scene.one.sent if isinstance(message, TransferResult)]


def test_what_it_asked_for_is_not_done_if_the_call_stays(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = two.open_media()
    two.accept()
    two.answer()
    two.say(transfer())
    two.say(Control(call_id="call-1", what="mute", on=True))
    scene.one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    assert isinstance(two.last(), Ended)
    assert (media.closed, room.dialler.legs, scene.call.media_path.muted) == (True, [], False)
    two.say(transfer("t2"))
    result = two.last()
    assert isinstance(result, TransferResult)
    assert (result.outcome, result.detail) == ("refused", "this instance does not have the call")


def test_so_is_what_is_asked_for_before_a_call_is_live_and_more_than_is_kept_is_refused(room: Room) -> None:
    one = room.agent("one")
    call, _ = room.call()
    media = one.open_media()
    one.accept()
    one.answer()
    one.say(transfer())
    for _ in range(EarlyRequests.MOST - 1):
        one.say(Control(call_id="call-1", what="mute", on=True))
    one.say(transfer("t2"))
    result = one.last()
    assert isinstance(result, TransferResult)
    assert (result.request_id, result.outcome) == ("t2", "refused")
    one.start_media(media)
    assert (call.phase, len(room.dialler.legs), call.media_path.muted) == (Phase.LIVE, 1, True)
