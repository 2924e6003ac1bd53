"""An agent is killed at each point of the life of a tool that books a table: never two tables in silence.

Real processes, a real kill -9, and a server that counts. The caller says nothing, so whatever is booked a second time
is booked without the caller's wish.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest

from tests.support.booking_agent import ASKS, CONFIRMS
from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosPlace, chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
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


@asynccontextmanager
async def bookings(when: When) -> AsyncIterator[tuple[BookingServer, ChaosPlace]]:
    booking = BookingServer(when)
    server = await asyncio.start_server(booking.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, chaos(agents=0) as place:
        for _ in range(2):
            await place.add_agent(
                module="tests.support.booking_agent", environment={"BOOKING_PORT": str(port)}
            )
        yield booking, place


def said(agent: ChaosAgent) -> list[str]:
    return [line["text"] for line in agent.told("bot_turn")]


def last_asked(agent: ChaosAgent) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = agent.told("asked")[-1]["messages"]
    return messages


async def killed(
    when: When, *, idempotent: bool = False, stubborn: bool = False
) -> tuple[BookingServer, ChaosAgent]:
    """Call, kill the agent that has the call, and wait until the other one has spoken."""
    async with bookings(when) as (booking, place):
        dead, other = place.agents

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
        place.agents.clear()
        return booking, left


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_tool_that_was_running_is_unknown_and_is_not_run_again(when: When, stubborn: bool) -> None:
    booking, left = asyncio.run(killed(when, stubborn=stubborn))
    assert len(booking.requests) == 1
    assert len(booking.booked) == (when == "during")
    assert said(left) == [ASKS]
    assert any('"unknown"' in str(message.get("content")) for message in left.told("asked")[0]["messages"])


@pytest.mark.parametrize("when", ["before", "during"])
def test_an_idempotent_tool_runs_again_with_its_key(when: When) -> None:
    booking, left = asyncio.run(killed(when, idempotent=True))
    assert len(booking.requests) == 2
    assert len(set(booking.requests)) == len(booking.booked) == 1
    assert said(left) == [CONFIRMS]


@pytest.mark.parametrize("idempotent", [False, True])
def test_the_result_of_a_tool_that_had_returned_is_known(idempotent: bool) -> None:
    booking, left = asyncio.run(killed("returned", idempotent=idempotent))
    assert len(booking.requests) == len(booking.booked) == 1
    assert said(left) == [CONFIRMS]


def test_a_confirmation_that_was_being_spoken_goes_on_from_what_was_heard(record_property: Report) -> None:
    booking, left = asyncio.run(killed("spoken"))
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
