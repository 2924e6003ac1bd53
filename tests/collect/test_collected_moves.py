"""An agent drains while a number is collected: the call moves to another one, which waits for the rest."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.collect import NotCollected, collect_digits
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.caller_turns import CallerTurns
from piopiy_pipeline.session.held_turns import TurnListener
from piopiy_pipeline.testing import Caller
from piopiy_pipeline.testing.line.callers import CallerLine
from tests.support.bots import voice
from tests.support.calls import AGENT_ID, TOKEN, CallLog, eventually, house

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

PATIENCE_S = 30.0


class Bot:
    """One bot at two agents."""

    def __init__(self, *, redact: bool) -> None:
        self.redact = redact
        self.events: list[tuple[bool, str]] = []
        """Whether the call was resumed, and what was told of the value."""
        self.heard: list[tuple[bool, str]] = []
        """Whether the call was resumed, and what was asked and heard to its end."""
        self.values: list[str] = []

    async def create_session(self, call: Call) -> None:
        resumed = call.resumed is not None
        agent = await voice(call)
        agent.on("collection", lambda event: self.events.append((resumed, event.outcome)))
        hold_turns = call.hold_turns

        def noting(listener: TurnListener, *, redact: bool = False) -> CallerTurns:
            turns = hold_turns(listener, redact=redact)
            say = turns.say

            async def say_and_note(text: str) -> bool:
                heard = await say(text)
                self.heard.append((resumed, text))
                return heard

            turns.say = say_and_note  # type: ignore[method-assign]
            return turns

        call.hold_turns = noting  # type: ignore[method-assign]

        async def form(_: object) -> None:
            with contextlib.suppress(NotCollected):
                found = await collect_digits(call, prompt="Number?", length=8, redact=self.redact)
                self.values.append(found.value)
                await agent.hangup()

        agent.on("answered", form)
        await agent.start()

    def has_asked_for_the_rest(self) -> bool:
        return any("so far" in text for _, text in self.heard)


@pytest.mark.parametrize("redact", [False, True])
def test_half_a_number_moves_with_the_call_and_nothing_is_asked_again(
    redact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIOPIY_DRAIN", "move")

    async def story() -> None:
        bot = Bot(redact=redact)

        async def caller(line: CallerLine) -> None:
            await eventually(lambda: bool(bot.heard), PATIENCE_S)
            await line.press("4157#")
            await eventually(lambda: (True, "begun") in bot.events, PATIENCE_S)
            await line.press("9876")
            await line.pause(8)

        async with house(bot.create_session) as place:
            calling = asyncio.create_task(place.place(Caller(steps=(caller,)), CallLog(16000), limit_s=90))
            await eventually(bot.has_asked_for_the_rest, PATIENCE_S)
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
            assert sorted(bot.events) == [
                (False, "begun"),
                (False, "moved"),
                (True, "begun"),
                (True, "collected"),
            ]
            assert bot.values == ["41579876"]
            assert not any("so far" in text or "Number" in text for resumed, text in bot.heard if resumed)

    asyncio.run(story())
