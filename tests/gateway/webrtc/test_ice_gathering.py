"""Servers that say nothing hold up an answer once, and not for long.."""

from __future__ import annotations

import asyncio
import socket
import time

import aioice
import aioice.ice
import pytest

from piopiy_pipeline.gateway.webrtc import ice_gathering as gathering
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.ice_gathering import IceServerBackoff, gather_at


async def nothing() -> str:
    await asyncio.Event().wait()
    return "never"


async def something() -> str:
    return "here"


def test_who_is_silent_is_waited_for_once_and_then_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        backoff, loop = IceServerBackoff(), asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await backoff.ask(("stun", "10.0.0.5"), 0.01, nothing)
        with pytest.raises(TimeoutError, match="a moment ago"):
            await backoff.ask(("stun", "10.0.0.5"), 60.0, something)
        assert await backoff.ask(("stun", "10.0.0.6"), 60.0, something) == "here"
        later = loop.time() + gathering.SILENT_S + 1.0
        monkeypatch.setattr(loop, "time", lambda: later)
        assert await backoff.ask(("stun", "10.0.0.5"), 60.0, something) == "here"

    asyncio.run(story())


def test_a_stun_server_that_says_nothing_costs_one_caller_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "STUN_S", 0.1)
    for name in ("get_host_addresses", "server_reflexive_candidate", "relayed_candidate"):
        monkeypatch.setattr(aioice.ice, name, getattr(aioice.ice, name))  # put back afterwards
    gather_at(IceAddresses(own=("127.0.0.1",)))

    async def gathered(server: tuple[str, int]) -> list[str]:
        connection = aioice.Connection(ice_controlling=False, stun_server=server)
        await connection.gather_candidates()
        found = [one.host for one in connection.local_candidates]
        await connection.close()
        return found

    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            mute.setblocking(False)
            began = time.monotonic()
            for _ in range(10):
                assert await gathered(mute.getsockname()) == ["127.0.0.1"]
            assert time.monotonic() - began < 4.0  # 50 s, as aioice has it
            assert mute.recv(2000), "it was asked"

    asyncio.run(story())
