"""A person at the console who uses none of the playbook's words, and has the right table in the end.

In real time, because a browser and its microphone know no other.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from examples.front_desk import PLAYBOOK
from piopiy_pipeline.services.playbook.loading import load_playbook
from tests.browser.console import talk, turns, until_said
from tests.support.browser import chromium, open_page, spoken
from tests.support.make_run import Running

pytestmark = pytest.mark.realtime

ASKS = "We'd be six of us, could you squeeze us in on Saturday around eight?"
AGREES = "Yeah, perfect."
LEAVES = "No, that was it, bye bye."


def test_no_three_words_in_a_row_are_the_playbooks() -> None:
    intents = load_playbook(PLAYBOOK).intents.values()
    known = {three for intent in intents for example in intent.examples for three in in_a_row(example)}
    assert known
    assert not known.intersection(three for said in (ASKS, AGREES, LEAVES) for three in in_a_row(said))


def in_a_row(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"[a-z']+", text.lower())
    return [tuple(words[at : at + 3]) for at in range(len(words) - 2)]


def test_who_says_it_in_words_of_their_own_has_the_right_table(make_run: Running, tmp_path: Path) -> None:
    # The person waits for longer than the bot's answers take, so that on a busy machine nobody cuts in. Where the bot
    # is in doubt what it has heard and asks, they agree once more than they would have to.
    microphone = spoken(tmp_path / "own-words.wav", 8.0, ASKS, 10.0, AGREES, 10.0, AGREES, 11.0, LEAVES)

    async def visit() -> None:
        async with chromium(microphone) as browser:
            page = await open_page(browser, make_run.url)
            await talk(page)
            await until_said(page, "user", "be six of us")
            await until_said(page, "bot", "A table for six, Saturday at eight. Is that right?")
            await until_said(page, "bot", "A table for six, Saturday at eight, is booked.")
            state = page.get_by_test_id("state")
            await expect(state).to_have_text("Ended: the bot hung up")
            assert not any(turn.interrupted for turn in await turns(page))

    asyncio.run(visit())
    booking = json.loads(make_run.bookings.read_text().splitlines()[-1])
    assert {key: booking[key] for key in ("people", "day", "time", "from")} == {
        "people": 6,
        "day": "Saturday",
        "time": "20:00",
        "from": "browser",
    }
