"""Pipecat's own JavaScript client, as it comes from the npm registry, calls a bot of ours.

In real time, because a browser and its microphone know no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page

from examples.front_desk import PLAYBOOK
from piopiy_pipeline.services.playbook.loading import load_playbook
from tests.browser.console import SHOTS
from tests.support.agents import apart
from tests.support.browser import chromium, listen, open_page, speech_s, spoken
from tests.support.bundle import bundle, served
from tests.support.calls import AGENT_ID, eventually

pytestmark = pytest.mark.realtime

HERE = Path(__file__).parent
FRONT_DESK = ("examples/front_desk.py",)
API_KEY = "operator-key"


async def client_token(gateway: str, **request: Any) -> str:
    """What an operator's own server does for its page."""
    async with httpx.AsyncClient(base_url=gateway, trust_env=False) as operator:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        answer = await operator.post("/api/tokens", json={"agent_id": AGENT_ID, **request}, headers=headers)
        token: str = answer.raise_for_status().json()["token"]
        return token


async def told(page: Page, event: str) -> list[dict[str, Any]]:
    """What the client has told of one kind so far: `at` in seconds, and its first argument as `data`."""
    notes: list[dict[str, Any]] = await page.evaluate("window.told")
    return [
        {"at": note["at"], "data": (note["data"] or [None])[0]} for note in notes if note["event"] == event
    ]


async def until_told(page: Page, event: str, *, times: int = 1, timeout_s: float = 40.0) -> None:
    await page.wait_for_function(
        "([event, times]) => window.told.filter((note) => note.event === event).length >= times",
        arg=[event, times],
        timeout=1000 * timeout_s,
    )


@pytest.fixture(scope="module")
def somebodys_page(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return bundle(HERE / "pipecat_client", pytestconfig.cache.mkdir("pipecat_client"))


def test_the_official_client_connects_talks_is_told_what_happens_and_leaves(
    somebodys_page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKINGS", str(tmp_path / "bookings.jsonl"))
    # A sentence without a pause, which the ears are sure of: what they hear is not what is tested here.
    microphone = spoken(tmp_path / "microphone.wav", 5.0, "booking/01-people.wav")

    async def visit() -> None:
        with served(somebodys_page) as origin:
            settings: dict[str, Any] = {"allowed_origins": [origin], "api_keys": [API_KEY]}
            async with (
                apart(arguments=FRONT_DESK, webrtc_workers=1, **settings) as place,
                chromium(microphone) as browser,
            ):
                gateway = place.gateway.console_url
                token = await client_token(gateway, identity="ada", metadata={"table": "window"})
                page = await open_page(browser, origin)
                answer = await page.evaluate(
                    "([url, token]) => connect(url, token)", [f"{gateway}api/offer", token]
                )
                assert answer["ready"]["version"].startswith("2."), answer
                call = next(iter(place.gateway.switchboard.snapshot().calls))
                assert (call.from_number, call.metadata) == ("ada", {"table": "window"})
                await until_told(page, "botStoppedSpeaking", times=2)
                heard = await listen(page)
                heard.save(SHOTS.parent / "pipecat-client.wav")
                await it_was_told_of_both_sides(page)
                assert speech_s(heard.bot) > 2.0
                await page.evaluate("client.disconnect()")
                await until_told(page, "disconnected")
                await eventually(lambda: place.ended())
            (record,) = place.ended()
            assert record.reason == "caller_hangup"

    asyncio.run(visit())


async def it_was_told_of_both_sides(page: Page) -> None:
    finals = [one["data"]["text"] for one in await told(page, "userTranscript") if one["data"]["final"]]
    assert any("four people" in text.lower() for text in finals), finals
    started, *_ = await told(page, "userStartedSpeaking")
    *_, stopped = await told(page, "userStoppedSpeaking")  # on a busy machine they speak with pauses
    greeting, *_, answer = await told(page, "botStartedSpeaking")
    assert greeting["at"] < started["at"] < stopped["at"] < answer["at"]
    spoken_text = " ".join(one["data"]["text"] for one in await told(page, "botTranscript"))
    assert any(question in spoken_text for question in load_playbook(PLAYBOOK).slots["day"].ask), spoken_text


def test_the_official_client_begins_at_the_address_that_it_knows_from_its_own_servers(
    somebodys_page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKINGS", str(tmp_path / "bookings.jsonl"))

    async def visit() -> None:
        with served(somebodys_page) as origin:
            settings: dict[str, Any] = {"allowed_origins": [origin], "api_keys": [API_KEY]}
            async with (
                apart(arguments=FRONT_DESK, webrtc_workers=1, **settings) as place,
                chromium(spoken(tmp_path / "silence.wav")) as browser,
            ):
                gateway = place.gateway.console_url
                page = await open_page(browser, origin)
                begin = "([url, token]) => startAndConnect(url, token)"
                token = await client_token(gateway, identity="grace")
                answer = await page.evaluate(begin, [f"{gateway}start", token])
                assert answer["ready"]["version"].startswith("2."), answer
                (call,) = place.gateway.switchboard.snapshot().calls
                assert call.from_number == "grace"
                await until_told(page, "botStartedSpeaking")
                await page.evaluate("client.disconnectBot()")
                await until_told(page, "disconnected")
                await eventually(lambda: place.ended())
            (record,) = place.ended()
            assert record.reason == "agent_hangup", "its client asked the bot to"

    asyncio.run(visit())
