"""Clients that may not call: a browser's page is told so in a way that it can show.

In real time, because a browser knows no other.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from piopiy_pipeline.gateway.access.client_tokens import ClientTokens, TokenRequest
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from tests.browser.console import calls
from tests.support.browser import chromium, open_page
from tests.support.bundle import served
from tests.support.make_run import Running

pytestmark = pytest.mark.realtime

SECRET = "what-client-tokens-are-signed-with"
AGENTS = {"front_desk": "agent-token", "kitchen": "agent-token"}
OFFER = """async ([url, token]) => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio");
  await peer.setLocalDescription();
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const { sdp, type } = peer.localDescription;
  peer.close();
  try {
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ sdp, type }) });
    return { status: answer.status, ...(await answer.json()) };
  } catch (error) {
    return { kept: error.name };  // the browser does not show this page what came
  }
}"""
"""A page that does as Pipecat's clients do, and shows what it was answered."""
WATCH = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  const heard = [];
  socket.onopen = () => socket.send(JSON.stringify({ type: "watch" }));
  socket.onmessage = ({ data }) => heard.push(data);
  socket.onclose = ({ code }) => resolve({ code, heard });
  setTimeout(() => resolve({ code: "open", heard }), 3000);
})"""


def token(
    *, secret: str = SECRET, agent_id: str = "front_desk", made_s_ago: float = 0.0, ttl_s: int = 600
) -> str:
    tokens = ClientTokens(secret, AGENTS, wall=lambda: time.time() - made_s_ago)
    return tokens.grant(TokenRequest(agent_id=agent_id, ttl_s=ttl_s)).token


def forged() -> str:
    """A good one for the kitchen, with the claims of one for the front desk."""
    head, _, signature = token(agent_id="kitchen").split(".")
    return f"{head}.{token().split('.')[1]}.{signature}"


def test_a_token_that_is_no_good_is_refused_with_a_sentence_that_a_page_of_another_origin_can_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>A shop</title>")
    wrong: list[tuple[str, str | None, int, str]] = [
        ("", None, 401, "POST /api/tokens makes one"),
        ("", token(made_s_ago=601), 401, "has expired: ask for a new one"),
        ("", token(secret="another"), 401, "was signed by somebody else"),
        ("", forged(), 401, "was signed by somebody else"),
        ("?agent_id=front_desk", token(agent_id="kitchen"), 403, "is for agent 'kitchen', not for"),
    ]

    async def visit() -> None:
        with served(tmp_path) as shop:
            config = GatewayConfig(
                port=0, agents=AGENTS, token_secret=SECRET, allowed_origins=[shop], records=False
            )
            async with Gateway(config) as gateway, chromium() as browser:
                page = await open_page(browser, shop)
                for query, presented, status, says in wrong:
                    offer = [f"{gateway.console_url}api/offer{query}", presented]
                    answer: dict[str, Any] = await page.evaluate(OFFER, offer)
                    assert answer["status"] == status, (says, answer)
                    assert says in answer["error"]
                seen = gateway.switchboard.snapshot()
                assert seen.calls == seen.ended == ()

    asyncio.run(visit())


def test_a_foreign_page_can_neither_call_nor_watch_nor_get_a_token_from_an_open_console(
    make_run: Running, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>Any page on the internet</title>")

    async def visit() -> None:
        with served(tmp_path) as elsewhere:
            async with chromium() as browser:
                own = await open_page(browser, make_run.url)
                good = await own.evaluate(
                    """async () => (await (await fetch("/api/tokens", {
                      method: "POST", headers: { "Content-Type": "application/json" },
                      body: JSON.stringify({ agent_id: "front_desk" }) })).json()).token"""
                )
                before = await calls(own)
                foreign = await open_page(browser, elsewhere)
                offer = [f"{make_run.url}api/offer", good]
                assert await foreign.evaluate(OFFER, offer) == {"kept": "TypeError"}
                assert await nothing_to_read(foreign, f"{make_run.url}api/calls")
                assert await nothing_to_read(foreign, f"{make_run.url}api/info")
                socket = make_run.url.replace("http", "ws", 1) + "api/events"
                watched = await foreign.evaluate(WATCH, socket)
                assert watched == {"code": 1006, "heard": []}, "it does not become a WebSocket"
                assert await calls(own) == before

    asyncio.run(visit())


async def nothing_to_read(page: Page, url: str) -> bool:
    """Whether the browser keeps the answer from this page."""
    kept: bool = await page.evaluate("(url) => fetch(url).then(() => false, () => true)", url)
    return kept
