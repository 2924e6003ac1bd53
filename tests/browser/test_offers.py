"""Offers of a real Chromium in shapes that a page can give them: what is not used is answered, and they connect."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from piopiy_pipeline.gateway.webrtc.peer import Peer, PeerEvents
from tests.support.browser import chromium
from tests.support.browser_peer import only_loopback, until

__all__ = ["only_loopback"]

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]

OFFER = """async ([policy, kinds]) => {
  const pc = window.pc = new RTCPeerConnection({bundlePolicy: policy});
  for (const [kind, direction] of kinds) {
    if (kind === "data") window.channel = pc.createDataChannel("chat");
    else pc.addTransceiver(kind, {direction});
  }
  await pc.setLocalDescription(await pc.createOffer());
  await new Promise((done) => pc.iceGatheringState === "complete" ? done()
    : pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done()));
  return pc.localDescription.sdp;
}"""
ANSWER = "async (sdp) => { await window.pc.setRemoteDescription({type: 'answer', sdp}); }"
AGAIN = """async () => {
  await window.pc.setLocalDescription(await window.pc.createOffer());
  return window.pc.localDescription.sdp;
}"""

SHAPES = {
    "video first": [("video", "sendrecv"), ("audio", "sendrecv"), ("data", "")],
    "data first": [("data", ""), ("audio", "sendrecv")],
    "several audio lines": [
        ("audio", "inactive"),
        ("video", "recvonly"),
        ("audio", "sendrecv"),
        ("data", ""),
    ],
    "listening only": [("video", "sendonly"), ("audio", "recvonly")],
}


@pytest.mark.parametrize("policy", ["balanced", "max-compat", "max-bundle"])
def test_chromium_connects_whatever_else_it_offers(policy: str) -> None:
    async def story() -> None:
        async with chromium() as browser:
            for shape, kinds in SHAPES.items():
                happened: list[str] = []
                peer = Peer(
                    ice_servers=[],
                    rate=16000,
                    events=PeerEvents(
                        connected=partial(happened.append, "connected"),
                        caller_audio=lambda pcm: None,
                        message=happened.append,
                        failed=partial(happened.append, "failed"),
                        closed=lambda: None,
                    ),
                )
                page = await browser.new_page()
                sdp = await page.evaluate(OFFER, [policy, kinds])
                await page.evaluate(ANSWER, await peer.answer(sdp))
                await until(partial(happened.__contains__, "connected"))
                await page.wait_for_function("window.pc.connectionState === 'connected'")
                if ("data", "") in kinds:
                    await page.wait_for_function("window.channel.readyState === 'open'")
                    await page.evaluate("window.channel.send('hello')")
                    await until(partial(happened.__contains__, "hello"))
                # And once more, as a page does that changes something: the same connection is kept.
                await page.evaluate(ANSWER, await peer.answer(await page.evaluate(AGAIN)))
                assert await page.evaluate("window.pc.connectionState") == "connected", shape
                await page.close()
                await peer.close()

    asyncio.run(story())
