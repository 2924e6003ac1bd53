"""A peer by itself, in the test's own process: what its answer tells, and what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aioice.ice
import pytest

from piopiy_pipeline.gateway.webrtc.peer import Peer, PeerEvents, PeerRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import Trickled
from tests.support.browser_peer import Browser

pytestmark = pytest.mark.usefixtures("only_loopback")


def a_peer(public: Mapping[str, str]) -> Peer:
    events = PeerEvents(
        connected=lambda: None,
        caller_audio=lambda pcm: None,
        message=lambda text: None,
        failed=lambda: None,
        closed=lambda: None,
    )
    return Peer(ice_servers=[], rate=16000, events=events, public=public)


async def an_offer() -> str:
    browser = Browser()
    sdp = (await browser.offer()).sdp
    await browser.close()
    return sdp


def test_behind_a_nat_the_answer_has_the_public_address_alone() -> None:
    async def story() -> None:
        peer = a_peer({"127.0.0.1": "203.0.113.7"})
        answer = await peer.answer(await an_offer())
        await peer.close()
        assert " 203.0.113.7 " in answer
        assert "127.0.0.1" not in answer

    asyncio.run(story())


def test_without_an_address_of_this_machine_the_offer_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        peer, sdp = a_peer({}), await an_offer()
        monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["192.0.2.1"])
        with pytest.raises(PeerRefused, match="webrtc_addresses") as raised:
            await peer.answer(sdp)
        await peer.close()
        assert raised.value.status == 503

    asyncio.run(story())


def test_candidates_are_taken_up_to_a_number_and_none_of_a_peer_that_is_closed() -> None:
    async def story() -> None:
        peer = a_peer({})
        await peer.answer(await an_offer())
        for port in range(1, 65):
            line = f"candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host"
            await peer.add_candidate(Trickled(candidate=line, sdp_mid="0"))
        with pytest.raises(PeerRefused, match="more than 64"):
            await peer.add_candidate(Trickled(candidate=line, sdp_mid="0"))
        await peer.close()
        closed = a_peer({})
        await closed.close()
        await closed.add_candidate(Trickled(candidate=line, sdp_mid="0"))

    asyncio.run(story())
