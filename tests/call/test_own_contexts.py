"""Callbacks, contexts and chains of an author's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any
from unittest.mock import Mock

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessorSetup

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session import Call, ResumableState
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import voice
from tests.support.call_state import state_of
from tests.support.calls import house
from tests.support.made_agents import made
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import YES

pytestmark = pytest.mark.usefixtures("either_bot")


# ------------------------------------------------------------------ callbacks and chains of one's own


@pytest.mark.realtime
def test_a_callback_that_calls_exit_ends_its_call_and_not_the_agent() -> None:
    """In real time: it takes an agent at a gateway to show that it lives on."""

    async def bot(call: Call, metadata: dict[str, Any]) -> None:
        if metadata.get("exit"):
            sys.exit("no more")
        await (await voice(call, greeting="Hello.")).start()

    async def scenario() -> None:
        async with house(bot) as place:
            assert (await place.call(metadata={"exit": True})).reason is EndReason.ERROR
            assert (await place.call(metadata={}, hangup_after_s=0.3)).texts("bot") == ["Hello."]

    asyncio.run(scenario())


def test_a_callback_that_does_not_wait_for_its_pipeline_is_told_so() -> None:
    starting: list[asyncio.Task[CallEnd]] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        starting.append(asyncio.create_task(agent.start()))
        await asyncio.sleep(0)

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.ERROR
    assert "await start()" in call.end_detail


def test_a_context_of_one_s_own_goes_on_with_what_another_instance_was_told() -> None:
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "book it"}]
        state_of(call).resume(ResumableState(messages=said, state={}))
        context = LLMContext([{"role": "system", "content": "Be long."}])
        agent = await made(call, {"llm": llm}, context=context)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "book it"]


HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def test_the_model_knows_the_initial_messages_from_its_first_answer_on() -> None:
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        agent = await made(call, {"llm": llm}, initial_messages=HISTORY)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller().say(YES))
    said = [(message["role"], message["content"]) for message in llm.asked[0]]
    assert said == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "a table")]
    assert len(HISTORY) == 2, "the author's list is not written to"


def test_a_resumed_call_goes_on_without_the_initial_messages_again() -> None:
    said = [{"role": "system", "content": "Be brief."}, *HISTORY, {"role": "user", "content": "book it"}]
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        state_of(call).resume(ResumableState(messages=said, state={}))
        agent = await made(call, {"llm": llm}, initial_messages=HISTORY)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "Hi", "Hello!", "book it"]


def test_a_resumed_call_goes_on_with_the_instructions_of_today() -> None:
    """The other instance may have run an older version of the bot, with other tools."""
    said = [{"role": "system", "content": "Be long."}, *HISTORY, {"role": "user", "content": "book it"}]
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        state_of(call).resume(ResumableState(messages=said, state={}))
        agent = await made(call, {"llm": llm})
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "Hi", "Hello!", "book it"]


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ("Hi", TypeError, "a list of messages"),
        ({"role": "user", "content": "Hi"}, TypeError, "a list of messages"),
        (["Hi"], TypeError, "initial_messages, 1: a message is a dict, not a str"),
        ([*HISTORY, {"role": "bot", "content": "Hi"}], ValueError, "3: its role is 'bot', not one of"),
        ([{"role": "user"}], ValueError, "it has no content"),
    ],
)
def test_initial_messages_that_are_none_are_an_error_at_once(
    messages: Any, error: type[Exception], says: str
) -> None:
    call = Mock(spec=Call)
    with pytest.raises(error, match=says):
        VoiceAgent(instructions="Be brief.", call=call, initial_messages=messages)


def test_either_a_context_or_initial_messages() -> None:
    call = Mock(spec=Call)
    with pytest.raises(ValueError, match="either context or initial_messages"):
        VoiceAgent(instructions="", call=call, context=LLMContext(), initial_messages=HISTORY)


def test_a_switch_of_voices_can_say_text_under_any_name() -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        transport = call.transport()
        voices = ServiceSwitch([ToneTTS(), ToneTTS()])
        chain = CallPipeline([("in", transport.input()), ("voices", voices), ("out", transport.output())])

        async def speak(_: object) -> None:
            heard.append(await call.say("Hello."))
            await call.hangup()

        call.on("answered", speak)
        await call.run(chain)

    simulate(bot, Caller())
    assert heard == [True]


@pytest.mark.three_services("there is one service")
def test_what_is_said_while_the_next_voice_starts_waits_for_it() -> None:
    heard: list[bool] = []

    class Broken(ToneTTS):
        async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
            await self.push_error("invalid key", force_treat_as_permanent=True)
            return
            yield None

    class SlowToStart(ToneTTS):
        async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
            await asyncio.sleep(1.5)
            await super().setup(setup)

    async def bot(call: Call) -> None:
        agent = await made(call, {"tts": [Broken(), SlowToStart()]})

        async def speak(_: object) -> None:
            heard.append(await asyncio.wait_for(agent.say("Hello there."), 8))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    assert simulate(bot, Caller()).end_reason is EndReason.AGENT_HANGUP
    assert heard == [True]
