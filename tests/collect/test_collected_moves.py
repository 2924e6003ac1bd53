"""An agent drains while a number is collected: the call moves to another one, which asks for the rest."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.collect import NotCollected, collect_digits
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller
from piopiy_pipeline.testing.line.callers import CallerLine
from tests.support.bots import voice
from tests.support.calls import AGENT_ID, TOKEN, CallLog, eventually, house

pytestmark = pytest.mark.realtime

PATIENCE_S = 30.0


class Bot:
    """One bot at two agents."""

    def __init__(self) -> None:
        self.events: list[tuple[bool, str, Any]] = []
        """Whether the call was resumed, and what was told of the value."""
        self.moved = asyncio.Event()

    async def create_session(self, call: Call) -> None:
        resumed = call.resumed is not None
        if resumed:
            self.moved.set()
        agent = await voice(call)
        agent.on("collection", lambda event: self.events.append((resumed, event.outcome, event.value)))

        async def form(_: object) -> None:
            with contextlib.suppress(NotCollected):
                await collect_digits(call, prompt="Number?", length=8)
                await agent.hangup()

        agent.on("answered", form)
        await agent.start()


def test_half_a_number_moves_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIOPIY_DRAIN", "move")

    async def story() -> None:
        bot = Bot()

        async def caller(line: CallerLine) -> None:
            await line.until("Number")
            await line.press("4157#")
            await bot.moved.wait()
            await line.until("so far")
            await line.press("9876")
            await line.pause(8)

        async with house(bot.create_session) as place:
            log = CallLog(16000)
            calling = asyncio.create_task(place.place(Caller(steps=(caller,)), log, limit_s=90))
            await eventually(lambda: any("so far" in text for text in log.texts("bot")), PATIENCE_S)
            other = Agent(AGENT_ID, TOKEN, bot.create_session, signaling_url=place.gateway.url)
            serving = asyncio.create_task(other.connect())
            try:
                await eventually(
                    lambda: len(place.gateway.switchboard.instances.of(AGENT_ID)) == 2, PATIENCE_S
                )
                place.agent.drain()
                await calling
            finally:
                await other.shutdown()
                await serving
            assert sorted(bot.events, key=str) == [
                (False, "begun", None),
                (False, "moved", None),
                (True, "begun", None),
                (True, "collected", "41579876"),
            ]

    asyncio.run(story())
