"""An agent is killed at each point of the life of a tool that books a table: never two tables in silence.

Real processes, which the tests share but for those that were killed, a real kill -9, and a server that counts. The
caller says nothing, so whatever is booked a second time is booked without the caller's wish.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest

from tests.support.booking_agent import ASKS, CONFIRMS
from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosPlace, chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
ENDED = "gateway: call of agent "
"""The gateway's log has it once for each call that has ended."""
Report = Callable[[str, object], None]
When = Literal["before", "during", "returned", "spoken"]


class BookingServer:
    """Books tables, and kills the agent that asks, once."""

    def __init__(self, when: When) -> None:
        self.requests: list[str] = []
        """The idempotency keys of all requests, as they came."""
        self.booked: list[str] = []
        """Those of the tables that are booked, each of which counts once."""
        self.kill: Callable[[], None] | None = None
        self._when = when

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        self.requests.append(request["key"])
        kill, self.kill = self.kill, None
        if kill is not None and self._when == "before":
            kill()
        else:
            if request["key"] not in self.booked:
                self.booked.append(request["key"])
            if kill is not None and self._when == "during":
                kill()
            else:
                writer.write(b'{"booked": true}\n')
        writer.close()


class Restaurant:
    """The server of bookings, a gateway and two agents, which all tests share: an agent that was killed is replaced."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._booking: BookingServer | None = None
        self._stack = AsyncExitStack()
        self._place: ChaosPlace | None = None
        self._port = 0

    async def opens(self, when: When) -> tuple[BookingServer, ChaosPlace]:
        """Return what the next test has: nothing is booked, and nobody has said anything."""
        self._booking = BookingServer(when)
        if self._place is None:
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
            await self._stack.enter_async_context(server)
            self._port = server.sockets[0].getsockname()[1]
            self._place = await self._stack.enter_async_context(chaos(agents=0))
        agents = self._place.agents
        while len(agents) < 2:
            environment = {"BOOKING_PORT": str(self._port)}
            await self._place.add_agent(module="tests.support.booking_agent", environment=environment)
        for agent in agents:
            agent.printed[:] = agent.told("begins")
        return self._booking, self._place

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._booking is not None
        await self._booking.answer(reader, writer)

    async def give_up(self) -> None:
        """Close all of it: the next test begins with others."""
        stack, self._stack, self._place = self._stack, AsyncExitStack(), None
        await stack.aclose()

    def close(self) -> None:
        """Close all of it, and the loop."""
        self.runner.run(self.give_up())
        self.runner.close()


@pytest.fixture(scope="module")
def restaurant() -> Iterator[Restaurant]:
    shared = Restaurant()
    yield shared
    shared.close()


def said(agent: ChaosAgent) -> list[str]:
    return [line["text"] for line in agent.told("bot_turn")]


def last_asked(agent: ChaosAgent) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = agent.told("asked")[-1]["messages"]
    return messages


async def killed(
    restaurant: Restaurant, when: When, *, idempotent: bool = False, stubborn: bool = False
) -> tuple[BookingServer, ChaosAgent]:
    """Call, kill the agent that has the call, and wait until the other one has spoken."""
    booking, place = await restaurant.opens(when)
    try:
        left = await _killed(booking, place, when, idempotent=idempotent, stubborn=stubborn)
    except BaseException:
        print(place.gateway_log, *(agent.log for agent in place.agents), sep="\n", file=sys.stderr)
        await restaurant.give_up()
        raise
    return booking, left


async def _killed(
    booking: BookingServer, place: ChaosPlace, when: When, *, idempotent: bool, stubborn: bool
) -> ChaosAgent:
    dead, other = place.agents
    ended = place.gateway_log.count(ENDED)

    def kill() -> None:
        harmed = dead if dead.told("asked") else other
        harmed.kill()
        place.agents.remove(harmed)

    if when in ("before", "during"):
        booking.kill = kill
    caller = await place.caller(
        {"idempotent": idempotent, "stubborn": stubborn, "stalls": when == "returned"}
    )
    if when == "returned":
        await eventually(lambda: any(len(agent.told("asked")) == 2 for agent in place.agents), GENEROUS_S)
        kill()
    elif when == "spoken":
        await eventually(lambda: caller.agent_heard() is not None, GENEROUS_S)
        await asyncio.sleep(1.5)  # it takes 6 s to say
        kill()
    await eventually(lambda: len(place.agents) == 1, GENEROUS_S)
    [left] = place.agents
    await eventually(lambda: said(left), GENEROUS_S)
    assert caller.ended is None
    await caller.hang_up()
    await eventually(lambda: place.gateway_log.count(ENDED) > ended, GENEROUS_S)
    return left


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_tool_that_was_running_is_unknown_and_is_not_run_again(
    restaurant: Restaurant, when: When, stubborn: bool
) -> None:
    booking, left = restaurant.runner.run(killed(restaurant, when, stubborn=stubborn))
    assert len(booking.requests) == 1
    assert len(booking.booked) == (when == "during")
    assert said(left) == [ASKS]
    assert any('"unknown"' in str(message.get("content")) for message in left.told("asked")[0]["messages"])


@pytest.mark.parametrize("when", ["before", "during"])
def test_an_idempotent_tool_runs_again_with_its_key(restaurant: Restaurant, when: When) -> None:
    booking, left = restaurant.runner.run(killed(restaurant, when, idempotent=True))
    assert len(booking.requests) == 2
    assert len(set(booking.requests)) == len(booking.booked) == 1
    assert said(left) == [CONFIRMS]


@pytest.mark.parametrize("idempotent", [False, True])
def test_the_result_of_a_tool_that_had_returned_is_known(restaurant: Restaurant, idempotent: bool) -> None:
    booking, left = restaurant.runner.run(killed(restaurant, "returned", idempotent=idempotent))
    assert len(booking.requests) == len(booking.booked) == 1
    assert said(left) == [CONFIRMS]


def test_a_confirmation_that_was_being_spoken_goes_on_from_what_was_heard(
    restaurant: Restaurant, record_property: Report
) -> None:
    booking, left = restaurant.runner.run(killed(restaurant, "spoken"))
    assert len(booking.requests) == len(booking.booked) == 1
    assert said(left) == [CONFIRMS]
    heard, note = last_asked(left)[-2:]
    assert heard["role"] == "assistant"
    assert 5 < len(heard["content"]) < len(CONFIRMS)
    assert CONFIRMS.startswith(heard["content"].rstrip("."))
    assert "cut off" in note["content"]
    record_property(
        "chaos",
        {
            "fault": "kill -9 while the confirmation of a booking is spoken",
            "what became of it": "one table; the other agent knew the result and what was heard",
        },
    )
