"""A person at the console: talks to the bot of `make run`, and sees what happens.

In real time, because a browser and its microphone know no other.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
from playwright.async_api import ConsoleMessage, Page, expect

from tests.browser.console import SHOTS, Turn, calls, photograph, talk, turns, until_said, waterfalls
from tests.support.browser import RATE, Heard, chromium, listen, open_page, sounds, speech_s, spoken
from tests.support.make_run import Running

pytestmark = pytest.mark.realtime

GREETING = "Olive and Thyme, good day. How can I help you?"
PAGE_MS = 400.0
"""By so much a latency heard in the page may differ from the one it shows: a network, two jitter buffers."""


@pytest.mark.main_job
def test_a_caller_books_a_table_from_the_page_hears_the_bot_sees_it_all_and_hangs_up(
    make_run: Running, tmp_path: Path
) -> None:
    # The person waits for longer than the bot's answers take, so that on a busy machine nobody cuts in.
    microphone = spoken(
        tmp_path / "booking.wav",
        *(8.0, "booking/01-people.wav", 9.0, "booking/02-when.wav", 11.0, "booking/03-yes.wav"),
    )
    hosts: set[str] = set()
    complaints: list[str] = []

    async def visit() -> None:
        async with chromium(microphone) as browser:
            page = await open_page(browser, "about:blank", viewport={"width": 1280, "height": 900})
            page.on("request", lambda request: hosts.add(re.sub(r"(?<=\w)/.*", "", request.url)))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda told: complaints.extend(complaint(told)))
            await page.goto(make_run.url)
            await talk(page)
            await until_said(page, "user", "four people")
            await until_said(page, "bot", "A table for four, Friday at seven. Is that right?")
            await photograph(page, "during")
            await until_said(page, "bot", "is booked. Anything else?")
            heard = await listen(page)
            heard.save(SHOTS.parent / "browser-booking.wav")
            await page.get_by_test_id("hangup").click()
            await expect(page.get_by_test_id("state")).to_have_text("Ended: you hung up")

            await the_transcript_tells_of_the_booking(page, make_run)
            the_bot_was_heard_and_spoke_in_turn(heard)
            await the_waterfalls_tell_where_the_time_went(page, heard)
            call_id = await the_call_is_listed_as_ended(page)
            await its_recording_plays(page, make_run, call_id)
            await photograph(page, "after", whole=True)

    asyncio.run(visit())
    assert hosts == {make_run.url.rstrip("/")}, "the page asks no other host"
    assert complaints == []


def complaint(told: ConsoleMessage) -> list[str]:
    """What the console complains of: not of a call that is not on the record yet, and is asked for again."""
    asked_early = "404" in told.text and "/api/calls/" in told.location["url"]
    return [f"{told.text} {told.location['url']}"] if told.type == "error" and not asked_early else []


async def the_transcript_tells_of_the_booking(page: Page, run: Running) -> None:
    said = await turns(page)
    assert [turn.role for turn in said] == ["bot", "user", "bot", "user", "bot", "user", "bot"]
    assert said[0] == Turn("bot", GREETING, interrupted=False)
    assert said[3].text.lower().rstrip(".") == "on friday at seven in the evening"
    assert "A table for four, Friday at seven" in said[6].text
    assert not any(turn.interrupted for turn in said)
    tool = page.get_by_test_id("tool")
    await expect(tool).to_have_count(1)
    await expect(tool).to_have_attribute("data-name", "book_table")
    await expect(tool.get_by_test_id("tool-arguments")).to_contain_text("people: 4")
    await expect(tool.get_by_test_id("tool-result")).to_contain_text("booked")
    booking = json.loads(run.bookings.read_text().splitlines()[-1])
    assert (booking["people"], booking["from"]) == (4, "browser")


def the_bot_was_heard_and_spoke_in_turn(heard: Heard) -> None:
    assert speech_s(heard.bot) > 6.0, "most of 11 s of it is voiced"
    said = in_turn(heard)
    assert [who for who, _, _ in said] == ["bot", "caller"] * 3 + ["bot"]
    assert all(end <= begin for (_, _, end), (_, begin, _) in pairwise(said)), "each waited for the other"


def in_turn(heard: Heard) -> list[tuple[str, float, float]]:
    """Who spoke, from when and until when, one after the other. Pauses within a turn are part of it: a busy machine
    makes longer ones than a person.
    """
    marked = [(*sound, "caller") for sound in sounds(heard.microphone)]
    marked += [(*sound, "bot") for sound in sounds(heard.bot)]
    said: list[tuple[str, float, float]] = []
    for begin, end, who in sorted(marked):
        if said and said[-1][0] == who:
            begin = said.pop()[1]
        said.append((who, begin, end))
    return said


async def the_waterfalls_tell_where_the_time_went(page: Page, heard: Heard) -> None:
    shown = await waterfalls(page)
    assert len(shown) == 3, "one for each answer; a greeting answers nobody"
    for answer in shown:
        assert set(answer.parts) == {"silence", "stt", "turn", "llm", "tts", "playout", "line"}
        assert min(answer.parts.values()) >= 0
        assert sum(answer.parts.values()) == pytest.approx(answer.total, abs=1.0)
    answers = [(before, after) for before, after in pairwise(in_turn(heard)) if after[0] == "bot"]
    in_page = [1000 * (after[1] - before[2]) for before, after in answers]
    assert [answer.total for answer in shown] == pytest.approx(in_page, abs=PAGE_MS)


async def the_call_is_listed_as_ended(page: Page) -> str:
    (call,) = [call for call in await calls(page) if call["phase"] == "ended"][:1]
    assert (call["kind"], call["reason"]) == ("browser", "caller_hangup")
    assert (call["from_number"], call["to_number"]) == ("browser", "front_desk")
    call_id: str = call["call_id"]
    await expect(page.locator(f"[data-testid=call-row][data-call-id='{call_id}']")).to_be_visible()
    await expect(page.get_by_test_id("call-state")).to_have_attribute("data-reason", "caller_hangup")
    return call_id


async def its_recording_plays(page: Page, run: Running, call_id: str) -> None:
    """The page's own player, and that both sides are in the file: the caller left, the bot right."""
    await page.get_by_test_id("recording-play").click()
    playing = "() => document.querySelector('[data-testid=recording]').currentTime > 0.3"
    await page.wait_for_function(playing)
    file = await page.request.get(f"{run.url}api/calls/{call_id}/recording")
    sound, rate = soundfile.read(io.BytesIO(await file.body()), dtype="int16")
    assert rate == RATE
    caller, bot = sound.T
    assert [who for who, _, _ in in_turn(Heard(caller, bot))] == ["bot", "caller"] * 3 + ["bot"]


def test_a_microphone_that_was_refused_is_explained_and_no_call_is_made(make_run: Running) -> None:
    async def visit() -> None:
        async with chromium(allowed=False) as browser:
            page = await open_page(browser, make_run.url)
            before = len(await calls(page))
            await page.get_by_test_id("talk").click()
            problem = page.get_by_test_id("mic-problem")
            await expect(problem).to_contain_text("allow the microphone there, then press Talk again")
            await expect(problem).to_have_attribute("data-cause", "refused")
            await expect(page.get_by_test_id("talk")).to_be_enabled()
            await photograph(page, "refused", looks=["phone"])
            assert len(await calls(page)) == before

    asyncio.run(visit())


def test_the_page_tells_that_the_bot_has_hung_up(make_run: Running, tmp_path: Path) -> None:
    microphone = spoken(tmp_path / "goodbye.wav", 4.8, "booking_at_once/03-goodbye.wav")

    async def visit() -> None:
        async with chromium(microphone) as browser:
            page = await open_page(browser, make_run.url)
            await talk(page)
            await until_said(page, "user", re.compile("good.?bye?"))  # however the ears write it
            await expect(page.get_by_test_id("state")).to_have_text("Ended: the bot hung up")
            (call, *_) = await calls(page)
            assert (call["phase"], call["reason"]) == ("ended", "agent_hangup")
            assert "hang_up" in await page.get_by_test_id("tool").inner_text()
            last = (await turns(page))[-1]
            assert last.role == "bot"
            assert not last.interrupted, "it said goodbye first"

    asyncio.run(visit())
