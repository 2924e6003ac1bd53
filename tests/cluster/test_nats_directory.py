"""`NatsDirectory` with a real NATS server: who is asked for what."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats import connect

from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.directory_messages import (
    PROTOCOL,
    DirectoryAnswer,
    DirectorySearch,
    OtherVersion,
)
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.messages import GatewayMessage, Register
from tests.support.agents import logged
from tests.support.calls import eventually
from tests.support.nats_server import NatsServer, nats_server, needs_nats

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


class Unheard:
    """The connection of an agent that is told nothing."""

    def send(self, message: GatewayMessage) -> None: ...

    def replace(self) -> None: ...

    def shutdown(self) -> None: ...


@asynccontextmanager
async def joined(server: NatsServer, name: str, agents: int) -> AsyncIterator[Cluster]:
    """A gateway at which an instance each of so many agents is at home."""
    board = Switchboard(limits=CallLimits(offer_s=0.4, setup_s=10, max_duration_s=600), max_calls=10)
    directory = NatsDirectory(ClusterConfig(servers=[server.url]), name)
    cluster = Cluster(name, f"ws://{name}", board, directory)
    for number in range(agents):
        agent = Register(
            agent_id=f"an-agent-with-a-name-of-usual-length-{number}",
            instance_id=f"{name}-{number}",
            capacity=5,
        )
        board.register(agent, Unheard(), 0.0)
    await cluster.open()
    try:
        yield cluster
    finally:
        await cluster.close()


def known(cluster: Cluster) -> int:
    there = cluster.others.there(asyncio.get_running_loop().time())
    return sum(len(one.agents) for one in there)


def test_a_gateway_with_twelve_thousand_agents_is_known_with_all_of_them() -> None:
    async def scenario() -> None:
        async with (
            nats_server() as server,
            joined(server, "small", 3) as small,
            joined(server, "large", 12_000) as large,
        ):
            await eventually(lambda: known(small) == 12_000, 30)
            await eventually(lambda: known(large) == 3, 30)
            assert large.unsent == []

    asyncio.run(scenario())


def test_new_keys_are_ignored_and_a_gateway_of_another_version_is_told() -> None:
    async def scenario() -> None:
        async with nats_server() as server, joined(server, "here", 1) as here:
            client = await connect(server.url)
            others: set[tuple[str, str, str]] = set()

            def on_other_version(one: OtherVersion, protocol: str) -> None:
                others.add((one.gateway, one.version, protocol))

            here.on_other_version = on_other_version  # type: ignore[method-assign]
            old = {"gateway": "old", "url": "ws://old", "version": "0.1", "what": ["is", "new"]}
            new = {"gateway": "new", "url": "ws://new", "what": ["is", "new"]}
            own = hashlib.sha256(b"here").hexdigest()[:32]
            for notice in ({"kind": "who knows"}, {"kind": "presence", **new, "gateway": "told"}):
                data = json.dumps({"notice": notice, "more": 1}).encode()
                await client.publish(f"piopiy.{PROTOCOL}.gateway.{own}", data)
            for _ in range(5):
                await client.publish("piopiy.2.presence", json.dumps(old).encode())
                await client.publish("piopiy.next.presence", b"what?")
                await client.publish(f"piopiy.{PROTOCOL}.presence", json.dumps(new).encode())
                await client.flush()
                await asyncio.sleep(0.01)
            loop = asyncio.get_running_loop()
            await eventually(lambda: len(here.others.there(loop.time())) == 2, 10)
            assert [one.gateway for one in here.others.there(loop.time())] == ["new", "told"]
            assert others == {("old", "0.1", "2")}
            await client.close()

    asyncio.run(scenario())


def test_a_message_that_the_servers_do_not_take_is_a_problem_that_says_what_to_do(tmp_path: Path) -> None:
    settings = tmp_path / "nats.conf"
    settings.write_text("max_payload: 16384")

    async def scenario() -> None:
        async with nats_server("-c", str(settings)) as server, joined(server, "small", 0) as small:
            with logged() as lines:
                async with joined(server, "large", 1000) as large:
                    await eventually(lambda: large.unsent, 30)
                    [problem] = large.unsent
            assert "other gateways are not told of this one's agents" in problem
            assert "max_payload" in problem
            assert len(problem) < 200
            assert [line for _, line in lines].count(f"ERROR {problem}") == 1
            assert known(small) == 0

    asyncio.run(scenario())


def test_without_jetstream_the_problem_has_nothing_of_the_clients_own_words() -> None:
    async def scenario() -> None:
        async with nats_server() as server, joined(server, "here", 0) as here:
            await eventually(lambda: here.store_problems, 10)
            [problem] = here.store_problems
            assert problem.endswith("start the servers with -js and a folder (-sd)")
            store = here._directory.stores.checkpoints  # type: ignore[attr-defined]
            with logged() as lines:
                store.save("call", {})
                await eventually(lambda: store.problem, 10)
            assert store.problem == (
                "browsers' conversations cannot go on at other gateways: "
                "the servers run without JetStream, or it is starting"
            )
            assert not [line for _, line in lines if "code=" in line]
            store.save("long", {"text": "x" * (1 << 20)})
            assert "one has 1024 kB, of which 900 are taken" in here.unsent[0]

    asyncio.run(scenario())
