"""PostgreSQL is stopped under two gateways in mid-call, and comes back.

Calls go on, end and begin without it. When it is back, each turn of each call is on record, each call ended as it did,
and no gateway has closed a call of the other. Real processes, a real PostgreSQL that is stopped as a crash stops it.
Short: away for three seconds; `--chaos-long`: for 80, in which all leases run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import postgres
from tests.support.gateway_peers import Peer, ScriptedAgent, agent, caller
from tests.support.gateway_process import api, at_port, free_port, gateway_process

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

CALLS = 3
TURN_S = 0.1
BACK_S = 60.0
"""How long it may take after the database is back until everything is written."""


@dataclass
class House:
    """A gateway with its agent and callers."""

    port: int
    bot: ScriptedAgent
    client: httpx.AsyncClient
    stack: AsyncExitStack
    said: dict[str, int] = field(default_factory=dict)
    """Of each call, how many turns were said."""
    people: dict[str, Peer] = field(default_factory=dict)

    async def begin(self) -> str:
        """Begin a call, and return its id."""
        person = await self.stack.enter_async_context(caller(at_port(self.port)))
        offer, _ = await self.bot.take()
        await person.hear("answered")
        call_id: str = offer["call_id"]
        self.people[call_id], self.said[call_id] = person, 0
        return call_id

    async def say(self, call_id: str) -> None:
        """Let the bot say a turn, and see that the caller is told of it: the call goes on."""
        self.said[call_id] = number = self.said[call_id] + 1
        data = {"text": f"{number}"}
        await self.bot.say(type="event", call_id=call_id, at=number * TURN_S, event="bot_turn", data=data)
        heard = await self.people[call_id].hear("conversation")
        assert heard["data"]["text"] == data["text"]

    async def hang_up(self, call_id: str) -> None:
        await self.bot.hangup({"call_id": call_id})
        await self.people[call_id].closed()

    async def records(self) -> dict[str, dict[str, Any]]:
        """Return what is on record of each call of this gateway."""
        found = {}
        for call_id in self.said:
            answer = await self.client.get(f"/api/calls/{call_id}")
            if answer.status_code == 200:
                found[call_id] = answer.json()
        return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BACK_S):
        while not await condition():  # noqa: ASYNC110  other processes are asked
            await asyncio.sleep(0.2)


@pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing()))
def test_calls_go_on_without_their_database_and_are_on_record_when_it_is_back(
    tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    away_s = 80.0 if full else 3.0

    async def open_house(stack: AsyncExitStack, name: str, url: str) -> House:
        port = free_port()
        settings = {"database_url": url, "record": False, "heartbeat_s": 600}
        await stack.enter_async_context(gateway_process(tmp_path / name, port, **settings))
        bot = await stack.enter_async_context(agent(at_port(port), capacity=100))
        return House(port, bot, await stack.enter_async_context(api(port)), stack)

    async def talk(calls: dict[str, House], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            for call_id, house in calls.items():
                await house.say(call_id)
            await asyncio.sleep(TURN_S)

    async def story(server: postgres.Cluster) -> dict[str, object]:
        url = server.new_database()
        async with AsyncExitStack() as stack:
            houses = [await open_house(stack, name, url) for name in ("one", "other")]
            going_on: dict[str, House] = {}
            ended: dict[str, House] = {}
            for house in houses:
                for _ in range(CALLS):
                    going_on[await house.begin()] = house
            await talk(going_on, 1.0)

            server.stop()
            try:
                await talk(going_on, away_s / 2)
                for house in houses:
                    call_id = next(one for one, place in going_on.items() if place is house)
                    ended[call_id] = going_on.pop(call_id)
                    await house.hang_up(call_id)
                    going_on[await house.begin()] = house
                await talk(going_on, away_s / 2)
            finally:
                server.start()
            await talk(going_on, 1.0)

            async def is_written() -> bool:
                for house in houses:
                    found = await house.records()
                    if {one: len(each["events"]) for one, each in found.items()} != house.said:
                        return False
                return True

            await until(is_written)
            for house in houses:
                found = await house.records()
                for call_id, detail in found.items():
                    texts = [event["data"]["text"] for event in detail["events"]]
                    assert texts == [str(number + 1) for number in range(house.said[call_id])]
                    assert detail["call"]["reason"] == ("agent_hangup" if call_id in ended else None)
            # Each gateway sees the calls of the other as they are.
            for call_id, house in (going_on | ended).items():
                [other] = [each for each in houses if each is not house]
                call = (await other.client.get(f"/api/calls/{call_id}")).raise_for_status().json()["call"]
                assert call["reason"] == ("agent_hangup" if call_id in ended else None)
            for call_id, house in going_on.items():
                await house.hang_up(call_id)

            async def has_ended() -> bool:
                all_of = [each for house in houses for each in (await house.records()).values()]
                return {each["call"]["reason"] for each in all_of} == {"agent_hangup"}

            await until(has_ended)
            turns = sum(sum(house.said.values()) for house in houses)
            return {
                "fault": f"PostgreSQL stopped under two gateways for {away_s:g} s",
                "what became of it": f"all {turns} turns of {len(going_on) + len(ended)} calls are on record",
            }

    with postgres.cluster() as server:
        record_property("chaos", asyncio.run(story(server)))
