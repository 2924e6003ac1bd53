"""A call whose network is lost for a while, in a network of its own (see `tests.support.alone`).

    python -m tests.browser.lost_network FOLDER SECONDS

The call goes over an address that for so long leads nowhere; the page's own requests go over loopback,
so that nothing but the call is concerned. Prints what the page showed as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.browser.console import calls, talk, turns, until_said
from tests.support.alone import Cable
from tests.support.browser import chromium, listen, open_page, sounds, spoken
from tests.support.make_run import make_run

STATISTICS = """async () => {
  const [peer] = __ear.peers;
  let bytes = 0;
  for (const one of (await peer.getStats()).values()) if (one.type === "transport") bytes += one.bytesReceived;
  return bytes;
}"""
"""How much has come to the page over its peer connection."""
SPEAKS_AT_S = 14.0
"""When the caller asks something: after the loss."""


async def lose(page: Page, lost_s: float) -> dict[str, Any]:
    """Call, lose the network, get it back, and go on talking."""
    cable = Cable()
    await talk(page)
    await until_said(page, "bot", "How can I help you?")
    cable.cut()
    await asyncio.sleep(0.2)  # what was on its way
    before = await page.evaluate(STATISTICS)
    await asyncio.sleep(lost_s)
    came = await page.evaluate(STATISTICS) - before
    during = await page.get_by_test_id("state").get_attribute("data-state")
    cable.mend()
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "live")
    await until_said(page, "user", "when are you open")
    await until_said(page, "bot", "We are open")
    heard = await listen(page)
    (call,) = await calls(page)
    phase = call["phase"]
    await page.get_by_test_id("hangup").click()
    await expect(page.get_by_test_id("call-state")).to_have_attribute("data-phase", "ended")
    (call,) = await calls(page)
    return {
        "during": during,
        "came": came,
        "phase": phase,
        "reason": call["reason"],
        "turns": [[turn.role, turn.text] for turn in await turns(page)],
        "callers": sounds(heard.microphone, gap_s=1.0),
        "bots": sounds(heard.bot, gap_s=1.0),
    }


async def main(folder: Path, lost_s: float) -> None:
    microphone = spoken(folder / "microphone.wav", SPEAKS_AT_S, "hours/01-open.wav")
    with make_run(folder) as run:
        async with chromium(microphone, loopback=False) as browser:
            page = await open_page(browser, run.url)
            print(json.dumps(await lose(page, lost_s)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
