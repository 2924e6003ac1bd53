"""The console as a person uses it: what is on the page, and what is done there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.support.browser import WAIT_MS

__all__ = ["SHOTS", "Turn", "Waterfall", "calls", "photograph", "talk", "turns", "until_said", "waterfalls"]

SHOTS = Path(__file__).parent.parent.parent / "artefacts" / "console"
"""Where pictures of the page are kept, to be looked at."""
_LIVE_MS = 20_000
_LOOKS: dict[str, tuple[int, int, Any]] = {
    "light": (1280, 900, "light"),
    "dark": (1280, 900, "dark"),
    "phone": (360, 780, "light"),
    "phone-dark": (360, 780, "dark"),
}


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the transcript. `role` is ``user`` or ``bot``."""

    role: str
    text: str
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where the time of an answer went, in milliseconds, as the page has it."""

    parts: dict[str, float]
    total: float


async def talk(page: Page) -> None:
    """Press the button, and wait until the bot has answered."""
    await page.get_by_test_id("talk").click()
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "live", timeout=_LIVE_MS)


def _turn(page: Page, role: str, text: str | re.Pattern[str]) -> Locator:
    whole = page.locator(f"[data-testid=turn][data-role={role}]:not([data-partial=true])")
    return whole.filter(has_text=text)


async def until_said(
    page: Page, role: str, text: str | re.Pattern[str], *, timeout_s: float = WAIT_MS / 1000
) -> None:
    """Wait for a whole turn with `text` in it."""
    await expect(_turn(page, role, text).last).to_be_visible(timeout=1000 * timeout_s)


async def turns(page: Page) -> list[Turn]:
    """The transcript without what is still being said."""
    found: list[Turn] = []
    for row in await page.locator("[data-testid=turn]:not([data-partial=true])").all():
        role = await row.get_attribute("data-role")
        text = await row.locator(".words").inner_text()
        cut = await row.get_by_test_id("interruption").is_visible()
        found.append(Turn(role or "", text.strip(), cut))
    return found


async def waterfalls(page: Page) -> list[Waterfall]:
    """Every answer's latency, the first one first."""
    found: list[Waterfall] = []
    for figure in await page.get_by_test_id("waterfall").all():
        total = await figure.get_by_test_id("waterfall-total").get_attribute("data-ms")
        parts: dict[str, float] = {}
        for part in await figure.get_by_test_id("waterfall-part").all():
            name, value = await part.get_attribute("data-part"), await part.get_attribute("data-ms")
            parts[name or ""] = float(value or "nan")
        found.append(Waterfall(parts, float(total or "nan")))
    return found


async def calls(page: Page) -> list[dict[str, Any]]:
    """The gateway's list of calls, the latest first, asked for from within the page."""
    answer: dict[str, Any] = await page.evaluate("fetch('/api/calls').then((answer) => answer.json())")
    found: list[dict[str, Any]] = answer["calls"]
    return found


async def photograph(
    page: Page, moment: str, *, whole: bool = False, looks: Iterable[str] = tuple(_LOOKS)
) -> None:
    """Keep pictures of what is in view, or of the `whole` page: on a desk and on a phone, by day and by night."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    for look in looks:
        width, height, scheme = _LOOKS[look]
        await page.set_viewport_size({"width": width, "height": height})
        await page.emulate_media(color_scheme=scheme)
        await page.screenshot(path=SHOTS / f"{moment}-{look}.png", full_page=whole)
    await page.emulate_media(color_scheme="null")
    if before is not None:
        await page.set_viewport_size(before)
