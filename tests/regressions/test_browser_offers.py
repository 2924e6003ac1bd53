"""Offers of browsers that were refused, or answered and never connected, for a part that nobody uses.

Each is made by a real WebRTC stack on loopback, answered by a peer in the test's own process, and has to connect.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserCandidates
from piopiy_pipeline.gateway.webrtc.peer import Peer, PeerEvents, PeerRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import Trickled
from tests.support.browser_peer import only_loopback, tone, until
from tests.support.microphone import Microphone

__all__ = ["only_loopback"]

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]

Change = Callable[[str], str]


class Gatewayside:
    """A peer as the worker has it, and what it reported."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.pcm = b""
        self.peer = Peer(
            ice_servers=[],
            rate=16000,
            events=PeerEvents(
                connected=lambda: self.happened.append("connected"),
                caller_audio=self._hear,
                message=self.happened.append,
                failed=lambda: self.happened.append("failed"),
                closed=lambda: self.happened.append("closed"),
            ),
        )

    def _hear(self, pcm: bytes) -> None:
        self.pcm += pcm


def browser() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


async def connects(
    one: RTCPeerConnection, change: Change = str, *, with_channel: bool = False
) -> tuple[str, bytes]:
    """Offer, let the gateway answer, and wait until both are connected. Returns the answer and what was heard."""
    other = Gatewayside()
    channel = one.createDataChannel("chat") if with_channel and one.localDescription is None else None
    try:
        if one.localDescription is None:
            await one.setLocalDescription(await one.createOffer())
        elif with_channel:
            channel = one.createDataChannel("chat")
        answer = await other.peer.answer(change(one.localDescription.sdp))
        await one.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await until(lambda: other.happened[:1] == ["connected"])
        if channel is not None:
            await until(lambda: channel.readyState == "open")
            channel.send("hello")
            await until(lambda: "hello" in other.happened)
        return answer, other.pcm
    finally:
        await one.close()
        await other.peer.close()


def media_lines(answer: str) -> list[str]:
    return [line.split()[0] + " " + line.split()[1] for line in answer.splitlines() if line.startswith("m=")]


def bundled(answer: str) -> str:
    return str(re.findall(r"^a=group:BUNDLE (.*?)\r?$", answer, re.MULTILINE)[0])


# ---------------------------------------------------------------------- media that nobody uses


def test_video_before_the_audio() -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("video")
        one.addTransceiver("audio")
        answer, _ = await connects(one, with_channel=True)
        assert [line.split()[0] for line in media_lines(answer)] == ["m=video", "m=audio", "m=application"]
        assert bundled(answer) == "0 1 2"
        video = answer.split("m=video")[1].split("m=audio")[0]
        assert "a=inactive" in video

    asyncio.run(story())


def test_the_data_channel_before_the_audio() -> None:
    async def story() -> None:
        one = RTCPeerConnection(RTCConfiguration(iceServers=[], alwaysNegotiateDataChannels=True))
        one.addTransceiver("audio")
        await one.setLocalDescription(await one.createOffer())
        answer, _ = await connects(one, with_channel=True)
        assert [line.split()[0] for line in media_lines(answer)] == ["m=application", "m=audio"]

    asyncio.run(story())


def test_of_several_audio_lines_one_that_can_be_heard_is_used() -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("audio", direction="inactive")
        one.addTransceiver("audio", direction="recvonly")
        microphone = Microphone()
        one.addTransceiver(microphone, direction="sendrecv")
        microphone.say(tone(700, 5))
        answer, _ = await connects(one)
        assert re.findall(r"a=(sendrecv|inactive|sendonly|recvonly)", answer) == [
            "inactive",
            "inactive",
            "sendrecv",
        ]

    asyncio.run(story())


@pytest.mark.parametrize(("offered", "answered"), [("recvonly", "sendonly"), ("sendonly", "recvonly")])
def test_audio_in_one_direction(offered: str, answered: str) -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("audio", direction=offered)
        answer, _ = await connects(one)
        assert f"a={answered}\r\n" in answer

    asyncio.run(story())


def test_a_line_that_the_browser_rejected_itself_and_one_of_an_unknown_kind() -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("audio")
        other = Gatewayside()
        await one.setLocalDescription(await one.createOffer())
        sdp = one.localDescription.sdp
        head, audio = sdp.split("m=audio", 1)
        sdp = (
            head
            + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:gone\r\n"
            + "m=audio"
            + audio
            + "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:t\r\na=rtpmap:98 t140/1000\r\na=crypto:?\r\n"
        )
        answer = await other.peer.answer(sdp)
        assert media_lines(answer)[0] == "m=audio 0"
        assert media_lines(answer)[2] == "m=text 0"
        assert not media_lines(answer)[1].endswith(" 0")
        assert bundled(answer) == "0"
        await one.close()
        await other.peer.close()

    asyncio.run(story())


@pytest.mark.parametrize("direction", ["inactive", "none"])
def test_without_audio_that_can_be_used_the_sentence_says_so(direction: str) -> None:
    async def story() -> None:
        one = browser()
        if direction == "none":
            one.addTransceiver("video")
        else:
            one.addTransceiver("audio", direction=direction)
        other = Gatewayside()
        await one.setLocalDescription(await one.createOffer())
        with pytest.raises(PeerRefused, match=r"no audio|inactive") as raised:
            await other.peer.answer(one.localDescription.sdp)
        assert raised.value.status == 400
        await one.close()
        await other.peer.close()

    asyncio.run(story())


# ---------------------------------------------------------------------- candidates


def hidden(sdp: str) -> str:
    """The browser's candidates as one that hides its addresses has them: names that nobody can look up."""
    sdp = re.sub(
        r"(a=candidate:\S+ \d+ udp \d+ )\S+", r"\g<1>0d1e2f30-aaaa-4bbb-8ccc-1234567890ab.local", sdp
    )
    return sdp if "a=end-of-candidates" in sdp else sdp + "a=end-of-candidates\r\n"


def only_tcp(sdp: str) -> str:
    return re.sub(
        r"(a=candidate:\S+ \d+) udp (\d+ \S+) \d+ typ host", r"\1 tcp \2 9 typ host tcptype active", sdp
    )


def odd(sdp: str) -> str:
    """With candidates that are no use: of RTCP, without an address, of another kind, and cut off."""
    more = (
        "a=candidate:1 2 udp 1 127.0.0.1 9 typ host\r\n"
        "a=candidate:2 1 udp 1 some.host.example 9 typ host\r\n"
        "a=candidate:3 1 ssltcp 1 127.0.0.1 9 typ host\r\n"
        "a=candidate:4 1 udp\r\n"
        "a=candidate:\r\n"
    )
    return sdp.replace("a=candidate:", more + "a=candidate:", 1)


def without(sdp: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if "candidate" not in line)


@pytest.mark.parametrize("change", [hidden, only_tcp, odd, without])
def test_a_browser_whose_candidates_are_no_use_reaches_the_gateway_itself(change: Change) -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("audio")
        await connects(one, change)

    asyncio.run(story())


def test_an_answer_does_not_wait_for_names_that_nobody_can_look_up() -> None:
    async def story() -> None:
        one, other = browser(), Gatewayside()
        one.addTransceiver("audio")
        await one.setLocalDescription(await one.createOffer())
        async with asyncio.timeout(0.9):  # a name is looked up for a second
            await other.peer.answer(hidden(one.localDescription.sdp))
        await one.close()
        await other.peer.close()

    asyncio.run(story())


def test_a_browser_with_ice_lite() -> None:
    async def story() -> None:
        one = browser()
        one.addTransceiver("audio")

        def lite(sdp: str) -> str:
            one.getTransceivers()[0].receiver.transport.transport._connection.ice_controlling = False
            return sdp.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")

        await connects(one, lite)

    asyncio.run(story())


@pytest.mark.parametrize(
    "last", [None, {"candidate": None}, {"candidate": ""}, {"candidate": "", "sdpMid": "0"}]
)
def test_the_end_of_trickled_candidates_ends_nothing(last: object) -> None:
    async def story() -> None:
        one, other = browser(), Gatewayside()
        one.addTransceiver("video")
        one.addTransceiver("audio")
        await one.setLocalDescription(await one.createOffer())
        sdp = one.localDescription.sdp
        found = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
        answer = await other.peer.answer(without(sdp))
        elsewhere = {"candidate": found[0], "sdpMid": "1", "sdpMLineIndex": 1}
        theirs = {"candidate": found[0].removeprefix("a="), "sdpMid": "0", "sdpMLineIndex": 0}
        body = {"pc_id": "1", "candidates": [last, elsewhere, theirs, last]}
        for candidate in BrowserCandidates.model_validate(body).candidates:
            await other.peer.add_candidate(Trickled(**candidate.model_dump()))
        await one.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await until(lambda: other.happened[:1] == ["connected"])
        await one.close()
        await other.peer.close()

    asyncio.run(story())
