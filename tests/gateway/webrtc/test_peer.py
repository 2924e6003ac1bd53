"""A peer by itself, in the test's own process: what its answer tells, and what it takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import aioice.ice
import pytest
from aiortc import RTCSessionDescription
from loguru import logger

from piopiy_pipeline.gateway.webrtc import peer as peer_module
from piopiy_pipeline.gateway.webrtc.peer import MAX_CHANNELS, QUEUED_MESSAGES, Peer, PeerEvents, PeerRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import Trickled
from tests.support.browser_peer import Browser, until

pytestmark = pytest.mark.usefixtures("only_loopback")


def a_peer(public: Mapping[str, str]) -> Peer:
    events = PeerEvents(
        connected=lambda: None,
        caller_audio=lambda pcm: None,
        message=lambda text: None,
        failed=lambda: None,
        closed=lambda: None,
    )
    return Peer(ice_servers=[], rate=16000, events=events, public=public)


async def an_offer() -> str:
    browser = Browser()
    sdp = (await browser.offer()).sdp
    await browser.close()
    return sdp


def test_behind_a_nat_the_answer_has_the_public_address_alone() -> None:
    async def story() -> None:
        peer = a_peer({"127.0.0.1": "203.0.113.7"})
        answer = await peer.answer(await an_offer())
        await peer.close()
        assert " 203.0.113.7 " in answer
        assert "127.0.0.1" not in answer

    asyncio.run(story())


def test_without_an_address_of_this_machine_the_offer_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        peer, sdp = a_peer({}), await an_offer()
        monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["192.0.2.1"])
        with pytest.raises(PeerRefused, match="webrtc_addresses") as raised:
            await peer.answer(sdp)
        await peer.close()
        assert raised.value.status == 503

    asyncio.run(story())


def test_candidates_are_taken_up_to_a_number_and_none_of_a_peer_that_is_closed() -> None:
    async def story() -> None:
        peer = a_peer({})
        await peer.answer(await an_offer())
        for port in range(1, 65):
            line = f"candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host"
            await peer.add_candidate(Trickled(candidate=line, sdp_mid="0"))
        with pytest.raises(PeerRefused, match="more than 64"):
            await peer.add_candidate(Trickled(candidate=line, sdp_mid="0"))
        await peer.close()
        closed = a_peer({})
        await closed.close()
        await closed.add_candidate(Trickled(candidate=line, sdp_mid="0"))

    asyncio.run(story())


def test_what_waits_for_a_browser_is_bounded_in_bytes_whatever_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped: list[str] = []

    async def story() -> None:
        browser, peer = Browser(), a_peer({})
        sdp = await peer.answer((await browser.offer()).sdp)
        await browser.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await until(lambda: browser.channel.readyState == "open" and peer._channels)
        monkeypatch.setattr(peer_module, "CHANNEL_BYTES", 17)
        peer.send_message('{"a":"你好请"}')  # 11 characters, and 17 bytes
        await until(lambda: peer._channels[0].bufferedAmount == 0)
        peer.send_message('{"a":"你好请问"}')  # 12 characters, and 20 bytes
        peer.send_message('{"a":"?"}')
        await until(lambda: len(browser.messages) == 2)
        await peer.close()
        await browser.close()
        assert browser.messages == [{"a": "你好请"}, {"a": "?"}]

    sink = logger.add(lambda line: dropped.append(line.record["message"]), level="WARNING")
    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert dropped == ["a browser does not read its messages: one of 20 bytes was dropped"]


class Channel:
    """A data channel of a browser, as aiortc has it."""

    bufferedAmount = 0

    def __init__(self) -> None:
        self.readyState = "open"
        self.sent: list[str] = []

    def on(self, event: str, function: object) -> None:
        assert event == "message"

    def send(self, text: str) -> None:
        self.sent.append(text)

    def close(self) -> None:
        self.readyState = "closed"


def test_channels_that_are_closed_leave_their_places_to_others() -> None:
    async def story() -> None:
        peer = a_peer({})
        for number in range(3 * MAX_CHANNELS):
            peer._connection.emit("datachannel", channel := Channel())
            peer.send_message(str(number))
            assert channel.sent == [str(number)]
            channel.close()
        for number in range(QUEUED_MESSAGES + 2):
            peer.send_message(str(number))
        peer._connection.emit("datachannel", channel := Channel())
        assert len(channel.sent) == QUEUED_MESSAGES
        opened = [Channel() for _ in range(MAX_CHANNELS)]
        for each in opened:
            peer._connection.emit("datachannel", each)
        assert [each.readyState for each in opened] == ["open"] * (MAX_CHANNELS - 1) + ["closed"]
        await peer.close()

    dropped: list[str] = []
    sink = logger.add(lambda line: dropped.append(line.record["message"]), level="WARNING")
    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert dropped == ["no data channel of a browser is open: 50 messages wait, and more are dropped"]


def test_so_many_messages_wait_for_the_channel_to_open() -> None:
    async def story() -> None:
        browser, peer = Browser(), a_peer({})
        for number in range(QUEUED_MESSAGES + 1):
            peer.send_message(json.dumps({"n": number}))
        sdp = await peer.answer((await browser.offer()).sdp)
        await browser.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await until(lambda: browser.channel.readyState == "open" and peer._channels)
        peer.send_message(json.dumps({"n": 1000}))
        await until(lambda: {"n": 1000} in browser.messages)
        await peer.close()
        await browser.close()
        assert [one["n"] for one in browser.messages] == [*range(QUEUED_MESSAGES), 1000]

    asyncio.run(story())
