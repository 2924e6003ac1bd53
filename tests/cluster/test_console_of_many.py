"""The console of many: three gateways that are processes, a real NATS server, and a real Chromium at one of them."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import APIResponse, Locator, Page, Route, expect

from tests.browser.console import photograph
from tests.support.browser import chromium, find_chromium, open_page
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, caller
from tests.support.gateway_process import API_KEY, api, at_port, free_port, gateway_process
from tests.support.nats_server import nats_server, needs_nats
from tests.support.programs import Program

pytestmark = [needs_nats, pytest.mark.realtime, pytest.mark.chaos]

NAMES = ("gw-a", "gw-b", "gw-c")
LATENCIES = (0.62, 0.71, 0.78, 0.84, 0.95, 1.3, 2.2)


@dataclass
class House:
    """Three gateways with an agent at each."""

    processes: list[Program]
    ports: list[int]
    agents: list[ScriptedAgent]


@asynccontextmanager
async def three(folder: Path, **more: Any) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(nats_server("-js", "-sd", str(folder / "nats")))
        ports = [free_port() for _ in NAMES]
        starting = [
            stack.enter_async_context(
                gateway_process(
                    folder / name, port, **{"cluster": {"servers": [nats.url], "name": name}, **more}
                )
            )
            for name, port in zip(NAMES, ports, strict=True)
        ]
        processes = [await one for one in starting]
        agents = [
            await stack.enter_async_context(agent(at_port(port), f"instance-{name}", version="0.9"))
            for name, port in zip(NAMES, ports, strict=True)
        ]
        yield House(processes, ports, agents)


@asynccontextmanager
async def call_at(house: House, index: int, number: str) -> AsyncIterator[tuple[str, Peer, dict[str, Any]]]:
    """A call in progress at one of them: its id, the caller, and the offer."""
    async with caller(at_port(house.ports[index]), from_number=number, to_number="+15550199") as line:
        call_id = str((await line.hear("ringing"))["call_id"])
        offer, _ = await house.agents[index].take()
        await line.hear("answered")
        yield call_id, line, offer


async def enter(page: Page) -> None:
    await page.get_by_test_id("key").fill(API_KEY)
    await page.get_by_test_id("key").press("Enter")


def call_row(page: Page, call_id: str) -> Locator:
    return page.locator(f"[data-testid=fleet-call][data-call-id='{call_id}']")


def test_all_gateways_are_seen_and_their_calls_are_controlled_from_one_console(tmp_path: Path) -> None:
    find_chromium()

    async def story() -> None:
        async with three(tmp_path, record=False) as house, AsyncExitStack() as stack:
            browser = await stack.enter_async_context(chromium())
            for total_s in LATENCIES:
                async with call_at(house, 1, "+15550007") as (before, line, offer):
                    await house.agents[1].say(
                        type="event", call_id=before, at=1.0, event="latency", data={"total_s": total_s}
                    )
                    await line.hear("conversation")
                    reason = "error" if total_s > 2 else "agent_hangup"
                    await house.agents[1].hangup(offer, reason=reason)
                    await line.hear("ended")
            call_id, line, _ = await stack.enter_async_context(call_at(house, 2, "+15550101"))
            other_id, other, _ = await stack.enter_async_context(call_at(house, 1, "+15550102"))
            await stack.enter_async_context(call_at(house, 0, "+15550103"))

            page = await open_page(browser, f"http://127.0.0.1:{house.ports[0]}/#/gateways")
            problems: list[str] = []
            page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            await enter(page)
            await expect(page.get_by_test_id("gateway-row")).to_have_count(3)
            await expect(page.get_by_test_id("agent-row")).to_have_count(3)
            await expect(page.get_by_test_id("fleet-state")).to_have_text(
                "3 gateways, 1 agent, 3 calls under way."
            )
            await expect(page.get_by_test_id("day-words")).to_contain_text("10 calls since")
            await expect(page.get_by_test_id("day-words")).to_contain_text("1 failed (1 × the bot failed)")
            await expect(page.get_by_test_id("chart")).to_have_count(3)
            mine = call_row(page, call_id)
            await expect(mine).to_contain_text("gw-c")
            await photograph(page, "gateways", whole=True)

            hold, mute = mine.get_by_test_id("fleet-hold"), mine.get_by_test_id("fleet-mute")
            await hold.press("Enter")
            await expect(hold).to_have_attribute("aria-pressed", "true")
            await expect(mine).to_contain_text("on hold")
            await mute.click()
            await expect(mute).to_have_attribute("aria-pressed", "true")
            await hold.click()
            await expect(hold).to_have_attribute("aria-pressed", "false")
            await mine.get_by_test_id("fleet-transfer").click()
            await page.get_by_test_id("transfer-to").fill("+15550900")
            await page.get_by_test_id("transfer-yes").click()
            await expect(page.get_by_test_id("fleet-done")).to_contain_text("is being transferred")

            await mine.get_by_role("link").click()
            await expect(page.get_by_test_id("call-title")).to_contain_text("+15550101")
            await house.agents[2].say(
                type="event", call_id=call_id, at=2.0, event="user_turn", data={"text": "A table for four."}
            )
            await expect(page.get_by_test_id("turn")).to_contain_text("A table for four.")
            await page.get_by_test_id("to-fleet").click()

            await mine.get_by_test_id("fleet-hangup").click()
            await page.get_by_test_id("confirm-yes").click()
            assert (await line.hear("ended"))["reason"] == "agent_hangup"
            await expect(mine).to_have_count(0)

            there = page.locator("[data-testid=agent-row][data-gateway=gw-c]")
            await there.get_by_test_id("drain").click()
            await page.get_by_test_id("confirm-yes").click()
            await expect(there).to_contain_text("draining")
            await there.get_by_test_id("drain").click()
            await expect(there).to_contain_text("takes calls")

            house.processes[1].send_signal(signal.SIGKILL)
            gone = page.locator("[data-testid=gateway-row][data-gateway=gw-b]")
            await expect(gone).to_contain_text("gone: not heard for")
            await expect(call_row(page, other_id)).to_have_count(0)
            await expect(page.get_by_test_id("fleet-state")).to_contain_text("2 gateways, 1 gone")
            await photograph(page, "gateways-one-gone", whole=True, looks=["light", "phone"])
            kept = page.locator("[data-testid=gateway-row][data-gateway=gw-c]")
            await kept.get_by_test_id("drain-gateway").click()
            await page.get_by_test_id("confirm-yes").click()
            await expect(kept).to_contain_text("draining")
            await kept.get_by_test_id("drain-gateway").press("Enter")
            await expect(kept).to_contain_text("serving")
            assert problems == []
            del other

    asyncio.run(story())


def test_a_gateway_that_is_alone_has_the_page_as_well_and_says_when_it_does_not_answer(
    tmp_path: Path,
) -> None:
    find_chromium()

    async def story() -> None:
        port = free_port()
        async with gateway_process(tmp_path, port) as process, chromium() as browser:
            page = await open_page(browser, f"http://127.0.0.1:{port}/")
            await enter(page)
            await page.get_by_test_id("to-fleet").click()
            await expect(page.get_by_test_id("gateway-row")).to_have_count(1)
            await expect(page.get_by_test_id("fleet-calls-empty")).to_have_text("No calls are under way.")
            await expect(page.get_by_test_id("agents-empty")).to_contain_text(AGENT_ID)
            await expect(page.get_by_test_id("day-words")).to_contain_text("No calls yet")
            await photograph(page, "gateways-empty", whole=True, looks=["light", "phone-dark"])
            async with agent(at_port(port)) as one, caller(at_port(port), from_number="+1") as line:
                await one.take()
                await line.hear("answered")
                row = page.get_by_test_id("fleet-call")
                await expect(row).to_contain_text("in progress")
                await row.get_by_test_id("fleet-mute").press("Enter")
                await expect(row).to_contain_text("muted")
                process.send_signal(signal.SIGKILL)
                await expect(page.get_by_test_id("fleet-problem")).to_have_text(
                    re.compile("does not answer.* is as it was at")
                )
                await photograph(page, "gateways-no-answer", whole=True, looks=["light"])

    asyncio.run(story())


def test_an_order_is_shown_at_once_and_what_has_ended_does_not_come_back(tmp_path: Path) -> None:
    """The gateway's answers are held back or kept old on their way to the page."""
    find_chromium()

    async def story() -> None:
        port = free_port()
        async with gateway_process(tmp_path, port), chromium() as browser, AsyncExitStack() as stack:
            one = await stack.enter_async_context(agent(at_port(port)))
            line = await stack.enter_async_context(caller(at_port(port), from_number="+15550101"))
            call_id = str((await line.hear("ringing"))["call_id"])
            offer, _ = await one.take()
            await line.hear("answered")
            page = await open_page(browser, f"http://127.0.0.1:{port}/#/gateways")
            await enter(page)
            row = call_row(page, call_id)
            await expect(row).to_contain_text("in progress")
            answered, orders = asyncio.Event(), []

            async def as_before(route: Route) -> None:
                old.setdefault(route.request.url, await route.fetch())
                await route.fulfill(response=old[route.request.url])

            async def slowly(route: Route) -> None:
                orders.append(route.request.url)
                await answered.wait()
                await route.continue_()

            old: dict[str, APIResponse] = {}
            async with page.expect_response("**/api/cluster/calls*"):
                await page.route("**/api/cluster/calls*", as_before)
            await page.route("**/api/calls/*/hold", slowly)
            hold = row.get_by_test_id("fleet-hold")
            await hold.click()
            await expect(hold).to_have_attribute("aria-busy", "true")
            await hold.dispatch_event("click")
            answered.set()
            await expect(hold).to_have_attribute("aria-pressed", "true")
            await expect(row).to_contain_text("on hold")
            await expect(hold).not_to_have_attribute("aria-busy", "true")
            assert len(orders) == 1, "a button that is busy orders nothing more"

            await page.route(f"**/api/calls/{call_id}", as_before)
            async with page.expect_response(f"**/api/calls/{call_id}"):
                await row.get_by_role("link").click()
            await expect(page.get_by_test_id("call-state")).to_have_text("in progress")
            for width in (390, 1280):
                await page.set_viewport_size({"width": width, "height": 900})
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await photograph(page, "call-of-a-gateway-with-a-key")
            await one.hangup(offer, reason="agent_hangup")
            async with page.expect_response(f"**/api/calls/{call_id}"):  # its record is fetched once more
                await line.hear("ended")
            await page.evaluate(
                "new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))"
            )
            await expect(page.get_by_test_id("call-state")).to_have_attribute(
                "data-phase", "ended", timeout=1
            )

    asyncio.run(story())


def test_a_call_is_lost_with_its_killed_gateway_wherever_it_is_looked_up(tmp_path: Path) -> None:
    """The database that gateways share says for a minute that it goes on."""
    find_chromium()

    async def story() -> None:
        shared = f"sqlite:///{tmp_path / 'calls.sqlite3'}"
        async with three(tmp_path, record=False, database_url=shared) as house, AsyncExitStack() as stack:
            call_id, _, _ = await stack.enter_async_context(call_at(house, 1, "+15550102"))
            browser = await stack.enter_async_context(chromium())
            web = await stack.enter_async_context(api(house.ports[0]))
            page = await open_page(browser, f"http://127.0.0.1:{house.ports[0]}/#/call/{call_id}")
            await enter(page)
            state = page.get_by_test_id("call-state")
            await expect(state).to_have_text("in progress")
            [listed] = (await web.get("/api/calls", params={"phase": "live"})).json()["calls"]
            assert listed["call_id"] == call_id
            house.processes[1].send_signal(signal.SIGKILL)
            await expect(state).to_have_text("ended: the gateway was lost", timeout=30_000)

            call = (await web.get(f"/api/calls/{call_id}")).json()["call"]
            assert call["phase"] == "ended"
            assert call["reason"] == "gateway_lost"
            assert (await web.get("/api/calls", params={"phase": "live"})).json()["calls"] == []
            [listed] = (await web.get("/api/calls", params={"phase": "ended"})).json()["calls"]
            assert (listed["call_id"], listed["reason"]) == (call_id, "gateway_lost")
            await page.reload()
            await expect(state).to_have_text("ended: the gateway was lost")

    asyncio.run(story())
