"""A call's media on real sockets: read once a tick, with the times at which the kernel got them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import PortPool
from piopiy_pipeline.gateway.rtp.rtcp import parse_rtcp
from piopiy_pipeline.gateway.rtp.rtp_transport import READS_PER_TICK, RtpTransport
from piopiy_pipeline.gateway.sip.sdp.negotiation import CODECS, AgreedMedia, MediaFormat

LOUD = bytes([0x80 + 20]) * 160


class Phone:
    """Two sockets, of which nobody has to wait for a datagram: on loopback it is there once it is sent."""

    def __init__(self, line_port: int) -> None:
        self.sockets = PortPool("127.0.0.1", 40_000, 60_000).open()
        self.line_port = line_port
        self.sent = 0

    def media(self) -> AgreedMedia:
        port = self.sockets.port
        return AgreedMedia(
            host="127.0.0.1",
            port=port,
            codec=CODECS["PCMU"],
            receive=(CODECS["PCMU"],),
            events_out=None,
            events_in=(),
            sends=True,
            receives=True,
            rtcp_port=port + 1,
        )

    def speak(self, packets: int) -> None:
        for _ in range(packets):
            self.sent += 1
            packet = build_rtp(0, self.sent, self.sent * 160, 1, LOUD)
            self.sockets.rtp.sendto(packet, ("127.0.0.1", self.line_port))

    def hear(self, by: socket.socket | None = None) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append((by or self.sockets.rtp).recv(2048))
            except BlockingIOError:
                return heard


@contextmanager
def call() -> Iterator[tuple[RtpTransport, Phone]]:
    line = RtpTransport(PortPool("127.0.0.1", 40_000, 60_000).open())
    phone = Phone(line.port)
    try:
        yield line, phone
    finally:
        line.close()
        phone.sockets.close()


def story(of: Callable[[RtpTransport, Phone], Awaitable[None]]) -> None:
    async def tell() -> None:
        with call() as (line, phone):
            await of(line, phone)

    asyncio.run(tell())


def test_what_came_before_the_answer_is_not_heard() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        phone.speak(5)
        one = line.open(phone.media(), rate=8000, cname="test")
        line.poll(asyncio.get_running_loop().time())
        assert one.quality(0.0)["packets_received"] == 0
        phone.speak(2)
        line.poll(asyncio.get_running_loop().time())
        assert one.quality(0.0)["packets_received"] == 2

    story(of)


def test_a_key_behind_a_lost_packet_is_told_a_tenth_of_a_second_later() -> None:
    """The lost packet may hold an earlier key."""

    async def of(line: RtpTransport, phone: Phone) -> None:
        events = MediaFormat(101, "telephone-event", 8000)
        line.open(replace(phone.media(), events_in=(events,)), rate=8000, cname="test")
        now = asyncio.get_running_loop().time()
        phone.speak(2)
        packet = build_rtp(101, phone.sent + 2, 480, 1, b"\x05\x0a\x00\xa0")
        phone.sockets.rtp.sendto(packet, ("127.0.0.1", line.port))
        told = [line.poll(now + tick * 0.02)[1] for tick in range(8)]
        assert told[0] == ""
        assert "".join(told) == "5"

    story(of)


def test_a_flood_is_read_a_piece_at_a_time() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        one = line.open(phone.media(), rate=8000, cname="test")
        phone.speak(READS_PER_TICK + 5)
        now = asyncio.get_running_loop().time()
        line.poll(now)
        assert one.quality(now)["packets_received"] == READS_PER_TICK
        line.poll(now)
        assert one.quality(now)["packets_received"] == READS_PER_TICK + 5

    story(of)


def test_strangers_who_flood_a_port_do_not_cut_out_the_callers_voice() -> None:
    """Five thousand packets a second, which is what anybody can send."""

    async def of(line: RtpTransport, phone: Phone) -> None:
        one = line.open(phone.media(), rate=8000, cname="gateway")
        phone.speak(1)
        line.poll(one_frame_later(0))
        stranger = Phone(line.port)
        try:
            for tick in range(1, 50):
                stranger.speak(50)
                phone.speak(1)
                stranger.speak(50)
                line.poll(one_frame_later(tick))
        finally:
            stranger.sockets.close()
        quality = one.quality(asyncio.get_running_loop().time())
        assert (quality["packets_received"], quality["packets_strange"]) == (50, 4900)

    def one_frame_later(tick: int) -> float:
        return asyncio.get_running_loop().time() + tick * 0.02

    story(of)


def test_voice_and_silence_arrive_at_the_phone() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        line.open(phone.media(), rate=8000, cname="test")
        now = asyncio.get_running_loop().time()
        line.send(b"\x00\x20" * 160)
        line.poll(now)
        line.poll(now + 0.02)
        voice, silence = (parse_rtp(packet) for packet in phone.hear())
        assert voice.payload != silence.payload == b"\xff" * 160
        assert silence.timestamp - voice.timestamp == 160

    story(of)


def test_on_sockets_for_both_families_an_ipv4_phone_is_heard_and_hears() -> None:
    """It is at the address that its description names, and not at the mapped one that the socket shows."""

    async def of(_: RtpTransport, phone: Phone) -> None:
        line = RtpTransport(PortPool("::", 40_000, 60_000).open())
        phone.line_port = line.port
        session = line.open(phone.media(), rate=8000, cname="test")
        session.expect("::ffff:127.0.0.1")
        phone.speak(5)
        now = asyncio.get_running_loop().time()
        for frame in range(10):
            line.send(b"\x00\x20" * 160)
            line.poll(now + frame * 0.02)
        assert session.destination == ("127.0.0.1", phone.sockets.port)
        assert line.dropped == 0
        assert len(phone.hear()) == 10
        line.close()

    story(of)


def test_reports_go_out_by_their_own_port_and_the_last_one_says_goodbye() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        line.open(phone.media(), rate=8000, cname="test")
        line.poll(asyncio.get_running_loop().time() + 5)
        [report] = phone.hear(phone.sockets.rtcp)
        assert parse_rtcp(report)[1] is False
        line.close()
        line.close()
        [report] = phone.hear(phone.sockets.rtcp)
        assert parse_rtcp(report)[1] is True
        line.send(bytes(320))
        assert line.poll(asyncio.get_running_loop().time()) == (b"", "")

    story(of)


def test_a_busy_loop_does_not_look_like_a_bad_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's times count: packets that came evenly are even, however late they are read."""

    async def of(line: RtpTransport, phone: Phone) -> None:
        one = line.open(phone.media(), rate=8000, cname="test")
        if not line.stamped:
            pytest.skip("this system does not tell when a packet came")
        loop = asyncio.get_running_loop()
        phone.speak(1)
        line.poll(loop.time())
        packet = build_rtp(0, 2, 160, 1, LOUD)
        phone.sockets.rtp.sendto(packet, ("127.0.0.1", phone.line_port))
        wall, turn = time.time, loop.time
        monkeypatch.setattr(time, "time", lambda: wall() + 0.5)
        monkeypatch.setattr(loop, "time", lambda: turn() + 0.5)
        line.poll(loop.time())
        # Half a second that is not the network's would be 30 ms of jitter.
        assert one.quality(loop.time())["jitter_ms"] < 15

    story(of)


def test_a_long_turn_of_the_loop_does_not_make_packets_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some loops tell when their turn began, and there are other calls in it before this one's."""

    async def of(line: RtpTransport, phone: Phone) -> None:
        one = line.open(phone.media(), rate=8000, cname="test")
        loop = asyncio.get_running_loop()
        phone.speak(1)
        line.poll(loop.time())
        packet = build_rtp(0, 2, 160, 1, LOUD)
        phone.sockets.rtp.sendto(packet, ("127.0.0.1", phone.line_port))
        turn = loop.time
        monkeypatch.setattr(loop, "time", lambda: turn() - 0.4)
        line.poll(loop.time())
        assert one.quality(turn())["jitter_ms"] < 15

    story(of)


def test_what_a_tick_does_not_need_is_read_with_the_next_and_none_is_lost() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        one = line.open(phone.media(), rate=8000, cname="test")
        at = asyncio.get_running_loop().time()
        for tick in range(50):
            phone.speak((1, 2, 0, 1)[tick % 4])  # as a network that is a little uneven has it
            line.poll(at + tick * 0.02)
        for tick in range(50, 53):
            line.poll(at + tick * 0.02)
        assert one.quality(at)["packets_received"] == phone.sent
        assert one.quality(at)["packets_late"] == 0

    story(of)


def test_a_phone_that_is_gone_costs_packets_and_nothing_else() -> None:
    async def of(line: RtpTransport, phone: Phone) -> None:
        line.open(phone.media(), rate=8000, cname="test")
        phone.sockets.close()
        now = asyncio.get_running_loop().time()
        for tick in range(20):
            line.send(bytes(320))
            assert len(line.poll(now + tick * 0.02)[0]) == 320

    story(of)
