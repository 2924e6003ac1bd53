"""Messages and keys of whole browser calls: what passes, what is left out, and what ends a call.

They run against the wall clock, since peers in other processes know no other.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer
from tests.support.browser_house import House, all_closed
from tests.support.browser_peer import CLAIMS, Browser, until
from tests.support.gateway_peers import agent

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]


def test_messages_and_keys_pass_and_signalling_does_not(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with house.call() as (one, browser, media):
            await until(lambda: browser.channel.readyState == "open")
            browser.channel.send("ping: 1")
            browser.channel.send("no JSON at all")
            browser.channel.send("[1]")
            browser.say(
                {
                    "type": "signalling",
                    "message": {"type": "trackStatus", "receiver_index": 0, "enabled": True},
                }
            )
            browser.say({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {}})
            browser.say({"type": "dtmf", "digits": "12#"})
            browser.say({"type": "dtmf", "digits": "not keys"})
            browser.say({"cart": [1, 2]})
            assert (await media.hear("message", "dtmf"))["data"]["type"] == "client-ready"
            assert (await media.hear("message", "dtmf"))["digits"] == "12#"
            assert (await media.hear("message", "dtmf"))["data"] == {"cart": [1, 2]}
            await media.say(event="message", data={"label": "rtvi-ai", "type": "bot-ready"})
            await media.say(event="dtmf", digits="5")
            await until(lambda: len(browser.messages) == 2)
            assert browser.messages == [
                {"label": "rtvi-ai", "type": "bot-ready"},
                {"type": "dtmf", "digits": "5"},
            ]
            await one.hangup({"call_id": browser.call_id})
            await until(lambda: len(browser.messages) == 3)
            assert browser.messages[2] == {"type": "signalling", "message": {"type": "peerLeft"}}
            await until(lambda: browser.connection.connectionState == "closed")
            await until(lambda: calls.open_calls == 0)
            await all_closed(calls)

    house.run(story())


def test_a_flood_of_messages_ends_that_call_with_a_sentence(house: House) -> None:
    async def story() -> None:
        async with house.call() as (one, browser, _):
            await until(lambda: browser.channel.readyState == "open")
            for number in range(300):
                browser.say({"number": number})
            ended = await one.hear("ended")
            assert (ended["reason"], "messages a second" in ended["detail"]) == ("caller_hangup", True)

    house.run(story())


def test_what_nobody_can_pass_on_is_left_out_and_harms_no_call(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser, other = Browser(), Browser()
            await browser.call(calls)
            _, media = await one.take()
            await other.call(calls)
            await one.take()
            await until(lambda: browser.channel.readyState == "open")
            for depth in (195, 230, 900, 20_000):
                browser.channel.send('{"a":' + depth * "[" + depth * "]" + "}")
            browser.channel.send('{"a":"\\ud800"}')
            browser.channel.send('{"a":NaN}')
            browser.channel.send('{"a":-1e999}')
            browser.channel.send('{"a":[' + ",".join(9_000 * ["1e15"]) + "]}")
            deep: dict[str, Any] = {"a": {}}
            for _ in range(100):
                deep = {"a": deep}
            browser.say(deep)
            browser.say({"the": "last"})
            assert (await media.hear("message"))["data"] == deep
            assert (await media.hear("message"))["data"] == {"the": "last"}
            assert len(house.gateway.switchboard.snapshot().calls) == 2
            await browser.close()
            await other.close()

    house.run(story())


def test_a_browser_that_takes_only_short_messages_gets_those(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            offer = await browser.offer()
            sdp, changed = re.subn(r"a=max-message-size:\d+", "a=max-message-size:40", offer.sdp)
            assert changed == 1
            answer = await calls.offer(BrowserOffer(sdp=sdp), CLAIMS)
            await browser.connection.setRemoteDescription(
                RTCSessionDescription(sdp=answer.sdp, type="answer")
            )
            _, media = await one.take()
            await until(lambda: browser.channel.readyState == "open")
            await media.say(event="message", data={"long": "x" * 60})
            await media.say(event="message", data={"short": "x"})
            await until(lambda: browser.messages)
            assert browser.messages == [{"short": "x"}]
            await browser.close()

    house.run(story())


def test_a_message_that_is_too_long_ends_that_call_with_a_sentence(house: House) -> None:
    async def story() -> None:
        async with house.call() as (one, browser, _):
            await until(lambda: browser.channel.readyState == "open")
            browser.channel.send("x" * 60_000)
            ended = await one.hear("ended")
            assert "a message of 60000 bytes" in ended["detail"]

    house.run(story())


def test_a_message_without_an_end_is_not_gathered_for_ever(house: House) -> None:
    async def story() -> None:
        async with house.call() as (one, browser, _):
            await until(lambda: browser.channel.readyState == "open")
            assert browser.connection.sctp is not None
            vars(browser.connection.sctp)["_remote_max_message_size"] = 0  # it does not care what we take
            browser.channel.send("x" * 6_000_000)
            assert (await one.hear("ended"))["detail"] == "the browser sent a message without an end"

    house.run(story())


def test_a_failure_in_one_call_ends_that_and_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = house.calls

    def fail(heard: object) -> None:
        raise RuntimeError("a test's")

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser, other = Browser(), Browser()
            await browser.call(calls)
            offer, _ = await one.take()
            await other.call(calls)
            _, media = await one.take()
            await until(lambda: browser.channel.readyState == "open" == other.channel.readyState)
            leg = next(line.leg for line in calls._calls.values() if line.call_id == offer["call_id"])
            monkeypatch.setattr(leg, "browser_sent", fail)
            browser.say({})
            ended = await one.hear("ended")
            assert (ended["reason"], ended["call_id"]) == ("error", offer["call_id"])
            other.say({"still": "here"})
            assert (await media.hear("message"))["data"] == {"still": "here"}
            await browser.close()
            await other.close()

    house.run(story())
