"""Calls from a page that goes away, is loaded anew, or loses its network.

In real time, because a browser knows no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.console import talk
from tests.support.alone import run_alone
from tests.support.browser import chromium, find_chromium, open_page, spoken
from tests.support.calls import eventually
from tests.support.make_run import Running

pytestmark = pytest.mark.realtime

END_S = 5.0
"""By then a call must be over whose page went away: the browser says so."""
SILENT_END_S = 15.0
"""By then a call must be over whose browser vanished: it might have been the network, which is waited for."""


async def the_call(client: httpx.AsyncClient) -> dict[str, Any]:
    """The latest call of the gateway."""
    answer = await client.get("/api/calls", params={"limit": 1})
    call: dict[str, Any] = answer.raise_for_status().json()["calls"][0]
    return call


async def until_ended(client: httpx.AsyncClient, call_id: str, *, within_s: float = END_S) -> dict[str, Any]:
    """That call, once it is over. It has to be soon."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        call: dict[str, Any] = (await client.get(f"/api/calls/{call_id}")).raise_for_status().json()["call"]
        if call["phase"] == "ended":
            return call
        assert asyncio.get_running_loop().time() < deadline, f"not over within {within_s} s: {call}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def silent_caller(run: Running, folder: Path) -> AsyncIterator[tuple[Page, httpx.AsyncClient]]:
    """A page of the console whose microphone is silent, and a client of the gateway's API."""
    async with (
        chromium(spoken(folder / "silence.wav")) as browser,
        httpx.AsyncClient(base_url=run.url, trust_env=False) as client,
    ):
        yield await open_page(browser, run.url), client


async def in_a_call(page: Page, client: httpx.AsyncClient) -> str:
    """Call from this page; the call's id, once the bot has answered."""
    await talk(page)
    call = await the_call(client)
    assert call["phase"] == "live"
    call_id: str = call["call_id"]
    return call_id


def test_a_tab_that_is_closed_ends_its_call_as_a_hangup_of_the_caller(
    make_run: Running, tmp_path: Path
) -> None:
    async def visit() -> None:
        async with silent_caller(make_run, tmp_path) as (page, client):
            call_id = await in_a_call(page, client)
            await page.close()
            call = await until_ended(client, call_id)
            assert call["reason"] == "caller_hangup"

    asyncio.run(visit())


def test_a_browser_that_crashes_ends_its_call_too(make_run: Running, tmp_path: Path) -> None:
    async def visit() -> None:
        async with silent_caller(make_run, tmp_path) as (page, client):
            call_id = await in_a_call(page, client)
            crashed: list[Page] = []
            page.on("crash", lambda _: crashed.append(page))
            crashing = asyncio.ensure_future(page.goto("chrome://crash"))
            await eventually(lambda: crashed)
            await asyncio.wait([crashing], timeout=5)
            crashing.cancel()
            await asyncio.gather(crashing, return_exceptions=True)
            call = await until_ended(client, call_id, within_s=SILENT_END_S)
            assert call["reason"] == "caller_hangup"
            assert "nothing was heard" in call["detail"]

    asyncio.run(visit())


def test_a_page_that_is_loaded_anew_during_a_call_shows_it_as_ended_and_can_call_again(
    make_run: Running, tmp_path: Path
) -> None:
    async def visit() -> None:
        async with silent_caller(make_run, tmp_path) as (page, client):
            first = await in_a_call(page, client)
            await page.reload()
            call = await until_ended(client, first)
            assert call["reason"] == "caller_hangup"
            row = page.locator(f"[data-testid=call-row][data-call-id='{first}']")
            await expect(row).to_contain_text("the caller hung up")
            await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "idle")
            assert await in_a_call(page, client) != first
            await page.get_by_test_id("hangup").click()
            await expect(page.get_by_test_id("state")).to_have_text("Ended: you hung up")

    asyncio.run(visit())


def test_a_call_that_loses_its_network_for_five_seconds_goes_on(tmp_path: Path) -> None:
    find_chromium()
    seen = run_alone("tests.browser.lost_network", str(tmp_path), "5", timeout_s=300)
    assert seen["came"] == 0, "it was lost indeed"
    assert seen["during"] in ("live", "interrupted"), "a browser takes some seconds to tell"
    assert (seen["phase"], seen["reason"]) == ("live", "caller_hangup")
    assert [role for role, _ in seen["turns"]][:3] == ["bot", "user", "bot"]
    ((_, asked_until),) = seen["callers"]
    assert seen["bots"][-1][0] > asked_until, "and the bot is heard again"
