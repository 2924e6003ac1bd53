"""A page whose gateway is killed in mid-call says so, calls again when it is back, and goes on with the conversation.

In real time, because a browser knows no other, and because a process is killed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
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
from tests.support.gateway_process import API_KEY, api, free_port, gateway_process

pytestmark = pytest.mark.realtime

BACK_S = 40.0


@asynccontextmanager
async def running_agent(port: int, states: list[dict[str, Any]]) -> AsyncIterator[None]:
    """An agent that notes what each of its calls begins with."""

    async def bot(call: Call) -> None:
        states.append(dict(call.state))
        call.state["begun"] = call.state.get("begun", 0) + 1
        agent = await voice(call, greeting="Hello, whom do I speak with?")
        await agent.start()

    one = Agent(
        agent_id=AGENT_ID,
        agent_token=AGENT_TOKEN,
        create_session=bot,
        signaling_url=f"ws://127.0.0.1:{port}",
    )
    running = asyncio.create_task(one.connect())
    try:
        yield
    finally:
        await one.shutdown()
        await asyncio.gather(running, return_exceptions=True)


async def state_is(page: Page, state: str, within_s: float = BACK_S) -> None:
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", state, timeout=1000 * within_s)


def test_a_page_calls_again_and_goes_on_when_its_gateway_was_killed(tmp_path: Path) -> None:
    find_chromium()
    port = free_port()
    settings = {
        "webrtc_workers": 1,
        "webrtc_addresses": ["127.0.0.1"],
    }
    states: list[dict[str, Any]] = []

    async def visit() -> None:
        async with AsyncExitStack() as stack:
            browser = await stack.enter_async_context(chromium(spoken(tmp_path / "silence.wav")))
            gateways = [await stack.enter_async_context(gateway_process(tmp_path, port, **settings))]
            await stack.enter_async_context(running_agent(port, states))
            page = await open_page(browser, f"http://127.0.0.1:{port}/")
            await page.get_by_test_id("key").fill(API_KEY)
            await page.get_by_test_id("key").press("Enter")
            await page.get_by_test_id("talk").click()
            await state_is(page, "live")
            await until_said(page, "bot", "Hello")
            gateways[0].send_signal(signal.SIGKILL)
            await gateways[0].wait()
            await state_is(page, "lost")
            await expect(page.get_by_test_id("state")).to_contain_text("The gateway is gone")
            await stack.enter_async_context(gateway_process(tmp_path, port, **settings))
            await state_is(page, "live")
            await eventually(lambda: len(states) == 2, BACK_S)
            assert states == [{}, {"begun": 1}], "the second call goes on where the first one was lost"
            async with api(port) as web:
                calls = (await web.get("/api/calls")).json()["calls"]
                assert [(call["phase"], call["reason"]) for call in calls] == [
                    ("live", None),
                    ("ended", "gateway_lost"),
                ]
                await page.get_by_test_id("hangup").click()
                await expect(page.get_by_test_id("state")).to_have_text("Ended: you hung up")

    asyncio.run(visit())
