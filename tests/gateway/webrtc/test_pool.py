"""Whole browser calls: a real gateway, real worker processes, and aiortc as the browser, on loopback.

They run against the wall clock, since peers in other processes know no other.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from tests.support.browser_peer import Browser, browser_calls, loudest_hz, only_loopback, tone, until
from tests.support.gateway_peers import agent, config

__all__ = ["only_loopback"]

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]


def test_a_browser_and_an_agent_hear_each_other() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, browser_calls(gateway) as calls:
            browser = Browser()
            await browser.call(calls)
            offer, media = await one.take()
            assert offer["call_id"] == browser.call_id
            assert (offer["from_number"], offer["to_number"], offer["kind"]) == ("ada", "shop", "browser")
            assert offer["metadata"] == {"table": 4}
            browser.microphone.say(tone(700, 2))
            await media.socket.send(tone(440, 1, 16000).tobytes())
            heard = np.frombuffer(await media.hear_audio(90), np.int16)
            assert abs(loudest_hz(heard[-8000:], 16000) - 700) < 5
            await until(lambda: browser.sound.size > 0.8 * 48000)
            assert abs(loudest_hz(browser.sound[-24000:], 48000) - 440) < 5
            await browser.close()
            assert (await one.hear("ended"))["reason"] == "caller_hangup"

    asyncio.run(story())
