"""The last words of a call, and answers that do not begin, fail, or are taken over by another voice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import ErrorFrame, Frame, TTSSpeakFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call, pending_hangup
from piopiy_pipeline.testing import Caller, simulate
from tests.support.bots import ask, voice
from tests.support.made_agents import LINE, made
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import spoken_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")


# ------------------------------------------------------------------ the last words


class SlowTTS(ToneTTS):
    """Its first sound takes longer than the pause after which a bot counts as silent."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(0.6)
        async for frame in super().run_tts(text, context_id):
            yield frame


@pytest.mark.parametrize("by", ["say", "a frame"])
@pytest.mark.three_services("the TTS is slow")
def test_a_goodbye_that_is_slow_to_begin_is_heard_whole(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_hangup, "END_S", 1.0)  # less than the goodbye lasts
    goodbye = "x" * 40  # 2.4 s

    async def bot(call: Call) -> None:
        agent = await voice(call, tts=SlowTTS())

        async def leave(_: object) -> None:
            if by == "say":
                saying = asyncio.create_task(agent.say(goodbye))
                await asyncio.sleep(0)
                await agent.hangup()
                assert await saying
            else:
                await agent.pipeline["tts"].queue_frame(TTSSpeakFrame(goodbye))
                await agent.hangup()

        agent.on("answered", leave)
        await agent.start()

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert spoken_s(call) > 2.2


def test_an_answer_that_does_not_begin_is_not_waited_for_longer_than_was_said() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, replies=[None])
        ask(agent)

        async def leave(_: object) -> None:
            await asyncio.sleep(0.2)  # the model has been asked
            await agent.hangup(drain_s=0.5)

        agent.on("answered", leave)
        await agent.start()

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert 0.6 < call.duration_s < 4


@pytest.mark.three_services("there is one service")
def test_what_a_tts_had_yet_to_say_when_another_took_over_was_not_heard() -> None:
    heard: list[bool] = []

    class Paced(ToneTTS):
        async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
            async for frame in super().run_tts(text, context_id):
                yield frame
                await asyncio.sleep(0.1)

    async def bot(call: Call) -> None:
        first, second = Paced(), ToneTTS()
        agent = await made(call, {"tts": [first, second]})

        async def speak(_: object) -> None:
            saying = asyncio.create_task(agent.say(LINE))
            await asyncio.sleep(0.5)
            await agent.switch_service(second)
            heard.append(await asyncio.wait_for(saying, 3))
            heard.append(await agent.say("Hello."))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    simulate(bot, Caller())
    assert heard == [False, True]


class Fatal(ScriptedLLM):
    async def _respond(self, context: LLMContext) -> None:
        error = ErrorFrame("the account is closed")
        error.fatal = True
        await self.push_error_frame(error)


@pytest.mark.three_services(
    "the LLM is one of the test's own; a model that speaks is in test_speech_to_speech.py"
)
def test_a_fatal_error_is_heard_and_is_the_reason_of_the_end() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        agent = await made(call, {"llm": Fatal([])})
        agent.on("answered", lambda _: call.respond())
        ends.append(await agent.start())

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.ERROR
    assert [end.detail for end in ends] == ["llm: the account is closed"]
    assert spoken_s(call) > 1


def test_a_tool_s_arguments_that_are_no_object_do_not_end_the_answer() -> None:
    used: list[Any] = []

    async def bot(call: Call) -> None:
        async def look_up(params: Any) -> None:
            """Look something up."""
            await params.result_callback({"free": True})

        agent = await made(
            call,
            {"llm": ScriptedLLM([("look_up", ["Friday"]), "It is free."])},  # type: ignore[list-item]
            tools=[FunctionSchema(name="look_up", description="", properties={}, required=[])],
        )
        agent.register_tool("look_up", look_up)
        agent.on("answered", lambda _: call.respond())
        agent.on("tool", lambda use: used.append((use.arguments, use.result)))
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    call = simulate(bot, Caller())
    assert used == [({"value": ["Friday"]}, None), ({"value": ["Friday"]}, {"free": True})]
    assert texts(call, "bot") == ["It is free."]
