"""The front desk, one file and one process of it, by telephone, by browser and by chat: the same booking each time.

In real time: a real telephone (baresip), a real browser (Chromium) with its microphone, and a page that chats.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from tests.browser.console import talk, until_said
from tests.support.agents import Apart, apart
from tests.support.browser import chromium, open_page, spoken
from tests.support.calls import AGENT_ID, eventually
from tests.support.gateway_peers import until
from tests.support.offline import AUDIO
from tests.support.phone_calls import phone_of, phones_of

pytestmark = pytest.mark.realtime

FRONT_DESK = ("examples/front_desk.py",)
BOOKING = tuple(f"booking/{name}.wav" for name in ("01-people", "02-when", "03-yes", "04-goodbye"))
WORDS = ("A table for four, please.", "On Friday at seven.", "Yes.", "Thank you, goodbye.")

CHAT = """async ([agent, words]) => {
  const answer = await fetch("/api/tokens", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ agent_id: agent, identity: "ada" }) });
  const { token } = await answer.json();
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/chat/${agent}`);
  const said = [...words], turns = [];
  return await new Promise((done, failed) => {
    socket.onopen = () => socket.send(JSON.stringify({ event: "start", token }));
    socket.onerror = () => failed(new Error("the socket failed"));
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.event === "turn") turns.push(event);
      if (event.event === "turn" && event.role === "bot" && said.length)
        socket.send(JSON.stringify({ event: "text", text: said.shift() }));
      if (event.event === "ended" || event.event === "fault") done({ turns, end: event });
    };
  });
}"""


@asynccontextmanager
async def front_desk(
    bookings: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[Apart]:
    for key in ("OPENAI_API_KEY", "LLM_BASE_URL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("BOOKINGS", str(bookings))
    async with apart(arguments=FRONT_DESK, **settings) as place:
        yield place


def booked(bookings: Path) -> tuple[int, str, str]:
    last = json.loads(bookings.read_text().splitlines()[-1])
    return last["people"], last["day"], last["time"]


def test_by_telephone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bookings, turns = tmp_path / "bookings.jsonl", [0]
    sip = {"port": 0, "users": {"alice": "secret"}, "routes": [{"to": "555*", "agent": AGENT_ID}]}

    def watch(news: BusEvent) -> None:
        if isinstance(news, ConversationReported) and news.event == "bot_turn":
            turns[0] += 1

    async def story() -> None:
        async with front_desk(bookings, monkeypatch, sip=sip) as place, phone_of(place.gateway) as phone:
            place.gateway.switchboard.event_bus.subscribe(watch)
            await phone.dial(f"sip:5551234@127.0.0.1:{phones_of(place.gateway).port}")
            for number, wav in enumerate(BOOKING, 1):
                await until(lambda number=number: turns[0] >= number, patience_s=30.0)  # type: ignore[misc]
                await phone.say(AUDIO / wav)
            await eventually(lambda: place.ended(), 30)
            (record,) = place.ended()
            assert (record.kind, record.reason) == ("phone", "agent_hangup")

    asyncio.run(story())
    assert booked(bookings) == (4, "Friday", "19:00")


def test_by_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bookings = tmp_path / "bookings.jsonl"
    first, when, yes, leaves = BOOKING
    microphone = spoken(tmp_path / "microphone.wav", 4.8, first, 6.0, when, 7.0, yes, 8.0, leaves)

    async def story() -> None:
        async with (
            front_desk(bookings, monkeypatch, webrtc_workers=1, console="open") as place,
            chromium(microphone) as browser,
        ):
            page = await open_page(browser, place.gateway.console_url)
            await talk(page)
            await until_said(page, "bot", "booked", timeout_s=45)
            await eventually(lambda: place.ended(), 40)
            (record,) = place.ended()
            assert (record.kind, record.reason) == ("browser", "agent_hangup")

    asyncio.run(story())
    assert booked(bookings) == (4, "Friday", "19:00")


def test_by_a_page_that_chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bookings = tmp_path / "bookings.jsonl"

    async def story() -> None:
        async with front_desk(bookings, monkeypatch, console="open") as place, chromium() as browser:
            page = await open_page(browser, place.gateway.console_url)
            chat = await page.evaluate(CHAT, [AGENT_ID, list(WORDS)])
            assert chat["end"] == {"event": "ended", "reason": "agent_hangup", "detail": ""}, chat
            assert [turn["text"] for turn in chat["turns"] if turn["role"] == "user"] == list(WORDS)
            await eventually(lambda: place.ended(), 20)
            (record,) = place.ended()
            assert (record.kind, record.reason, record.from_number) == ("text", "agent_hangup", "ada")
            row = page.locator("[data-testid=call-row][data-kind=text]")
            await row.first.wait_for()
            assert "Chat" in await row.first.inner_text()

    asyncio.run(story())
    assert booked(bookings) == (4, "Friday", "19:00")
