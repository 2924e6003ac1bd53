"""What a telephone of `piopiy load` takes for the bot's voice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from piopiy_pipeline.cli.loading.phone_callers import SipAddress, _PhoneRoute
from piopiy_pipeline.gateway.rtp.packet import build_rtp
from piopiy_pipeline.gateway.rtp.ports import PortPool


def test_a_stream_in_the_place_of_another_is_heard_whatever_number_it_begins_with() -> None:
    """A call that another gateway or another leg goes on with: a stream counts from a number of its own."""
    heard: list[int] = []

    async def scenario() -> None:
        sockets = PortPool("127.0.0.1", 40_000, 59_999).open()
        route = _PhoneRoute(cast(Any, None), sockets, SipAddress("desk", "127.0.0.1", 5060))
        try:
            route.carried = cast(Any, SimpleNamespace(on_audio=lambda pcm: heard.append(len(pcm))))
            route._to = ("127.0.0.1", 5060)
            for ssrc, sequence in ((1, 500), (1, 501), (1, 500), (2, 7), (2, 8), (2, 7)):
                route._take(build_rtp(0, sequence, sequence * 160, ssrc, bytes(160)))
        finally:
            await route.close()

    asyncio.run(scenario())
    assert heard == [320] * 4, "what comes twice is heard once"
