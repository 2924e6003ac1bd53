"""Conversations that were lost with a gateway: resumed once, by whom they belong to, and not after a proper end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.resumptions import GRANTED, Resumptions
from tests.support.call_events import CallEvents

WHO = {"agent_id": "front-desk", "identity": "Ann"}
STATE = {"version": 2, "messages": [{"role": "user", "content": "four, please"}], "state": {}}


@asynccontextmanager
async def run(config: GatewayConfig) -> AsyncIterator[tuple[Records, Resumptions]]:
    """A run of the gateway; at its end everything is written, and no call has ended: as if it had been killed."""
    records = Records(config)
    await records.start()
    yield records, Resumptions(records)
    await records.close()


def test_the_last_checkpoint_is_taken_once_after_the_gateway_was_lost(config: GatewayConfig) -> None:
    async def story() -> None:
        async with run(config) as (records, resumptions):
            call = CallEvents("call")
            token = resumptions.grant("call", **WHO)
            records.on_event(call.placed())
            resumptions.on_checkpoint("call", {"version": 2, "messages": [], "state": {}})
            resumptions.on_checkpoint("call", STATE)
        async with run(config) as (_, resumptions):
            assert await resumptions.take(token, **{**WHO, "identity": "Bob"}) is None
            assert await resumptions.take(token, **{**WHO, "agent_id": "another"}) is None
            for wrong in (
                "",
                "call",
                "call.",
                f"{token}x",
                token[:-1],
                f"other.{token.partition('.')[2]}",
                "\ud800",
            ):
                assert await resumptions.take(wrong, **WHO) is None
            taken = await resumptions.take(token, **WHO)
            assert taken is not None
            assert taken.state == STATE
            assert await resumptions.take(token, **WHO) is None, "once"
            taken.put_back()
            again = await resumptions.take(token, **WHO)
            assert again is not None
            assert again.state == STATE
            taken.put_back()
            assert await resumptions.take(token, **WHO) is None, "put back once"

    asyncio.run(story())


def test_what_is_asked_for_twice_at_once_is_given_once(config: GatewayConfig) -> None:
    async def story() -> None:
        async with run(config) as (records, resumptions):
            token = resumptions.grant("call", **WHO)
            records.on_event(CallEvents("call").placed())
            resumptions.on_checkpoint("call", STATE)
            found = await asyncio.gather(*(resumptions.take(token, **WHO) for _ in range(5)))
            assert [one.state for one in found if one is not None] == [STATE]

    asyncio.run(story())


def test_there_is_nothing_to_resume_after_a_proper_end_or_without_a_token(config: GatewayConfig) -> None:
    async def story() -> None:
        async with run(config) as (records, resumptions):
            call, other = CallEvents("call"), CallEvents("other")
            token = resumptions.grant("call", **WHO)
            for event in (call.placed(), other.placed()):
                records.on_event(event)
            resumptions.on_checkpoint("call", STATE)
            resumptions.on_checkpoint("other", STATE)
            records.on_event(call.ended(105))
            assert await records.item("checkpoint", "other") is None, "a phone cannot show a token"
            resumptions.on_checkpoint("call", STATE)
            assert await resumptions.take(token, **WHO) is None

    asyncio.run(story())


def test_the_calls_with_tokens_are_bounded(config: GatewayConfig) -> None:
    async def story() -> None:
        async with run(config) as (records, resumptions):
            records.on_event(CallEvents("first").placed())
            resumptions.grant("first", **WHO)
            for number in range(GRANTED):
                resumptions.grant(str(number), **WHO)
            resumptions.on_checkpoint("first", STATE)
            assert await records.item("checkpoint", "first") is None

    asyncio.run(story())
