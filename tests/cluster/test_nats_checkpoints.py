"""Checkpoints that every gateway finds: in a real JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.resumptions import Resumptions, TakenCheckpoint
from tests.support.agents import logged
from tests.support.calls import eventually
from tests.support.nats_server import NatsServer, nats_server, needs_nats

pytestmark = [needs_nats, pytest.mark.realtime]

WHO = {"agent_id": "front-desk", "identity": "Ann"}
STATE = {"version": 2, "messages": [{"role": "user", "content": "four, please"}], "state": {}}


@asynccontextmanager
async def store(server: NatsServer) -> AsyncIterator[Any]:
    """The store of one gateway."""
    from nats.aio.client import Client

    from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints

    client = Client()
    await client.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=1)
    kept = NatsCheckpoints(client, "test")
    try:
        yield kept
    finally:
        await kept.close()
        await client.close()


def sharing(kept: Any) -> Resumptions:
    resumptions = Resumptions(None)
    resumptions.share(kept)
    return resumptions


def test_another_gateway_takes_the_last_checkpoint_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            nats_server("-js", "-sd", str(tmp_path)) as server,
            store(server) as first,
            store(server) as second,
            store(server) as third,
        ):
            gone, here, there = sharing(first), sharing(second), sharing(third)
            token = gone.grant("call", **WHO)
            gone.on_checkpoint("call", {"version": 2, "messages": [], "state": {}})
            gone.on_checkpoint("call", STATE)
            await eventually(lambda: not first._waiting, 10)
            assert await here.take(token, **{**WHO, "identity": "Bob"}) is None
            assert await here.take(f"{token}x", **WHO) is None
            assert await here.take("*.x", **WHO) is None, "what is no key is nobody's"
            asked = [one.take(token, **WHO) for one in (here, there, here, there)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [one.state for one in answers if isinstance(one, TakenCheckpoint)] == [STATE]
            assert all(isinstance(one, TakenCheckpoint | RecordsUnavailable | None) for one in answers)
            await eventually(lambda: not second._waiting and not third._waiting, 10)
            assert await there.take(token, **WHO) is None

    asyncio.run(story())


def test_a_call_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            nats_server("-js", "-sd", str(tmp_path)) as server,
            store(server) as first,
            store(server) as second,
        ):
            ended = sharing(first)
            token = ended.grant("call", **WHO)
            ended.on_checkpoint("call", STATE)
            first.forget("call")
            await eventually(lambda: not first._waiting, 10)
            assert await sharing(second).take(token, **WHO) is None

    asyncio.run(story())


def test_a_server_that_has_lost_its_store_keeps_what_comes_next(tmp_path: Path) -> None:
    async def story() -> None:
        async with nats_server("-js", "-sd", str(tmp_path / "one")) as server, store(server) as kept:
            here = sharing(kept)
            here.grant("call", **WHO)
            here.on_checkpoint("call", STATE)
            await eventually(lambda: not kept._waiting, 10)
            await server.kill()
            server.more = ("-js", "-sd", str(tmp_path / "two"))
            await server.start()
            token = here.grant("another", **WHO)
            here.on_checkpoint("another", STATE)
            await eventually(lambda: not kept._waiting, 20)
            taken = await here.take(token, **WHO)
            assert taken is not None
            assert taken.state == STATE

    asyncio.run(story())


def test_without_jetstream_that_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with nats_server() as server, store(server) as kept:
            with logged() as lines:
                here = sharing(kept)
                token = here.grant("call", **WHO)
                here.on_checkpoint("call", STATE)
                await eventually(lambda: kept.problem, 10)
            assert [line for _, line in lines if "cannot go on at other gateways" in line]
            assert await here.take(token, **WHO) is None

    asyncio.run(story())
