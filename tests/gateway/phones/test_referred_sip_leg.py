"""A telephone that is sent elsewhere: how that went is told once, whatever the phone says of it."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from tests.support.sip_leg import Stage, story


def test_a_phone_can_be_sent_elsewhere_and_how_that_went_is_told_once() -> None:
    def of(stage: Stage) -> None:
        went: list[tuple[bool, str]] = []
        leg = stage.leg
        assert not leg.refer("12", lambda accepted, detail, now: None)  # not answered yet
        leg.answer()
        assert not leg.refer("nowhere", lambda accepted, detail, now: None)
        assert leg.refer("12", lambda accepted, detail, now: went.append((accepted, detail)))
        assert stage.call.noted[-1] == "refer sip:12@pbx"
        assert not leg.refer("13", lambda accepted, detail, now: None)  # one at a time
        leg.call_transfer_progress(100, "Trying", stage.now)
        leg.call_transfer_progress(180, "Ringing", stage.now)
        assert went == []
        leg.call_transfer_progress(200, "OK", stage.now)
        leg.call_transfer_progress(200, "OK", stage.now)
        assert went == [(True, "200 OK")]

    story(of)


def test_a_phone_that_gets_where_it_was_sent_when_nobody_waits_any_more_has_left_us() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        assert stage.leg.refer("12", lambda accepted, detail, now: None)  # its transfer was given up
        stage.leg.call_transfer_progress(200, "OK", stage.now)
        assert stage.listener.told == ["hangup the phone got where it was sent, after it had been given up"]
        assert stage.call.noted[-1] == "hangup"

    story(of)


def test_a_refused_transfer_is_told_and_another_may_follow() -> None:
    def of(stage: Stage) -> None:
        went: list[tuple[bool, str]] = []
        leg = stage.leg
        leg.answer()
        assert leg.refer("12", lambda accepted, detail, now: went.append((accepted, detail)))
        leg.call_transfer_progress(486, "Busy Here", stage.now)
        assert went == [(False, "486 Busy Here")]
        assert leg.refer("13", lambda accepted, detail, now: None)

    story(of)


def test_a_phone_that_hangs_up_once_it_was_sent_elsewhere_has_gone_there() -> None:
    def of(stage: Stage) -> None:
        went: list[bool] = []

        def done(accepted: bool, detail: str, now: float) -> None:
            went.append(accepted)
            stage.leg.end(EndReason.TRANSFERRED, "")

        stage.leg.answer()
        assert stage.leg.refer("12", done)
        stage.leg.call_ended(Ending.PEER_HUNG_UP, 200, "", stage.now)
        assert went == [True]
        assert stage.listener.told == []

    story(of)


def test_where_a_phone_cannot_be_sent_it_says_so_at_once() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        assert not stage.leg.refer("no uri", lambda accepted, detail, now: None)
        stage.call.takes_refer = False
        assert not stage.leg.refer("12", lambda accepted, detail, now: None)

    story(of)
