"""An operator at the console of a gateway that asks for a key: watches somebody else's call, and ends it.

In real time, because a browser knows no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from tests.browser.console import photograph, turns
from tests.support.bots import voice
from tests.support.browser import chromium, open_page
from tests.support.calls import CallLog, house

pytestmark = pytest.mark.realtime

KEY = "operator-key"


def test_an_operator_needs_the_key_sees_a_call_of_somebody_else_and_hangs_it_up(tmp_path: Path) -> None:
    async def bot(call: Call) -> None:
        async def look_up(params: Any, people: int) -> None:
            """Look for a table.

            Args:
                people: How many people will come.
            """
            await params.result_callback({"free": True})

        agent = await voice(
            call,
            greeting="Hello.",
            texts=["a table please"],
            replies=[("look_up", {"people": 4}), "There is one by the window."],
            tools=[look_up],
        )
        await agent.start()

    async def visit() -> CallLog:
        async with (
            house(bot, api_keys=[KEY], records=True, data_folder=tmp_path) as place,
            chromium() as browser,
        ):
            page = await open_page(browser, place.gateway.console_url)
            await page.get_by_test_id("key").fill("a key of another gateway")
            await page.get_by_test_id("key").press("Enter")
            await expect(page.get_by_test_id("key-problem")).to_contain_text("not accepted")
            await page.get_by_test_id("key").fill(KEY)
            await page.get_by_test_id("key").press("Enter")
            await expect(page.get_by_test_id("key-form")).to_be_hidden()

            calling = asyncio.ensure_future(place.call("booking/03-yes.wav", hangup_after_s=40.0))
            row = page.get_by_test_id("call-row").first
            await expect(row).to_contain_text("+15550100")
            await row.press("Enter")
            words = page.locator("[data-testid=turn][data-role=bot]")
            await expect(words.last).to_contain_text("There is one by the window.")
            await expect(page.get_by_test_id("tool-arguments")).to_contain_text("people: 4")
            await expect(page.get_by_test_id("tool-result")).to_contain_text("free")
            await expect(page.get_by_test_id("error")).to_have_count(0)
            await photograph(page, "operator", looks=["light"])
            await page.get_by_test_id("call-hangup").press("Enter")
            await page.get_by_test_id("confirm-yes").press("Enter")
            log = await calling
            await expect(page.get_by_test_id("call-state")).to_have_attribute("data-reason", "agent_hangup")
            assert [turn.text for turn in await turns(page)] == [
                "Hello.",
                "a table please",
                "There is one by the window.",
            ]
            return log

    assert asyncio.run(visit()).reason is EndReason.AGENT_HANGUP


def test_a_gateway_that_goes_away_is_missed_and_found_again_by_the_page() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call)).start()

    async def visit() -> None:
        async with chromium() as browser:
            async with house(bot, console="open") as place:
                page = await open_page(browser, place.gateway.console_url)
                port = place.gateway.port
                await expect(page.get_by_test_id("link")).to_have_attribute("data-state", "open")
                await expect(page.get_by_test_id("talk")).to_be_enabled()
            await expect(page.get_by_test_id("link")).not_to_have_attribute("data-state", "open")
            await expect(page.get_by_test_id("notice")).to_contain_text("does not answer")
            await expect(page.get_by_test_id("talk")).to_be_disabled()
            await photograph(page, "gateway-gone", looks=["phone"])
            async with house(bot, console="open", port=port):
                await expect(page.get_by_test_id("link")).to_have_attribute("data-state", "open")
                await expect(page.get_by_test_id("notice")).to_be_hidden()
                await expect(page.get_by_test_id("talk")).to_be_enabled()

    asyncio.run(visit())


def test_an_operator_is_told_that_the_database_was_deleted(tmp_path: Path) -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.")).start()

    async def visit() -> None:
        async with (
            house(bot, console="open", records=True, data_folder=tmp_path) as place,
            chromium() as browser,
        ):
            await place.gateway.ready()
            page = await open_page(browser, place.gateway.console_url)
            await expect(page.get_by_test_id("link")).to_have_attribute("data-state", "open")
            await expect(page.get_by_test_id("notice")).to_be_hidden()
            (tmp_path / "calls.sqlite3").unlink()
            await place.call(hangup_after_s=1.0)
            notice = page.get_by_test_id("notice")
            await expect(notice).to_contain_text("calls.sqlite3 was deleted or moved", timeout=10_000)
            await photograph(page, "lost-database", looks=("light",))

    asyncio.run(visit())
