"""`NatsDirectory` with a real NATS server: who is asked for what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.directory_messages import DirectoryAnswer, DirectorySearch
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from tests.support.nats_server import nats_server, needs_nats

pytestmark = [needs_nats, pytest.mark.realtime]


class Member:
    """A gateway that has a place for whoever asks, and hears nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_search(self, search: DirectorySearch) -> DirectoryAnswer:
        return DirectoryAnswer(gateway=self.name, instance_id=f"at {self.name}")

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def search(most_busy: float | None) -> DirectorySearch:
    return DirectorySearch(
        call_id="call-1", agent_id="desk", gateway="busy", url="ws://busy", ticket="t" * 32, deadline_ms=1000,
        most_busy=most_busy,
    )  # fmt: skip


def test_for_a_less_busy_instance_only_gateways_with_room_are_asked() -> None:
    async def scenario() -> None:
        async with nats_server() as server:
            names = ("busy", "idle")
            busy, idle = (NatsDirectory(ClusterConfig(servers=[server.url]), name) for name in names)
            await asyncio.gather(busy.open(Member("busy")), idle.open(Member("idle")))
            try:
                busy.serve("desk", on=True)
                assert await found(busy, None) == "busy"
                assert await busy.search(search(0.5), 1) is None, "nobody has room, which NATS says at once"
                idle.serve("desk", on=True, room=True)
                assert await found(busy, 0.5) == "idle"
                answers = [await busy.search(search(0.5), 1) for _ in range(10)]
                assert {one.gateway for one in answers if one} == {"idle"}
                idle.serve("desk", on=True, room=False)
                async with asyncio.timeout(5):
                    while await busy.search(search(0.5), 1) is not None:  # noqa: ASYNC110  until NATS knows it
                        await asyncio.sleep(0.01)
            finally:
                await asyncio.gather(busy.close(), idle.close())

    asyncio.run(scenario())


async def found(directory: NatsDirectory, most_busy: float | None) -> str:
    """Ask until somebody answers: the server needs a moment to know who listens."""
    async with asyncio.timeout(5):
        while (answer := await directory.search(search(most_busy), 1)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return answer.gateway
