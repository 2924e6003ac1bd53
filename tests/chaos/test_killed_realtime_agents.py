"""An agent whose model hears and speaks is killed: another one goes on, and the provider's new session knows the call.

Real processes, a real kill -9, and OpenAI's protocol over real sockets.
"""

from __future__ import annotations

import asyncio

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.testing import OpenAIRealtimeServer, Replies
from tests.support.calls import eventually
from tests.support.chaos import chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
MODULE = "tests.support.realtime_agent"


def _counted(context: LLMContext) -> str:
    said = sum(isinstance(one, dict) and one.get("role") == "user" for one in context.get_messages())
    return f"You have spoken {said} times."


def test_a_killed_agents_call_goes_on_at_another_one_with_its_conversation() -> None:
    async def scenario() -> None:
        async with OpenAIRealtimeServer(Replies(otherwise=_counted)) as server, chaos(agents=0) as place:
            environment = {"REALTIME_URL": server.url}
            agents = [await place.add_agent(module=MODULE, environment=environment) for _ in range(2)]
            caller = await place.caller()

            def said() -> list[str]:
                return [turn["text"] for agent in agents for turn in agent.told("bot_turn")]

            await eventually(lambda: "Hello." in said(), GENEROUS_S)
            caller.press("1#")
            await eventually(lambda: "You have spoken 1 times." in said(), GENEROUS_S)
            serving = next(agent for agent in agents if agent.told("answered"))
            other = next(agent for agent in agents if agent is not serving)
            serving.process.kill()
            await eventually(lambda: other.told("answered"), GENEROUS_S)
            assert other.told("answered")[0]["resumed"]
            caller.press("2#")
            await eventually(lambda: "You have spoken 2 times." in said(), GENEROUS_S)
            assert said().count("Hello.") == 1, "the caller is not greeted once more"
            assert len(server.sessions) == 2
            assert caller.ended is None
            await caller.hang_up()
            await eventually(lambda: other.told("end"), GENEROUS_S)
            assert not other.told("error")

    asyncio.run(scenario())
