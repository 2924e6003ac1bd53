"""The media of a call as a whole: two sessions that talk to each other, and what goes wrong between them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.rtcp import parse_rtcp
from piopiy_pipeline.gateway.rtp.session import UNPROVEN_S, RtpSession, reachable
from piopiy_pipeline.gateway.sip.sdp.negotiation import CODECS, AgreedMedia, MediaFormat

HERE, THERE = ("127.0.0.1", 20_000), ("127.0.0.1", 30_000)
EVENTS = MediaFormat(101, "telephone-event", 8000)
TONE = (8000 * np.sin(2 * np.pi * 400 * np.arange(160) / 8000)).astype("<i2").tobytes()


def media(peer: tuple[str, int] = THERE, codec: str = "PCMU", **changes: object) -> AgreedMedia:
    agreed = AgreedMedia(
        host=peer[0],
        port=peer[1],
        codec=CODECS[codec],
        receive=(CODECS[codec],),
        events_out=EVENTS,
        events_in=(EVENTS,),
        sends=True,
        receives=True,
        rtcp_port=peer[1] + 1,
    )
    return replace(agreed, **changes)  # type: ignore[arg-type]  # the tests name the fields


def session(agreed: AgreedMedia | None = None, *, seed: int = 1) -> RtpSession:
    return RtpSession(agreed or media(), now=0.0, wall_s=1e9, cname="test", rng=Random(seed))


class Pair:
    """Two sessions with a network between them that loses what it is told to, and takes 10 ms."""

    def __init__(self, here: AgreedMedia | None = None, there: AgreedMedia | None = None) -> None:
        self.here = session(here, seed=1)
        self.there = session(there or media(HERE), seed=2)
        self.now = 0.0
        self.sent = 0
        self.heard: list[bytes] = []
        self.keys = ""

    def run(self, seconds: float, *, says: bytes | None = TONE, loses: frozenset[int] = frozenset()) -> None:
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            voice = self.here.speech(says) if says is not None else None
            _, rtp, rtcp = self.here.tick(self.now)
            if voice or rtp:
                if self.sent not in loses:
                    self.keys += self.there.receive(voice or rtp or b"", HERE, self.now + 0.01)
                self.sent += 1
            if rtcp:
                self.there.receive_rtcp(rtcp, (HERE[0], HERE[1] + 1), self.now + 0.01)
            pcm, rtp, rtcp = self.there.tick(self.now + 0.015)
            self.heard.append(pcm)
            if rtp:
                self.here.receive(rtp, THERE, self.now + 0.025)
            if rtcp:
                self.here.receive_rtcp(rtcp, (THERE[0], THERE[1] + 1), self.now + 0.025)


def level(pcm: bytes) -> float:
    return float(np.abs(np.frombuffer(pcm, np.int16).astype(float)).max())


def test_what_one_says_the_other_hears() -> None:
    pair = Pair()
    pair.run(1.0)
    assert min(level(pcm) for pcm in pair.heard[10:]) > 7000


def test_each_learns_from_the_others_reports_how_it_is_received() -> None:
    pair = Pair()
    pair.run(30.0, loses=frozenset(range(100, 1400, 20)))
    mine, theirs = pair.here.quality(pair.now), pair.there.quality(pair.now)
    assert theirs["packets_lost"] == 65
    assert theirs["packets_received"] == 1435
    assert mine["peer_lost"] == pytest.approx(0.043, abs=0.01)
    assert mine["packets_lost"] == 0
    assert theirs["peer_lost"] == 0.0
    assert mine["round_trip_ms"] == pytest.approx(20, abs=1)
    assert theirs["concealed_ms"] > 1000
    assert theirs["jitter_ms"] < 1


def test_keys_go_from_one_to_the_other() -> None:
    pair = Pair()
    pair.here.press("12#")
    pair.run(2.0, loses=frozenset({0, 3, 9}))
    assert pair.keys == "12#"


def test_whoever_holds_sends_and_hears_nothing_and_is_not_missed() -> None:
    pair = Pair()
    pair.run(0.5)
    pair.there.agree(media(HERE, sends=False, receives=False), pair.now)
    pair.here.agree(media(sends=False, receives=False), pair.now)
    before = pair.sent
    pair.run(60.0)
    assert pair.sent == before
    assert {level(pcm) for pcm in pair.heard[-100:]} == {0}
    assert pair.there.unheard_s(pair.now) == 0.0
    pair.there.agree(media(HERE), pair.now)
    pair.here.agree(media(), pair.now)
    pair.run(1.0)
    assert min(level(pcm) for pcm in pair.heard[-20:]) > 7000
    assert pair.there.quality(pair.now)["packets_lost"] == 0


def test_the_music_of_a_phone_that_holds_is_not_for_the_bot() -> None:
    pair = Pair(there=media(HERE, sends=False))
    pair.run(1.0)
    assert {level(pcm) for pcm in pair.heard} == {0}


def test_silence_of_the_other_side_is_counted_from_its_last_sign_of_life() -> None:
    one = session()
    assert one.unheard_s(12.0) == 12.0
    one.receive(build_rtp(0, 1, 1, 1, bytes(160)), THERE, 13.0)
    assert one.unheard_s(20.0) == 7.0
    one.receive(build_rtp(0, 2, 2, 666, bytes(160)), ("192.0.2.1", 1), 19.0)
    one.receive(b"nonsense", THERE, 19.0)
    assert one.unheard_s(20.0) == 7.0
    report = session(media(HERE), seed=2).goodbye(20.0)
    one.receive_rtcp(report, (THERE[0], THERE[1] + 1), 20.0)
    assert one.unheard_s(20.0) == 0.0


def test_the_voice_goes_where_the_phones_own_comes_from() -> None:
    one = session()
    assert (one.destination, one.rtcp_destination) == (THERE, (THERE[0], THERE[1] + 1))
    behind_nat = ("198.51.100.1", 61_000)
    for n in (1, 2):
        one.receive(build_rtp(0, n, n * 160, 1, bytes(160)), behind_nat, n * 0.02)
    assert (one.destination, one.rtcp_destination) == (behind_nat, (behind_nat[0], 61_001))
    one.receive_rtcp(session(seed=2).goodbye(1.0), (behind_nat[0], 5), 1.0)
    assert one.rtcp_destination == (behind_nat[0], 5)


def test_somebody_who_is_never_heard_of_is_not_sent_a_whole_call() -> None:
    """A description may name anybody."""
    one = session()
    one.tick(UNPROVEN_S - 0.1)
    assert one.destination == THERE
    one.tick(UNPROVEN_S + 0.1)
    assert one.destination is None  # reports still go: a few bytes, and they may be answered
    one.receive_rtcp(session(media(HERE), seed=2).goodbye(6.0), (THERE[0], THERE[1] + 1), 6.0)
    one.tick(60.0)
    assert one.destination == THERE
    one.agree(media(("192.0.2.66", 7)), 61.0)
    one.tick(62.0)
    assert one.destination == ("192.0.2.66", 7)
    one.tick(61.0 + UNPROVEN_S + 0.1)
    assert one.destination is None
    one.receive(build_rtp(0, 1, 160, 1, bytes(160)), ("192.0.2.66", 7), 67.0)
    one.tick(99.0)
    assert one.destination == ("192.0.2.66", 7)


def test_a_caller_who_may_not_be_there_gets_a_voice_once_heard() -> None:
    one = session()
    one.awaited = False
    assert one.destination is None
    one.receive(build_rtp(0, 1, 160, 1, bytes(160)), THERE, 0.02)
    assert one.destination == THERE


def test_reports_on_the_same_port_go_there_too() -> None:
    one = session(media(rtcp_mux=True, rtcp_port=THERE[1]))
    assert one.rtcp_destination == THERE
    one.receive(build_rtp(0, 1, 160, 1, bytes(160)), THERE, 0.02)
    one.receive(session(seed=2).goodbye(1.0), THERE, 1.0)
    assert one.unheard_s(1.0) == 0.0
    assert one.rtcp_destination == THERE


def test_reports_from_elsewhere_do_not_count() -> None:
    one = session()
    one.receive_rtcp(session(seed=2).goodbye(1.0), ("203.0.113.5", 30_001), 1.0)
    assert one.unheard_s(1.0) == 1.0


def test_a_new_codec_in_mid_call_keeps_the_rate_of_the_call() -> None:
    pair = Pair()
    pair.run(0.5)
    pair.here.agree(media(codec="G722"), pair.now)
    pair.there.agree(media(HERE, codec="G722"), pair.now)
    assert pair.here.rate == 8000
    pair.run(1.0)
    assert {len(pcm) for pcm in pair.heard} == {320}
    assert min(level(pcm) for pcm in pair.heard[-40:]) > 6000


def test_a_codec_that_may_come_beside_the_one_that_is_sent_is_heard() -> None:
    pair = Pair(there=media(HERE, receive=(CODECS["PCMU"], CODECS["PCMA"])), here=media(codec="PCMA"))
    pair.run(1.0)
    assert min(level(pcm) for pcm in pair.heard[10:]) > 7000


def test_behind_a_stall_of_the_loop_the_caller_is_not_heard_late_for_the_rest_of_the_call() -> None:
    one = session()
    heard: list[tuple[float, bytes]] = []
    for n in range(200):
        now = n * 0.02
        loud = b"\x80" * 160 if n == 150 else b"\xff" * 160
        one.receive(build_rtp(0, n, n * 160, 7, loud), THERE, now)
        if not 50 < n <= 60:  # 200 ms in which nothing was done
            heard.append((now, one.tick(now + 0.005).pcm))
    assert len(heard[51][1]) == 11 * 320
    assert len(b"".join(pcm for _, pcm in heard)) == 200 * 320
    click = next(now for now, pcm in heard if level(pcm) > 20_000)
    assert click - 150 * 0.02 <= 0.041


def test_the_last_report_says_goodbye() -> None:
    reports, goodbye = parse_rtcp(session().goodbye(3.0))
    assert goodbye
    assert reports[0].ntp is not None


def test_a_session_that_only_hears_reports_as_a_receiver() -> None:
    [report], _ = parse_rtcp(session(media(sends=False)).goodbye(3.0))
    assert report.ntp is None


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("192.0.2.1", 4000, ("192.0.2.1", 4000)),
        ("2001:db8::1", 4000, ("2001:db8::1", 4000)),
        ("phone.example", 4000, None),  # would be looked up, with everybody waiting
        ("224.0.0.1", 4000, None),
        ("0.0.0.0", 4000, None),
        ("192.0.2.1", 0, None),
        ("", 4000, None),
    ],
)
def test_media_goes_to_one_machine_only(host: str, port: int, address: tuple[str, int] | None) -> None:
    assert reachable(host, port) == address


def test_a_phone_whose_address_is_a_name_is_answered_when_it_is_heard() -> None:
    one = session(media(("phone.example", 4000)))
    assert one.destination is None
    for n in (1, 2):
        one.receive(build_rtp(0, n, n * 160, 1, bytes(160)), THERE, n * 0.02)
    assert one.destination == THERE


def test_what_is_sent_has_the_payload_types_of_the_other_side() -> None:
    theirs = MediaFormat(110, "opus", 48_000, 2)
    one = session(
        media(codec="opus", events_out=MediaFormat(97, "telephone-event", 48_000), receive=(theirs,))
    )
    one.press("1")
    packets = [parse_rtp(one.tick(n * 0.02).rtp or b"") for n in range(14)]
    assert {packet.payload_type for packet in packets} == {96, 97}


def test_opus_carries_copies_for_a_peer_that_loses_packets_and_can_use_them() -> None:
    """RFC 7587, 6.1: useinbandfec says what the peer can make use of."""
    rng = np.random.default_rng(1)
    hum = [(rng.normal(0, 3000, 320).cumsum() / 8).astype("<i2").tobytes() for _ in range(50)]
    sizes = {}
    for fmtp in ("useinbandfec=1", ""):
        here = replace(media(codec="opus"), codec=replace(CODECS["opus"], fmtp=fmtp))
        pair = Pair(here, media(HERE, codec="opus"))
        pair.run(15.0, says=hum[0], loses=frozenset(range(0, 750, 5)))
        sizes[fmtp] = sum(len(pair.here.speech(frame) or b"") for frame in hum)
    assert sizes["useinbandfec=1"] != sizes[""]
