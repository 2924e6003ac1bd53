"""The console shows which answers were begun ahead, how much sooner they are heard, and what was for nothing.

In real time, because a browser knows no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.async_api import Page, expect

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Replies, Transcripts
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.browser.console import photograph
from tests.support.browser import chromium, open_page
from tests.support.calls import AUDIO, house
from tests.support.services import ToneTTS
from tests.turns.test_eager_turns import CountingLLM

pytestmark = pytest.mark.realtime

KEY = "operator-key"
MODEL_S = 0.3
TURN_S = 1.5
"""The silence that ends a turn: long, so that a busy machine cannot end it within the caller's pause."""
PAUSE_S = 0.2


def halves(folder: Path) -> Path:
    """Return a recording of two sentences with a pause between them, which the recordings' own margins lengthen."""
    parts = [
        soundfile.read(AUDIO / "booking" / name, dtype="int16") for name in ("01-people.wav", "03-yes.wav")
    ]
    rate = parts[0][1]
    path = folder / "halves.wav"
    soundfile.write(
        path, np.concatenate([parts[0][0], np.zeros(int(PAUSE_S * rate), np.int16), parts[1][0]]), rate
    )
    return path


def test_the_console_shows_what_was_begun_ahead_and_what_was_dropped(tmp_path: Path) -> None:
    model = CountingLLM(Replies("For which day?", otherwise="It is booked.", latency=MODEL_S))

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False)
        stt = ScriptedSTT(Transcripts(texts=["four people", "on Friday", "yes please"]))
        await agent.Action(stt=stt, llm=model, tts=ToneTTS(), turns=TURN_S)
        await agent.start()

    async def visit() -> None:
        async with (
            house(bot, api_keys=[KEY], records=True, data_folder=tmp_path) as place,
            chromium() as browser,
        ):
            page = await open_page(browser, place.gateway.console_url)
            await page.get_by_test_id("key").fill(KEY)
            await page.get_by_test_id("key").press("Enter")
            await place.call(str(halves(tmp_path)), "booking/03-yes.wav")
            await page.get_by_test_id("call-row").first.press("Enter")
            await expect(page.get_by_test_id("waterfall")).to_have_count(2)
            await the_waterfalls_say_what_was_saved(page)
            counted = page.get_by_test_id("eager-count")
            await expect(counted).to_have_text("2, 1 dropped")
            await photograph(page, "ahead", looks=["light", "phone"])
            row = page.get_by_test_id("call-row").first
            record = await page.request.get(
                f"{place.gateway.console_url}api/calls/{await row.get_attribute('data-call-id')}",
                headers={"Authorization": f"Bearer {KEY}"},
            )
            call = await record.json()
            dropped = [event["data"] for event in call["events"] if event["event"] == "eager_dropped"]
            assert dropped == [{"reason": "the caller goes on", "wasted": 1}], "it is on the record"

    asyncio.run(visit())
    assert [messages[-1]["content"] for messages in model.asked] == [
        "four people",
        "four people on Friday",
        "yes please",
    ]


async def the_waterfalls_say_what_was_saved(page: Page) -> None:
    first, second = [page.get_by_test_id("waterfall").nth(number) for number in (0, 1)]
    for figure in (first, second):
        await figure.get_by_test_id("waterfall-total").click()
    await expect(first.get_by_test_id("eager")).to_contain_text("at attempt 2")
    await expect(second.get_by_test_id("eager")).to_contain_text("begun ahead: heard")
    saved_ms = float(await second.get_by_test_id("eager").get_attribute("data-saved-ms") or 0)
    assert saved_ms >= 1000 * MODEL_S, "the time of the model, and of the voice"
    assert saved_ms <= 1000 * TURN_S
