"""What an author gives to a speech-to-speech bot and cannot work: one sentence each."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.services.ultravox.llm import JoinUrlInputParams, UltravoxRealtimeLLMService

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, OpenAIRealtimeServer, Replies, simulate
from piopiy_pipeline.tools import Persona, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.virtual import texts


def model(url: str = "ws://127.0.0.1:9") -> OpenAIRealtimeLLMService:
    return OpenAIRealtimeLLMService(api_key="none", base_url=url)


def refused(**options: Any) -> str:
    """Return what `Action` says."""
    found: list[str] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        try:
            await agent.Action(**{"llm": model(), **options})
        except (ValueError, TypeError) as error:
            found.append(str(error))

    simulate(bot, Caller())
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"eager": True}, "eager=True: a speech-to-speech model cannot begin an answer ahead"),
        ({"interruption": "foo"}, "interruption='foo': it is 'held', 'immediate', 'never'"),
        ({"interruption": "foo", "turns": "smart"}, "interruption='foo': it is 'held', 'immediate', 'never'"),
        ({"vad": False, "turns": "smart"}, "vad=False and turns='smart': without a VAD nothing tells"),
        ({"vad": False, "turns": 0.5}, "vad=False and turns=0.5: without a VAD nothing tells"),
        ({"llm": "gpt-realtime"}, "llm must be a pipecat LLMService, not 'gpt-realtime'"),
        (
            {"llm": OpenAIRealtimeLLMService},
            "llm must be a pipecat LLMService, not the class OpenAIRealtimeLLMService itself",
        ),
        ({"stt": "deepgram"}, "stt must be a pipecat STTService, not 'deepgram'"),
    ],
)
def test_what_cannot_work_is_one_sentence(options: dict[str, Any], says: str) -> None:
    assert refused(**options).startswith(says)


def test_a_provider_is_proposed_for_turns_where_it_detects_them() -> None:
    proposed = "let the provider detect turns (turns='provider')"
    assert proposed in refused(vad=False, turns="smart")
    pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
    from tests.support.gemini_calls import gemini_service  # it imports the provider's client

    for options in ({"vad": False}, {"vad": False, "turns": "smart"}):
        said = refused(llm=gemini_service("http://gemini.test"), **options)
        assert said.endswith("nothing tells when the caller speaks: leave vad out")
    said = refused(llm=gemini_service("http://gemini.test"), turns="provider")
    assert said.endswith("detects no turns, as it is set up: leave turns out, and this side detects them")


def test_a_speech_to_speech_model_stands_in_no_list() -> None:
    assert "stands alone, not in a list" in refused(llm=[model(), model()])


def test_a_context_is_one_of_pipecats() -> None:
    async def bot(call: Call) -> None:
        VoiceAgent(instructions="Be brief.", context="foo", call=call)  # type: ignore[arg-type]

    call = simulate(bot, Caller())
    assert "context must be an LLMContext" in call.end_detail


def test_to_say_nothing_asks_no_model() -> None:
    heard: list[bool] = []
    server = OpenAIRealtimeServer(Replies("Hello."))

    async def bot(call: Call) -> None:
        await server.start()
        agent = VoiceAgent(instructions="Be brief.", idle=False, call=call)

        async def say(_: object) -> None:
            heard.append(await agent.say(" "))

        agent.on("answered", say)
        await agent.Action(llm=model(server.url))
        await agent.start()

    call = simulate(bot, Caller().pause(4))
    assert heard == [True]
    assert texts(call, "bot") == []


def test_a_hand_off_that_the_session_cannot_take_is_an_error_before_the_call() -> None:
    async def bot(call: Call) -> None:
        billing = Persona(name="billing", instructions="Bills.", introduction="Billing.")
        tools = [hand_off_call({"billing": billing})]
        agent = VoiceAgent(instructions="Be brief.", tools=tools, call=call)
        params = JoinUrlInputParams(join_url="wss://ultravox.test/join")
        await agent.Action(llm=UltravoxRealtimeLLMService(params=params))
        await agent.start()

    call = simulate(bot, Caller())
    assert "'hand_off_call' hands the call over, and UltravoxRealtimeLLMService takes no" in call.end_detail
    assert not call.of("bot_turn")
