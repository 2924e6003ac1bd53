"""An agent is lost before the bot's first turn is over: the next one knows that the call has begun. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent

pytestmark = pytest.mark.usefixtures("either_bot")

GREETING = "Welcome to the restaurant by the river. We are open from noon until ten. How can I help you?"
GOES_ON = "So, what can I do for you?"


class Begins:
    """What the bot knew each time that it began."""

    def __init__(self) -> None:
        self.resumed: list[list[dict[str, Any]] | None] = []
        self.asked: list[list[Any]] = []

    def call(self, *losses: AgentLoss) -> SimulatedCall:
        async def bot(call: Call) -> None:
            self.resumed.append(call.resumed)
            agent = VoiceAgent(instructions="Be brief.", greeting=GREETING, call=call)
            await agent.Action(
                stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
            )
            await agent.start()

        async def caller(line: CallerLine) -> None:
            await asyncio.sleep(25)

        def reply(context: LLMContext) -> str:
            self.asked.append(list(context.get_messages()))
            return GOES_ON

        providers = Providers(llm=Replies(otherwise=reply), tts=Voice(latency=0.15))
        return simulate(bot, caller, providers=providers, losses=losses, limit_s=60)


def test_a_bot_that_nobody_has_heard_greets_and_knows_that_the_call_was_answered_before() -> None:
    begins = Begins()
    call = begins.call(AgentLoss("answered", after_s=0.05), AgentLoss("agent_resumed", after_s=0.05))
    assert begins.resumed == [None, [], []]
    call.assert_said(GREETING)
    assert begins.asked == []


def test_a_greeting_that_was_begun_is_known_as_far_as_it_was_heard_and_said_to_its_end() -> None:
    begins = Begins()
    call = begins.call(AgentLoss("answered", after_s=3))
    first, second = begins.resumed
    assert first is None
    assert second is not None
    roles = [message["role"] for message in second]
    assert roles == ["system", "assistant"]
    heard = second[1]["content"]
    assert heard
    assert GREETING.startswith(heard)
    assert heard != GREETING
    assert call.said == GREETING[len(heard) :].strip(), call.timeline()
    assert begins.asked == []
