"""The gateway's half of a browser's line, between a stub of its peer and a stub of its call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.webrtc.peer_messages import BrowserMessage, BrowserSent, Close
from piopiy_pipeline.gateway.webrtc.webrtc_leg import EARLY_MESSAGES, MESSAGE_CHARACTERS, WebRtcLeg
from piopiy_pipeline.signaling.messages import Message
from tests.support.agents import logged


class Port:
    """Remembers what was said to the peer."""

    def __init__(self) -> None:
        self.posted: list[Message] = []
        self.audio: list[bytes] = []

    def post(self, message: Message) -> None:
        self.posted.append(message)

    def send_audio(self, pcm: bytes) -> None:
        self.audio.append(pcm)


class Listener:
    """Remembers what the leg told its call."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def caller_audio(self, pcm: bytes) -> None:
        self.told.append(pcm)

    def caller_dtmf(self, digits: str) -> None:
        self.told.append(digits)

    def caller_data(self, data: dict[str, Any]) -> None:
        self.told.append(data)

    def caller_hangup(self, now: float, detail: str = "") -> None:
        self.told.append(("hangup", detail))


async def line() -> tuple[WebRtcLeg, Port, Listener]:
    port, listener = Port(), Listener()
    leg = WebRtcLeg(port, rate=16000)
    leg.attach(listener)
    return leg, port, listener


def test_the_callers_sound_counts_from_the_answer_on() -> None:
    async def story() -> None:
        leg, _, listener = await line()
        leg.ring("call-1")
        leg.caller_audio(b"early")
        leg.answer()
        leg.caller_audio(b"sound")
        leg.browser_sent(BrowserSent(digits="1"))
        leg.browser_sent(BrowserSent(data={"a": 1}))
        assert listener.told == [b"sound", "1", {"a": 1}]

    asyncio.run(story())


def test_what_the_application_says_before_the_answer_waits_for_it_within_a_bound() -> None:
    async def story() -> None:
        leg, _, listener = await line()
        leg.browser_sent(BrowserSent(data={"type": "client-ready"}))
        leg.browser_sent(BrowserSent(digits="1"))
        with logged() as lines:
            for number in range(100):
                leg.browser_sent(BrowserSent(data={"number": number}))
        assert len([line for _, line in lines if "the rest is dropped" in line]) == 1
        assert listener.told == []
        leg.answer()
        assert listener.told[:3] == [{"type": "client-ready"}, "1", {"number": 0}]
        assert len(listener.told) == EARLY_MESSAGES
        leg.browser_sent(BrowserSent(data={"later": True}))
        assert listener.told[-1] == {"later": True}

    asyncio.run(story())


def test_what_the_application_says_before_the_answer_is_told_then_and_no_more_than_some_of_it() -> None:
    async def story() -> None:
        leg, _, listener = await line()
        for number in range(100):
            leg.browser_sent(BrowserSent(data={"n": number}))
        assert listener.told == []
        leg.answer()
        assert listener.told[0] == {"n": 0}
        assert 10 < len(listener.told) < 100

    asyncio.run(story())


def test_what_the_bot_says_sends_and_presses_goes_to_the_peer_until_the_end() -> None:
    async def story() -> None:
        leg, port, listener = await line()
        leg.answer()
        leg.send_audio(b"frame")
        leg.data({"b": 2})
        leg.dtmf("#")
        leg.end(EndReason.AGENT_HANGUP, "")
        leg.send_audio(b"late")
        leg.data({"late": True})
        leg.end(EndReason.AGENT_HANGUP, "")
        leg.peer_closed("")
        leg.caller_audio(b"late")
        assert port.audio == [b"frame"]
        said = [json.loads(message.text) for message in port.posted if isinstance(message, BrowserMessage)]
        assert said == [{"b": 2}, {"type": "dtmf", "digits": "#"}]
        assert [message for message in port.posted if isinstance(message, Close)] == [Close()]
        assert listener.told == []

    asyncio.run(story())


def test_a_message_that_is_too_long_for_a_browser_is_dropped_and_the_log_says_of_which_call() -> None:
    async def story() -> None:
        leg, port, _ = await line()
        leg.ring("call-1")
        leg.answer()
        with logged() as lines:
            leg.data({"essay": "x" * MESSAGE_CHARACTERS})
        assert not port.posted
        (dropped,) = lines
        assert dropped[0] == "call-1"
        assert "was dropped" in dropped[1]

    asyncio.run(story())


def test_a_caller_who_is_gone_is_told_once_and_what_is_sent_then_goes_nowhere() -> None:
    async def story() -> None:
        leg, port, listener = await line()
        leg.quality = {"frames_dropped": 3}
        assert leg.frames_dropped == 3
        leg.peer_closed("the network was lost")
        leg.peer_closed("again")
        leg.send_audio(b"frame")
        assert listener.told == [("hangup", "the network was lost")]
        assert (port.audio, port.posted) == ([], [])

    asyncio.run(story())
