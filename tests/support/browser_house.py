"""A gateway with one leg process for the tests of whole browser calls, and calls of aiortc's browsers with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer, OfferRefused
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.browser_peer import CLAIMS, Browser, until
from tests.support.gateway_peers import Peer, ScriptedAgent, agent

__all__ = ["House", "all_closed", "an_offer", "refused"]


@dataclass
class House:
    """A gateway and one leg process, which tests share."""

    runner: asyncio.Runner
    gateway: Gateway
    calls: WebRtcCalls

    @asynccontextmanager
    async def call(self) -> AsyncIterator[tuple[ScriptedAgent, Browser, Peer]]:
        """A call under way: its agent, its page, and the agent's media stream. In the end, the page is closed."""
        async with agent(self.gateway) as one:
            browser = Browser()
            await browser.call(self.calls)
            _, media = await one.take()
            yield one, browser, media
            await browser.close()

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a test's story. Whatever it was, nothing may be left of it."""

        async def whole() -> None:
            try:
                await story
            except BaseException:  # the tests behind it begin with nothing too
                for call in tuple(self.calls._calls.values()):
                    call.fail(EndReason.ERROR, "the test failed")
                raise
            await until(lambda: not self.calls.open_calls and not self.gateway.switchboard.snapshot().calls)
            await all_closed(self.calls)
            assert (self.calls.half_open, self.calls.processes[0].restarts) == (0, 0)

        self.runner.run(whole())


async def refused(calls: WebRtcCalls, sdp: str, pc_id: str | None = None) -> tuple[int, str]:
    """The status and the sentence with which an offer is refused."""
    with pytest.raises(OfferRefused) as raised:
        await calls.offer(BrowserOffer(sdp=sdp, pc_id=pc_id), CLAIMS)
    return raised.value.status, raised.value.text


async def an_offer() -> str:
    """The SDP of a browser that is closed again at once."""
    browser = Browser()
    sdp = (await browser.offer()).sdp
    await browser.close()
    return sdp


async def all_closed(calls: WebRtcCalls, *, but: int = 0) -> None:
    """Wait until the worker has no more peers and connections than these; closing takes a moment."""
    for _ in range(100):
        [census] = await calls.census()
        if (census.legs, census.connections) == (but, but):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still there: {census}")
