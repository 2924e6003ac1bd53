"""A telephone as a leg: what SIP says becomes the call's, what the call wants becomes SIP's, exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialRefused
from piopiy_pipeline.gateway.phones.dialled_sip_leg import DialledSipLeg
from piopiy_pipeline.gateway.phones.phones import metadata
from piopiy_pipeline.gateway.phones.sip_leg import IncomingSipLeg, SipLeg, refusal
from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import PortPool
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener, Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName, Negotiation, SdpRefused, SessionDescription

LOUD = bytes([0x80 + 20]) * 160
CODECS: list[CodecName] = ["G722", "PCMU"]


class NotedCall:
    """In the place of a `SipCall`: notes what the leg asks of it."""

    def __init__(self, offer: SessionDescription | None) -> None:
        self.offer = offer
        self.noted: list[str] = []
        self.answered_with: SessionDescription | None = None
        self.takes_refer = True
        self.call_id, self.from_name, self.headers = (
            "id@phone",
            "Alice",
            {"X-Order": "42", "User-Agent": "Test 1"},
        )
        self.source, self.user, self.present = ("127.0.0.1", 5060), "", True

    def attach(self, listener: CallListener) -> None:
        self.noted.append("attach")

    def ring(self, now: float) -> None:
        self.noted.append("180")

    def answer(self, description: SessionDescription, now: float) -> None:
        self.noted.append("200")
        self.answered_with = description

    def reject(self, code: int, phrase: str, now: float) -> None:
        self.noted.append(f"{code}")

    def hangup(self, now: float) -> None:
        self.noted.append("hangup")

    def refer(self, target: str, now: float) -> bool:
        if " " in target:
            raise ValueError("no URI")
        self.noted.append(f"refer {target}")
        return self.takes_refer


class Host:
    """In the place of `Phones`."""

    media_timeout_s = 30.0

    def __init__(self) -> None:
        self.open: list[SipLeg] = []

    def refer_target(self, to: str, call: SipCall) -> str | None:
        return None if to == "nowhere" else f"sip:{to}@pbx"

    def leg_opened(self, leg: SipLeg) -> None:
        self.open.append(leg)

    def leg_closed(self, leg: SipLeg) -> None:
        if leg in self.open:
            self.open.remove(leg)


class Listener:
    """In the place of a call of the gateway."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.sound = b""
        self.leg: SipLeg | None = None

    def caller_audio(self, pcm: bytes) -> None:
        self.sound += pcm

    def caller_dtmf(self, digits: str) -> None:
        self.told.append(f"keys {digits}")

    def caller_data(self, data: dict[str, Any]) -> None:
        raise AssertionError("a telephone has no application")

    def caller_hangup(self, now: float, detail: str = "") -> None:
        self.told.append(f"hangup {detail}".strip())
        if self.leg is not None:
            self.leg.end(EndReason.CALLER_HANGUP, detail)

    def callee_ringing(self, now: float) -> None:
        self.told.append("rings")

    def callee_answered(self, now: float) -> None:
        self.told.append("answered")

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        self.told.append(f"failed: {why}")


class Stage:
    """A leg with everything around it, and the phone's own side of the negotiation and of the voice."""

    def __init__(
        self,
        *,
        offers: bool = True,
        codecs: list[CodecName] | None = None,
        dialled: bool = False,
        ways: int = 1,
    ) -> None:
        pool = PortPool("127.0.0.1", 40_000, 60_000)
        self.loop = asyncio.get_running_loop()
        self.phone = pool.open()
        self.theirs = Negotiation(
            host="127.0.0.1", port=self.phone.port, codecs=codecs or ["PCMU"], session_id=1, rtcp_mux=False
        )
        self.line = RtpTransport(pool.open())
        self.host, self.listener = Host(), Listener()
        ours = Negotiation(host="127.0.0.1", port=self.line.port, codecs=CODECS, session_id=2)
        self.call = NotedCall(self.theirs.offer() if offers else None)
        self.invited: SessionDescription | None = None
        self.invites = 0
        self.refuses: str | None = None
        if dialled:
            self.leg: SipLeg = DialledSipLeg(self.line, ours, self.host, ways=(self._invite,) * ways)
        else:
            self.leg = IncomingSipLeg(cast("IncomingCall", self.call), self.line, ours, self.host)
            self.leg.attach(self.listener)
        self.listener.leg = self.leg

    def _invite(self, offer: SessionDescription, leg: SipLeg) -> OutgoingCall:
        if self.refuses is not None:
            raise DialRefused(self.refuses)
        self.invited = offer
        self.invites += 1
        return cast("OutgoingCall", self.call)

    @property
    def now(self) -> float:
        return self.loop.time()

    def speaks(self, packets: int, first: int = 1) -> None:
        for n in range(first, first + packets):
            self.phone.rtp.sendto(build_rtp(0, n, n * 160, 7, LOUD), ("127.0.0.1", self.line.port))

    def hears(self) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append(parse_rtp(self.phone.rtp.recv(2048)).payload)
            except BlockingIOError:
                return heard

    def close(self) -> None:
        self.leg.end(EndReason.SHUTDOWN, "")
        self.phone.close()


def story(of: Callable[[Stage], object], **stage: Any) -> None:
    """Tell a story in a running loop; some of them wait for it once."""

    async def tell() -> None:
        with _closing(Stage(**stage)) as one:
            result = of(one)
            if asyncio.iscoroutine(result):
                await result

    asyncio.run(tell())


@contextmanager
def _closing(stage: Stage) -> Iterator[Stage]:
    try:
        yield stage
    finally:
        stage.close()


# ---------------------------------------------------------------------- calls that come in


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
            leg.on_frame_tick(now + tick * 0.02)
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
        stage.leg.on_frame_tick(stage.now)
        assert stage.hears() == []
        stage.leg.call_answered(None, stage.now)
        stage.leg.on_frame_tick(stage.now + 0.02)
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
        leg.on_frame_tick(stage.now)
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
        stage.leg.on_frame_tick(start + 29.9)
        assert stage.listener.told == []
        stage.leg.on_frame_tick(start + 30.1)
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
            leg.on_frame_tick(later + tick * 0.02)
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
        stage.leg.on_frame_tick(stage.now)
        stage.leg.call_dtmf("5", stage.now)
        stage.leg.call_dtmf("6", stage.now)
        assert stage.listener.told == ["keys 5", "keys 6"]

    story(of)


def test_keys_of_the_bot_go_out() -> None:
    def of(stage: Stage) -> None:
        stage.leg.answer()
        stage.leg.dtmf("5")
        for tick in range(3):
            stage.leg.on_frame_tick(stage.now + tick * 0.02)
        assert [payload[0] for payload in stage.hears()] == [5, 5, 5]

    story(of)


# ---------------------------------------------------------------------- sent elsewhere


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


# ---------------------------------------------------------------------- calls that go out


def dialled(stage: Stage) -> DialledSipLeg:
    assert isinstance(stage.leg, DialledSipLeg)
    stage.leg.call(stage.listener)
    return stage.leg


@pytest.mark.parametrize(
    ("ending", "code", "again"),
    [(Ending.REFUSED, 430, True), (Ending.LOST, 503, True), (Ending.REFUSED, 486, False)],
)
def test_another_way_is_tried_when_the_first_leads_nowhere_and_not_when_the_phone_has_spoken(
    ending: Ending, code: int, again: bool
) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invites == 1
        leg.call_ended(ending, code, "", stage.now)
        assert stage.invites == (2 if again else 1)
        assert bool(stage.listener.told) is not again
        leg.call_ended(Ending.LOST, 408, "", stage.now)
        assert stage.invites == (2 if again else 1), "there are two ways"
        assert len(stage.listener.told) == 1

    story(of, dialled=True, ways=2)


def test_a_dialled_phone_rings_answers_and_speaks() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invited is not None
        leg.call_ringing(stage.now)
        answer, _ = stage.theirs.answer(stage.invited)
        leg.call_answered(answer, stage.now)
        assert leg.rate == 16000
        stage.speaks(3)
        leg.on_frame_tick(stage.now)
        assert stage.listener.told == ["rings", "answered"]
        assert len(stage.listener.sound) == 640
        leg.call_ended(Ending.PEER_HUNG_UP, 200, "", stage.now)
        assert stage.listener.told[2:] == ["hangup"]

    story(of, dialled=True, codecs=["G722", "PCMU"])


def test_a_description_that_came_early_is_the_answer_when_no_other_comes() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        assert stage.invited is not None
        leg.call_early_media(stage.theirs.answer(stage.invited)[0], stage.now)
        leg.call_answered(None, stage.now)
        assert stage.listener.told == ["answered"]

    story(of, dialled=True)


@pytest.mark.parametrize(
    ("ending", "code", "why"),
    [
        (Ending.NO_ANSWER, 408, "no_answer"),
        (Ending.REFUSED, 486, "busy"),
        (Ending.REFUSED, 603, "declined"),
        (Ending.REFUSED, 404, "unreachable"),
        (Ending.REFUSED, 480, "no_answer"),
        (Ending.REFUSED, 302, "failed"),
        (Ending.LOST, 408, "unreachable"),
    ],
)
def test_a_dialled_phone_that_does_not_answer_is_told_with_its_reason(
    ending: Ending, code: int, why: str
) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        leg.call_ended(ending, code, "", stage.now)
        leg.end(EndReason.NO_ANSWER, "")
        assert stage.listener.told == [f"failed: {why}"]
        assert "hangup" not in stage.call.noted

    story(of, dialled=True)


@pytest.mark.parametrize("answers", [False, True])
def test_an_answer_without_media_is_a_failure_and_is_hung_up(answers: bool) -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        offer = stage.theirs.offer()
        assert offer.audio is not None
        refusing = replace(offer, media=(replace(offer.audio, port=0),))
        leg.call_answered(refusing if answers else None, stage.now)
        assert stage.listener.told == ["failed: failed"]
        assert stage.call.noted == ["hangup"]

    story(of, dialled=True)


def test_a_call_that_goes_out_and_is_given_up_is_cancelled_and_nothing_more_is_told() -> None:
    def of(stage: Stage) -> None:
        leg = dialled(stage)
        leg.end(EndReason.NO_ANSWER, "")
        leg.call_ended(Ending.CANCELLED, 487, "", stage.now)
        assert stage.call.noted == ["hangup"]
        assert stage.listener.told == []

    story(of, dialled=True)


def test_nobody_under_that_number_is_told_but_not_from_within_the_call() -> None:
    async def of(stage: Stage) -> None:
        stage.refuses = "no trunk"
        dialled(stage)
        assert stage.listener.told == []
        await asyncio.sleep(0)
        assert stage.listener.told == ["failed: unreachable"]

    story(of, dialled=True)


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
