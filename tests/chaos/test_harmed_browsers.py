"""A browser's call, whose agent is killed, hangs, or moves it: it stays, and its page hears another agent go on.

A real Chromium with the gateway's own console, and real processes, against the clock of the wall. What the page was
given to play is recorded in it, so gaps are those of its own clock.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.console import talk
from tests.support.browser import RATE, chromium, find_chromium, listen, open_page
from tests.support.calls import eventually
from tests.support.chaos import ChaosPlace, chaos
from tests.support.gateway_process import API_KEY
from tests.support.heard_pitches import FRAME_S, pitch_of
from tests.support.talking_callers import MODULE, CountedTurns, restart

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

SPEAKS = "tests.support.faulty_agent"
GENEROUS_S = 30.0
ENVIRONMENT = {"PIOPIY_DRAIN": "move", "CAPACITY": "2"}
Report = Callable[[str, object], None]


@asynccontextmanager
async def console_with(module: str) -> AsyncIterator[tuple[ChaosPlace, Page]]:
    """A gateway and an agent, and the console in a browser."""
    find_chromium()
    async with (
        chaos(agents=0, browsers=True, settings=[f'api_keys = ["{API_KEY}"]']) as place,
        chromium() as browser,
    ):
        await place.add_agent(module=module, environment=ENVIRONMENT)
        page = await open_page(browser, place.url.replace("ws:", "http:"))
        await page.get_by_test_id("key").fill(API_KEY)
        await page.get_by_test_id("key").press("Enter")
        yield place, page


@asynccontextmanager
async def browser_with(module: str) -> AsyncIterator[tuple[ChaosPlace, Page]]:
    """A gateway and an agent, and a page that is in a call with it."""
    async with console_with(module) as (place, page):
        await talk(page)
        await hears(page, place.agents[0].pitch)
        yield place, page


async def heard(page: Page) -> list[float]:
    """Return the pitch of each 20 ms that the page was given to play, 0.0 for silence."""
    bot, step = (await listen(page)).bot, round(FRAME_S * RATE)
    return [
        pitch_of(bot[at : at + step].astype(np.int16), RATE) for at in range(0, bot.size - step + 1, step)
    ]


async def hears(page: Page, pitch: float, seconds: float = 0.2) -> None:
    """Wait until the page has heard so much of an agent."""
    async with asyncio.timeout(GENEROUS_S):
        while (await heard(page)).count(pitch) * FRAME_S < seconds:
            await page.wait_for_timeout(300)


def change_s(pitches: list[float], near: float, far: float) -> float:
    """Return how long nothing was heard between the last sound of one agent and the first of the other."""
    last = max(at for at, pitch in enumerate(pitches) if pitch == near)
    return FRAME_S * next(at for at, pitch in enumerate(pitches[last:]) if pitch == far)


def longest_silence_s(pitches: list[float]) -> float:
    """Return the longest silence between two sounds."""
    loud = [at for at, pitch in enumerate(pitches) if pitch]
    return FRAME_S * max((after - before for before, after in itertools.pairwise(loud)), default=0)


@pytest.mark.parametrize("harm", [pytest.param("killed", marks=pytest.mark.long_form), "hung"])
def test_a_page_hears_another_agent_after_its_own_is(harm: str, record_property: Report) -> None:
    async def story() -> None:
        async with browser_with(SPEAKS) as (place, page):
            [near] = place.agents
            far = await place.add_agent(module=SPEAKS, environment=ENVIRONMENT)
            near.kill() if harm == "killed" else near.stop()
            await hears(page, far.pitch)
            await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "live")
            assert " ended: " not in place.gateway_log
            pitches = await heard(page)
            assert near.pitch not in pitches[pitches.index(far.pitch) :]
            record_property(
                "chaos",
                {
                    "fault": f"a browser's agent is {harm}",
                    "silence_s": longest_silence_s(pitches),
                    "what became of it": f"the call stayed; from one agent to the other "
                    f"{change_s(pitches, near.pitch, far.pitch):.2f} s of silence",
                },
            )
            await page.get_by_test_id("hangup").click()
            await eventually(lambda: "caller_hangup" in place.gateway_log, GENEROUS_S)

    asyncio.run(story())


def test_a_page_goes_on_in_turns_with_the_agent_that_its_call_moves_to(record_property: Report) -> None:
    async def story() -> None:
        async with browser_with(MODULE) as (place, page):
            [old] = place.agents
            counted = CountedTurns(place)
            [call_id] = {line["call_id"] for line in old.told("answered")}
            await eventually(lambda: old.told("bot_turn"), GENEROUS_S)
            await page.get_by_test_id("keypad-toggle").click()
            for key in "1#":
                await page.locator(f"[data-key='{key}']").click()
            await eventually(lambda: counted.of(call_id) == 1, GENEROUS_S)
            await restart(place, old, ENVIRONMENT)
            assert [line["reason"] for line in old.told("end")] == ["moved"]
            before = len(await heard(page))
            for key in "1#":
                await page.locator(f"[data-key='{key}']").click()
            await eventually(lambda: counted.of(call_id) == 2, GENEROUS_S)
            new = place.agents[-1]
            await hears(page, new.pitch)
            answer = (await heard(page))[before:]
            assert old.pitch not in answer
            gap_s = longest_silence_s(answer)
            assert gap_s < 0.3
            assert place.gateway_log.count(": moved from instance ") == 1
            record_property(
                "chaos",
                {
                    "fault": "a browser's agent drains, and its call moves",
                    "silence_s": gap_s,
                    "what became of it": "the call stayed, and the next answer knew of the turn before",
                },
            )
            await page.get_by_test_id("hangup").click()
            await eventually(lambda: "caller_hangup" in place.gateway_log, GENEROUS_S)

    asyncio.run(story())


def test_a_page_offers_no_call_while_its_agent_is_silent() -> None:
    async def story() -> None:
        async with console_with(SPEAKS) as (place, page):
            [agent] = place.agents
            button, note = page.get_by_test_id("talk"), page.get_by_test_id("no-agent")
            await expect(button).to_be_enabled()
            await expect(note).to_be_hidden()
            agent.stop()
            await expect(note).to_contain_text("is silent")
            await expect(button).to_be_disabled()
            agent.wake()
            await expect(button).to_be_enabled()
            await expect(note).to_be_hidden()
            agent.kill()
            await expect(note).to_contain_text("No agent is connected")
            await expect(button).to_be_disabled()

    asyncio.run(story())
