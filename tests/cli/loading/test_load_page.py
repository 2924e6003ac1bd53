"""The page of `piopiy load` in a real browser: it asks for nothing, fits the screen, and shows what was measured."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.loading.figures import LoadFigures
from piopiy_pipeline.cli.loading.load_page import load_page
from piopiy_pipeline.cli.loading.thresholds import ThresholdResult
from tests.support.browser import chromium

HOSTILE = "<script>document.title = 'owned'</script> & \"quoted\""


def page_of(calls: int) -> str:
    """Return the page about so many calls, of which one in ten fails."""

    async def make() -> str:
        figures = LoadFigures(("stream", "sip"))
        for number in range(calls):
            kind = ("stream", "sip")[number % 2]
            figures.begin(kind)  # type: ignore[arg-type]
            for measured in (figures.all, figures.by_kind[kind]):  # type: ignore[index]
                measured.answered += 1
                measured.turns += 1
                measured.answer_ms.add(number, 40 + number % 30)
                measured.voice_to_voice_ms.add(number, 600 + number % 500)
            failed = number % 10 == 0
            outcome = CallOutcome(EndReason.AGENT_HANGUP, "", True, 9.0, (), (), (25,), 1, None)
            figures.end(kind, outcome, HOSTILE if failed else None)  # type: ignore[arg-type]
            figures.lateness.add(number, 0.001)
        figures.finish()
        about: dict[str, Any] = {
            "url": "ws://127.0.0.1",
            "agent_id": HOSTILE,
            "began": "now",
            "stopped": True,
        }
        results = [
            ThresholdResult("failed>0", float(figures.all.failed), True),
            ThresholdResult("x>1", None, True),
        ]
        return load_page(figures, about | figures.to_json(), results, command=HOSTILE)

    return asyncio.run(make())


def test_a_page_of_any_run_stands_alone_and_fits_the_screen(tmp_path: Path) -> None:
    asked: list[str] = []
    said: list[str] = []

    async def look(page: Page, file: Path, calls: int, width: int) -> None:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.set_viewport_size({"width": width, "height": 800})
        await page.goto(file.as_uri())
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (calls, width)
        cut = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert await page.evaluate(cut) == 0, "every column of the tables is in sight"
        assert (await page.title()).startswith("Load: "), "the script has not run"
        text = await page.inner_text("main")
        assert "stopped by hand" in text
        assert "nothing was measured" in text, "of the threshold without a value"
        shown = await page.locator("svg.plot").count()
        assert shown == (6 if calls else 1)
        if calls == 300:
            assert "30" in await page.inner_text(".tile.bad >> nth=0")
            assert HOSTILE in text, "as text"

    files = {calls: tmp_path / f"{calls}.html" for calls in (0, 1, 300)}
    for calls, file in files.items():
        file.write_text(page_of(calls), encoding="utf-8")

    async def scenario() -> None:
        async with chromium() as browser:
            for calls, file in files.items():
                for width in (380, 1280):
                    await look(await browser.new_page(), file, calls, width)
                    assert (asked, said) == ([file.as_uri()], [])
                    asked.clear()

    asyncio.run(scenario())
