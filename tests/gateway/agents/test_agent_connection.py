"""An agent's connection over real sockets: it carries what all calls of a lost instance bring along."""

from __future__ import annotations

import asyncio
import json

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.agents import connection as connection_module
from piopiy_pipeline.gateway.agents.connection import MOST_READ_BYTES, AgentConnection
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import Offer
from tests.signaling.test_websocket import pair
from tests.support.calls import eventually
from tests.support.switchboard import Room
from tests.test_json_values import nested

REGISTER = {"type": "register", "agent_id": "desk", "instance_id": "one", "capacity": 20}


def offer(number: int, checkpoint: dict[str, object]) -> Offer:
    return Offer(
        call_id=f"call-{number}",
        offer_id=f"offer-{number}",
        agent_id="desk",
        from_number=None,
        to_number=None,
        metadata=None,
        kind="browser",
        caller_rate=16000,
        deadline_ms=400,
        setup_s=10,
        media_path=f"/media/call-{number}",
        media_token="t",
        checkpoint=checkpoint,
    )


async def until(done: asyncio.Event) -> None:
    async with asyncio.timeout(20):
        await done.wait()


def test_an_agent_may_be_offered_all_calls_of_another_with_large_checkpoints_at_once() -> None:
    async def story() -> None:
        room = Room()
        async with pair() as (server, client):
            registered, all_there = asyncio.Event(), asyncio.Event()
            offers: list[str] = []

            def on_text(text: bytes) -> None:
                message = json.loads(text)
                if message["type"] == "registered":
                    registered.set()
                elif message["type"] == "offer":
                    offers.append(message["call_id"])
                    if len(offers) == 20:
                        all_there.set()

            client.listen(on_text=on_text)
            connection = AgentConnection(server, room.board, agent_ids=["desk"], heartbeat_s=10)
            client.post_text(json.dumps(REGISTER))
            await until(registered)
            client.transport.pause_reading()
            for number in range(20):
                connection.send(offer(number, {"x": "y" * 800_000}))
            assert server.is_open
            client.transport.resume_reading()
            await until(all_there)
            server.transport.abort()

    asyncio.run(story())


def test_a_call_whose_offer_no_agent_could_read_ends_alone() -> None:
    async def story() -> None:
        room = Room()
        room.agent()
        call, leg = room.call()
        async with pair() as (server, client):
            client.listen()
            connection = AgentConnection(server, room.board, agent_ids=["desk"], heartbeat_s=10)
            connection.send(offer(1, {"x": nested(180)}))
            await asyncio.sleep(0)
            assert call.phase is Phase.ENDED
            assert leg.ended is not None
            assert leg.ended[0] is EndReason.ERROR
            assert "it nests more than 150 deep" in leg.ended[1]
            assert server.is_open
            server.transport.abort()

    asyncio.run(story())


def test_a_message_of_some_megabytes_is_the_harm_of_its_call_alone() -> None:
    async def story() -> None:
        room = Room()
        async with pair() as (server, client):
            client.listen()
            client.text_limit_bytes = 4 * MOST_READ_BYTES
            AgentConnection(server, room.board, agent_ids=["desk"], heartbeat_s=10)
            client.post_text(json.dumps(REGISTER))
            await eventually(lambda: room.board.instances.of("desk"))
            room.call()
            large = {"type": "checkpoint", "call_id": "call-1", "state": {"text": "x" * (8 << 20)}}
            client.post_text(json.dumps(large))
            client.post_text(json.dumps({"type": "status", "active": 1, "capacity": 3}))
            await eventually(lambda: room.board.instances.of("desk")[0].capacity == 3)
            assert server.is_open
            client.post_text(json.dumps(large | {"state": {"text": "x" * MOST_READ_BYTES}}))
            await eventually(lambda: not room.board.instances.of("desk"))

    asyncio.run(story())


@pytest.mark.parametrize(
    ("unconfirmed", "said"),
    [
        (None, ""),
        (0, ", though what it is sent is confirmed: it hangs, or is cut off behind a proxy"),
        (9000, ", and the network to it stands"),
    ],
)
def test_of_a_silent_agent_no_more_is_said_than_is_known(
    unconfirmed: int | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever confirms may be a proxy on the same machine, which does so for an agent that is cut off behind it."""
    monkeypatch.setattr(connection_module, "unconfirmed_bytes", lambda _: unconfirmed)

    async def story() -> None:
        async with pair() as (server, _):
            connection = AgentConnection(server, Room().board, agent_ids=["desk"], heartbeat_s=10)
            assert connection._whose_silence() == said

    asyncio.run(story())
