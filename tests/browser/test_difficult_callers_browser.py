"""A caller in a browser who pauses in a number, says "mhm" through an explanation, and interrupts the next one.

In real time, because a browser and its microphone know no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.browser.console import talk, turns, until_said
from tests.support.browser import RATE, chromium, find_chromium, listen, open_page, sounds, spoken
from tests.support.difficult_callers import (
    EXPLANATION,
    LISTENING,
    MISHEARD,
    NO_WAIT,
    PAUSING,
    joined,
    missing_words,
    plain,
)
from tests.support.make_run import Running, make_run
from tests.support.phone_calls import recognised

pytestmark = pytest.mark.realtime

NUMBER = PAUSING["human number"]
BOT = Path(__file__).parent.parent / "support" / "explaining_bot.py"


@pytest.fixture
def explains(tmp_path: Path) -> Iterator[Running]:
    """`piopiy dev` with a bot that asks for a number and explains at length."""
    find_chromium()
    with make_run(tmp_path, BOT) as run:
        yield run


def test_who_pauses_listens_aloud_and_interrupts(explains: Running, tmp_path: Path) -> None:
    def recording(name: str, *parts: Path | str | float) -> str:
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, joined(*parts), RATE, subtype="PCM_16")
        return str(path)

    microphone = spoken(
        tmp_path / "microphone.wav",
        4.8,
        recording("number", NUMBER.halves[0], 0.7, NUMBER.halves[1]),
        3.0,
        recording("listens", LISTENING[0], 1.6, LISTENING[1], 1.6, LISTENING[2]),
        8.0,
        "Please tell me that once more.",
        4.0,
        recording("interrupts", NO_WAIT, 0.4, "no_wait/02-goes_on.wav"),
    )

    async def visit() -> None:
        async with chromium(microphone) as browser:
            page = await open_page(browser, explains.url)
            await talk(page)
            await until_said(page, "bot", "Of course.", timeout_s=120)
            heard = await listen(page)
            said = await turns(page)
            await page.get_by_test_id("hangup").click()

        asked, explained, cut, agreed = [at for at, turn in enumerate(said) if turn.role == "bot"]

        def between(first: int, last: int) -> str:
            return " ".join(turn.text for turn in said[first + 1 : last])

        assert said[asked].text == NUMBER.question
        assert NUMBER.heard_in(between(asked, explained)), "both halves, before the bot says anything"
        assert (said[explained].text, said[explained].interrupted) == (EXPLANATION, False)
        assert plain(between(explained, cut))[-2:] == ["once", "more"]
        assert said[cut].interrupted
        assert EXPLANATION.startswith(said[cut].text)
        assert said[cut].text != EXPLANATION
        assert {"no", "saturday"} <= set(plain(between(cut, agreed)))
        assert said[agreed].text == "Of course."
        first = np.concatenate(
            [heard.bot[int(a * RATE) : int(b * RATE)] for a, b in sounds(heard.bot, gap_s=1.5)[1:]]
        )
        understood = await recognised(np.asarray(soxr.resample(first, RATE, 8000), np.int16))
        assert len(missing_words(EXPLANATION, understood)) <= 2 * MISHEARD, understood

    asyncio.run(visit())
