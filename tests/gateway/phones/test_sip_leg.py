"""A telephone as a leg: what SIP says becomes the call's, what the call wants becomes SIP's, exactly once."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.phones.phones import metadata
from piopiy_pipeline.gateway.phones.sip_leg import IncomingSipLeg, refusal
from piopiy_pipeline.gateway.rtp.packet import build_rtp
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName, Negotiation, SdpRefused
from tests.support.agents import logged
from tests.support.sip_leg import CODECS, NotedCall, Stage, story


def test_a_call_rings_is_answered_with_our_address_and_then_sound_flows_both_ways() -> None:
    def of(stage: Stage) -> None:
        leg = stage.leg
        leg.ring("id")
        leg.answer()
        assert stage.call.noted == ["attach", "180", "200"]
        assert stage.call.answered_with is not None
        assert stage.call.answered_with.audio is not None
        assert stage.call.answered_with.audio.port == stage.line.port
        assert stage.host.open == [leg]
        stage.speaks(5)
        leg.send_audio(b"\x00\x20" * 160)
        now = stage.now
        for tick in range(4):
            leg.on_half_tick(now + tick * 0.02)
        assert len(stage.listener.sound) == 4 * 320
        assert any(stage.listener.sound)
        assert [payload == b"\xff" * 160 for payload in stage.hears()] == [False, True, True, True]
        assert leg.line_quality()["packets_received"] == 5

    story(of)


def test_who_may_have_a_false_sender_is_sent_no_voice_before_the_answer_was_acknowledged() -> None:
    """Otherwise one datagram would have a call's worth of them sent to whomever it names."""

    def of(stage: Stage) -> None:
        stage.call.present = False
        stage.leg.answer()
        stage.leg.on_half_tick(stage.now)
        assert stage.hears() == []
        stage.leg.call_answered(None, stage.now)
        stage.leg.on_half_tick(stage.now + 0.02)
        assert len(stage.hears()) == 1

    story(of)


@pytest.mark.parametrize(("codecs", "rate"), [(["PCMU"], 8000), (["G722", "PCMU"], 16000)])
def test_the_rate_is_known_before_anybody_is_asked(codecs: list[CodecName], rate: int) -> None:
    story(lambda stage: _same(stage.leg.rate, rate), codecs=codecs)


def _same(one: object, other: object) -> None:
    assert one == other


def test_an_offer_without_a_codec_of_ours_is_refused() -> None:
    def of(stage: Stage) -> None:
        offer = Negotiation(host="127.0.0.1", port=9, codecs=["opus"], session_id=3).offer()
        ours = Negotiation(host="127.0.0.1", port=9, codecs=CODECS, session_id=4)
        with pytest.raises(SdpRefused, match="none of G722, PCMU"):
            IncomingSipLeg(cast("IncomingCall", NotedCall(offer)), stage.line, ours, stage.host)

    story(of)


def test_a_phone_that_leaves_the_offer_to_us_gets_one_and_sound_flows_with_its_answer() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        assert stage.host.open == []
        assert stage.call.answered_with is not None
        answer, _ = stage.theirs.answer(stage.call.answered_with)
        stage.leg.call_answered(answer, stage.now)
        assert stage.host.open == [stage.leg]

    story(of, offers=False)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (EndReason.BUSY, 486),
        (EndReason.NO_AGENT, 480),
        (EndReason.AGENT_HANGUP, 603),
        (EndReason.SETUP_TIMEOUT, 504),
        (EndReason.SHUTDOWN, 503),
        (EndReason.ERROR, 500),
        (EndReason.AGENT_LOST, 500),
    ],
)
def test_a_call_that_is_not_answered_ends_with_the_status_that_says_why(
    reason: EndReason, status: int
) -> None:
    assert refusal(reason)[0] == status

    def of(stage: Stage) -> None:
        stage.leg.end(reason, "")
        stage.leg.end(EndReason.ERROR, "again")
        assert stage.call.noted == ["attach", str(status)]

    story(of)


def test_after_the_answer_it_ends_with_a_bye_and_everything_is_safe_to_call() -> None:
    def of(stage: Stage) -> None:
        leg = stage.leg
        leg.answer()
        leg.end(EndReason.AGENT_HANGUP, "")
        assert stage.call.noted[-1] == "hangup"
        assert stage.host.open == []
        assert stage.line.session is None  # its buffers are not kept ...
        assert leg.line_quality()["packets_received"] == 0  # ... but what was measured is
        noted = list(stage.call.noted)
        leg.ring("id")
        leg.answer()
        leg.send_audio(bytes(320))
        leg.dtmf("1")
        leg.on_half_tick(stage.now)
        leg.call_dtmf("1", stage.now)
        leg.call_ended(Ending.PEER_HUNG_UP, 200, "", stage.now)
        assert not leg.refer("12", lambda accepted, detail, now: None)
        assert stage.call.noted == noted
        assert stage.listener.told == []

    story(of)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (Ending.PEER_HUNG_UP, "hangup"),
        (Ending.CANCELLED, "hangup"),
        (Ending.LOST, "hangup the phone was lost: 408 no ACK"),
    ],
)
def test_who_hangs_up_is_told_once_and_gets_no_bye(ending: Ending, told: str) -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        stage.leg.call_ended(ending, 408, "no ACK", stage.now)
        assert stage.listener.told == [told]
        assert "hangup" not in stage.call.noted
        assert stage.host.open == []

    story(of)


def test_a_phone_that_is_not_heard_for_too_long_is_given_up() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        start = stage.now
        stage.leg.on_half_tick(start + 29.9)
        assert stage.listener.told == []
        stage.leg.on_half_tick(start + 30.1)
        assert stage.listener.told == ["hangup media lost: nothing was heard of the phone for 30 s"]
        assert stage.call.noted[-1] == "hangup"

    story(of)


def test_on_hold_the_bot_hears_silence_the_phone_nothing_and_nobody_is_given_up() -> None:
    def of(stage: Stage) -> None:
        leg = stage.leg
        leg.answer()
        answer = leg.call_reoffered(stage.theirs.offer(direction="sendonly"), stage.now)
        assert answer is not None
        assert answer.audio is not None
        assert answer.audio.direction == "recvonly"
        stage.speaks(5)
        leg.send_audio(b"\x00\x20" * 160)
        later = stage.now + 60
        for tick in range(5):
            leg.on_half_tick(later + tick * 0.02)
        assert stage.hears() == []
        assert stage.listener.sound == bytes(5 * 320)
        assert stage.listener.told == []
        leg.call_reoffered(stage.theirs.offer(), stage.now)
        leg.send_audio(b"\x00\x20" * 160)
        assert len(stage.hears()) == 1

    story(of)


def test_a_reinvite_without_an_offer_is_answered_with_ours() -> None:
    def of(stage: Stage) -> None:
        leg = stage.leg
        assert leg.call_reoffered(None, stage.now) is None  # not answered yet
        leg.answer()
        offer = leg.call_reoffered(None, stage.now)
        assert offer is not None
        answer, _ = stage.theirs.answer(offer, direction="inactive")
        leg.call_reanswered(answer, stage.now)
        assert stage.line.session is not None
        assert stage.line.session.held

    story(of)


def test_an_answer_that_cannot_be_used_ends_the_call() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        refused = stage.theirs.offer()
        assert refused.audio is not None
        refused = replace(refused, media=(replace(refused.audio, port=0),))
        stage.leg.call_reoffered(None, stage.now)
        stage.leg.call_reanswered(refused, stage.now)
        assert stage.listener.told == [
            "hangup the phone's media cannot be used: the answer refuses the audio"
        ]
        assert stage.call.noted[-1] == "hangup"

    story(of)


def test_keys_come_by_info_too() -> None:
    def of(stage: Stage) -> None:
        stage.leg.call_dtmf("1", stage.now)  # before the answer nobody listens
        stage.leg.answer()
        stage.leg.call_dtmf("5", stage.now)
        assert stage.listener.told == ["keys 5"]

    story(of)


def test_a_key_that_comes_by_info_and_by_rtp_counts_once() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        pressed = b"\x05\x0a\x00\xa0"
        stage.phone.rtp.sendto(build_rtp(101, 1, 160, 7, pressed), ("127.0.0.1", stage.line.port))
        stage.leg.on_half_tick(stage.now)
        stage.leg.call_dtmf("5", stage.now)
        stage.leg.call_dtmf("6", stage.now)
        assert stage.listener.told == ["keys 5", "keys 6"]

    story(of)


def test_a_call_that_cannot_be_kept_goes_on_and_that_is_logged_once() -> None:
    def of(stage: Stage) -> None:
        def kept() -> None:
            raise ValueError("far too long")

        stage.call.kept = kept  # type: ignore[attr-defined]
        stage.leg.answer()
        lines: list[str] = []
        sink = logger.add(lines.append, format="{message}")
        try:
            assert [stage.leg.kept() for _ in range(3)] == [None, None, None]
        finally:
            logger.remove(sink)
        assert lines == ["the call cannot go on in another process: far too long\n"]

    story(of)


def test_keys_of_the_bot_go_out() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        stage.leg.dtmf("5")
        for tick in range(3):
            stage.leg.on_half_tick(stage.now + tick * 0.02)
        assert [payload[0] for payload in stage.hears()] == [5, 5, 5]

    story(of)


def test_keys_for_which_there_is_no_room_are_told_in_the_log() -> None:
    def of(stage: Stage) -> None:
        stage.leg.ring("id")
        stage.leg.answer()
        with logged() as lines:
            for _ in range(3):
                stage.leg.dtmf("1" * 64)
        assert lines == [("id", "WARNING 64 of 64 keys were not sent to the phone: too many wait")]

    story(of)


def test_what_a_bot_is_told_of_a_call() -> None:
    assert metadata(cast("SipCall", NotedCall(None))) == {
        "X-Order": "42",
        "sip": {"call_id": "id@phone", "from_name": "Alice", "headers": {"User-Agent": "Test 1"}},
    }


def test_what_a_bot_is_told_of_a_call_can_be_written_down() -> None:
    """A Call-ID may be of any bytes, and a record is of text."""
    call = NotedCall(None)
    call.call_id = b"a\xff\x1b[31m".decode("utf-8", "surrogateescape")
    assert metadata(cast("SipCall", call))["sip"]["call_id"] == "a\N{REPLACEMENT CHARACTER} [31m"
