"""The page of all gateways, with a call over the trunk of another gateway: dialled, held, muted, handed on.

The trunk is real SIP with a password: a provider with an agent of its own, who is whoever is called. A Chromium looks
at a gateway that has no telephones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Locator, Page, expect

from piopiy_pipeline.gateway import Gateway
from tests.support.browser import chromium, find_chromium, open_page
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, config, until
from tests.support.nats_server import nats_server, needs_nats
from tests.support.phone_calls import phones_of
from tests.support.web import API_KEY

pytestmark = [needs_nats, pytest.mark.realtime]

RATE = 8000
BEFORE_HZ, MUTED_HZ, AFTER_HZ, BOT_HZ = 800.0, 1200.0, 1600.0, 2100.0
HOLD_HZ, HOLD_LOUDNESS = 523.25, 0.08
"""The first tone of who is on hold (`audio.tones`), and so much of it in a tenth of a second that it does not fill."""


@dataclass
class Fleet:
    """A gateway without telephones, one with a trunk, and who is behind the trunk."""

    page_at: Gateway
    with_trunk: Gateway
    bot: ScriptedAgent
    called: ScriptedAgent


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    customer = {"users": {"acme": "secret"}, "caller_ids": {"acme": ["+4930*"]}}
    provides = {"port": 0, **customer, "default_agent": AGENT_ID}
    async with (
        nats_server("-js", "-sd", str(folder)) as nats,
        Gateway(config(sip=provides, offer_ms=30_000)) as provider,
        agent(provider) as called,
    ):
        main = {"host": "127.0.0.1", "port": phones_of(provider).port, "user": "acme", "password": "secret"}
        sip = {"port": 0, "trunks": {"main": {**main, "caller_ids": ["+4930100"]}}}
        shared = {"api_keys": [API_KEY], "offer_ms": 30_000}

        def member(name: str, **more: Any) -> Gateway:
            return Gateway(config(cluster={"servers": [nats.url], "name": name}, **shared, **more))

        async with (
            member("without") as here,
            member("with-trunk", sip=sip) as there,
            agent(there) as bot,
        ):
            yield Fleet(here, there, bot, called)


def tone(hz: float, seconds: float) -> bytes:
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype("<i2").tobytes()


def loudness(pcm: bytes, hz: float) -> float:
    """Return how loud a tone is where it is loudest, in tenths of a second; 1: as it was said."""
    samples = np.frombuffer(pcm, np.int16).astype(float)
    pieces = samples[: samples.size // 800 * 800].reshape(-1, 800)
    wave = np.exp(-2j * np.pi * hz * np.arange(800) / RATE)
    return float(np.abs(pieces @ wave).max(initial=0.0) / (8000 * 400))


async def until_heard(listener: Peer, hz: float, least: float = 0.5) -> bytes:
    """Return all that is heard until a tone is."""
    heard = b""
    while loudness(heard, hz) < least:
        heard += await listener.hear_audio_bytes(RATE // 5 * 2)
        assert len(heard) < 60 * RATE, f"no tone of {hz:g} Hz came within half a minute"
    return heard


def pressed(button: Locator, on: bool) -> Any:
    return expect(button).to_have_attribute("aria-pressed", "true" if on else "false")


async def dial(page: Page, house: Fleet) -> tuple[Locator, dict[str, Any], Peer, Peer]:
    """Call somebody from the page. Returns the call's row, its offer at the other end, and both ends."""
    await expect(page.get_by_test_id("dial")).to_be_visible()
    assert await page.get_by_test_id("dial-gateway").locator("option").all_inner_texts() == ["with-trunk"]
    await page.get_by_test_id("dial-to").fill("+49 (30) 555-1")
    await page.get_by_test_id("dial-submit").click()
    offer = await house.called.offer()
    assert (offer["from_number"], offer["to_number"]) == ("+4930100", "+49305551")
    _, far = await house.called.take(offer, caller_rate=RATE, bot_rate=RATE)
    mine, near = await house.bot.take(caller_rate=RATE, bot_rate=RATE)
    await expect(page.get_by_test_id("fleet-done")).to_contain_text("from with-trunk")
    row = page.locator(f"[data-testid=fleet-call][data-call-id='{mine['call_id']}']")
    await expect(row).to_contain_text("with-trunk")
    await expect(row).to_contain_text("in progress")
    assert not house.page_at.switchboard.snapshot().calls
    return row, offer, far, near


def test_a_call_over_the_trunk_of_another_gateway_is_dialled_held_muted_and_transferred_from_the_page(
    tmp_path: Path,
) -> None:
    find_chromium()

    async def story() -> None:
        async with fleet(tmp_path) as house, chromium() as browser:
            page = await open_page(browser, f"{house.page_at.console_url}#/gateways")
            await page.get_by_test_id("key").fill(API_KEY)
            await page.get_by_test_id("key").press("Enter")
            row, _, far, near = await dial(page, house)

            await far.socket.send(tone(BEFORE_HZ, 1))
            await until_heard(near, BEFORE_HZ)
            mute, hold = row.get_by_test_id("fleet-mute"), row.get_by_test_id("fleet-hold")
            await mute.click()
            await pressed(mute, on=True)
            near.audio.clear()
            await far.socket.send(tone(MUTED_HZ, 1))
            await near.socket.send(tone(BOT_HZ, 3))
            await until_heard(far, BOT_HZ)  # who is muted hears the bot on, and says a second meanwhile
            await far.hear_audio_bytes(2 * RATE * 2)
            await mute.click()
            await pressed(mute, on=False)
            await far.socket.send(tone(AFTER_HZ, 2))
            assert loudness(await until_heard(near, AFTER_HZ), MUTED_HZ) < 0.1

            await hold.click()
            await pressed(hold, on=True)
            await expect(row).to_contain_text("on hold")
            await house.bot.hear_where(lambda one: one.get("what") == "hold", "hold")
            await far.hear_audio_bytes(4 * RATE * 2)  # what was said before the hold
            await near.socket.send(tone(BOT_HZ, 1))
            held = await far.hear_audio_bytes(2 * RATE * 2)
            held += await until_heard(far, HOLD_HZ, least=HOLD_LOUDNESS)
            assert loudness(held, BOT_HZ) < 0.1, "the bot's speech waits"
            await hold.click()
            await pressed(hold, on=False)
            await until_heard(far, BOT_HZ)

            await row.get_by_test_id("fleet-transfer").click()
            await page.get_by_test_id("transfer-to").fill("+49305552")
            await page.get_by_test_id("transfer-yes").click()
            await expect(page.get_by_test_id("fleet-done")).to_contain_text("is being transferred")
            second = await house.called.offer()
            assert second["to_number"] == "+49305552"
            _, third = await house.called.take(second, caller_rate=RATE, bot_rate=RATE)
            await expect(row).to_contain_text("transferred, talking")
            await expect(hold).to_be_disabled()
            for speaker, listener in ((far, third), (third, far)):
                await speaker.socket.send(tone(BEFORE_HZ, 2))
                listener.audio.clear()
                await until_heard(listener, BEFORE_HZ)

            await row.get_by_test_id("fleet-hangup").click()
            await page.get_by_test_id("confirm-yes").click()
            await expect(row).to_have_count(0)
            await until(lambda: not house.with_trunk.switchboard.snapshot().calls)
            await house.called.hear("ended")
            await house.called.hear("ended")

    asyncio.run(story())
