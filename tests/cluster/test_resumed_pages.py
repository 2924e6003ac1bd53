"""A page whose gateway is killed in mid-call goes on with the conversation at another gateway: a real browser, gateways
that are processes, and one address for both of them, as a load balancer gives it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from piopiy_pipeline.agent import Agent
from piopiy_pipeline.session import Call
from tests.browser.console import until_said
from tests.support.bots import voice
from tests.support.browser import chromium, find_chromium, open_page, spoken
from tests.support.calls import eventually
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN
from tests.support.gateway_process import API_KEY, free_port, gateway_process
from tests.support.nats_server import nats_server, needs_nats

pytestmark = [needs_nats, pytest.mark.realtime, pytest.mark.chaos]

BACK_S = 40.0


@asynccontextmanager
async def running_agent(ports: list[int], states: list[dict[str, Any]]) -> AsyncIterator[None]:
    """An agent that notes what each of its calls begins with."""

    async def bot(call: Call) -> None:
        states.append(dict(call.state))
        call.state["begun"] = call.state.get("begun", 0) + 1
        agent = await voice(call, greeting="Hello, whom do I speak with?")
        await agent.start()

    urls = [f"ws://127.0.0.1:{port}" for port in ports]
    one = Agent(AGENT_ID, AGENT_TOKEN, bot, signaling_url=urls)
    running = asyncio.create_task(one.connect())
    try:
        yield
    finally:
        await one.shutdown()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def balancer(ports: list[int]) -> AsyncIterator[int]:
    """One address for all gateways: the first of them that answers."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in ports:
            try:
                there, back = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await asyncio.gather(pump(reader, back), pump(there, writer))
            return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def state_is(page: Page, state: str) -> None:
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", state, timeout=1000 * BACK_S)


@pytest.mark.parametrize("way", ["one address for both", "a list of addresses"])
def test_a_page_goes_on_at_another_gateway(
    way: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    find_chromium()
    states: list[dict[str, Any]] = []
    ports = [free_port(), free_port()]
    listed = [f"http://127.0.0.1:{port}" for port in ports] if way == "a list of addresses" else []

    async def story() -> None:
        async with AsyncExitStack() as stack:
            nats = await stack.enter_async_context(nats_server("-js", "-sd", str(tmp_path / "nats")))
            settings = {
                "webrtc_workers": 1,
                "webrtc_addresses": ["127.0.0.1"],
                "cluster": {"servers": [nats.url], "pages": listed},
                "token_secret": "the-same-at-both",
            }
            browser = await stack.enter_async_context(chromium(spoken(tmp_path / "silence.wav")))
            first, _ = [
                await stack.enter_async_context(gateway_process(tmp_path / str(port), port, **settings))
                for port in ports
            ]
            await stack.enter_async_context(running_agent(ports, states))
            address = ports[0] if listed else await stack.enter_async_context(balancer(ports))
            page = await open_page(browser, f"http://127.0.0.1:{address}/")
            await page.get_by_test_id("key").fill(API_KEY)
            await page.get_by_test_id("key").press("Enter")
            await page.get_by_test_id("talk").click()
            await state_is(page, "live")
            await until_said(page, "bot", "Hello")
            loop = asyncio.get_running_loop()
            killed_at = loop.time()
            first.send_signal(signal.SIGKILL)
            await first.wait()
            await eventually(lambda: len(states) == 2, BACK_S)
            await state_is(page, "live")
            took_s = loop.time() - killed_at
            assert states == [{}, {"begun": 1}], "it goes on where the first one was lost"
            print(f"live again after {took_s:.2f} s")
            record_property(
                "chaos",
                {
                    "fault": f"the gateway of a page is killed; the page knows another one by {way}",
                    "live again after, s": round(took_s, 2),
                },
            )
            if listed:
                notice = page.get_by_test_id("notice")
                await expect(notice).to_contain_text(f"goes on with 127.0.0.1:{ports[1]}")
                await expect(page.get_by_test_id("link")).to_have_attribute("data-state", "open")
            await page.get_by_test_id("hangup").click()
            await expect(page.get_by_test_id("state")).to_have_text("Ended: you hung up")

    asyncio.run(story())
