"""What each parameter of the published signatures changes, and the last words of a call. In virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import Frame, MetricsFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import MinWordsUserTurnStartStrategy

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.turns.turn_end_policy import TurnWaits
from tests.support.made_agents import LINE, made
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import YES

pytestmark = pytest.mark.usefixtures("either_bot")


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, False),
        ({"allow_interruptions": False}, True),
        ({"interruption_strategy": MinWordsUserTurnStartStrategy(min_words=9)}, True),
    ],
    ids=["as it is", "without interruptions", "not for two words"],
)
def test_who_may_cut_in(options: dict[str, Any], whole: bool) -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        agent = await made(call, options)

        async def speak(_: object) -> None:
            heard.append(await agent.say(LINE))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    simulate(bot, Caller().interrupt(YES, after=1.0))
    assert heard == [whole]


class SeesMetrics(FrameProcessor):
    """Remembers which kinds of metrics come by."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[str] = set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, MetricsFrame):
            self.kinds |= {type(data).__name__ for data in frame.data}
        await self.push_frame(frame, direction)


class MeteredTTS(ToneTTS):
    def can_generate_metrics(self) -> bool:
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await self.start_tts_usage_metrics(text)
        async for frame in super().run_tts(text, context_id):
            yield frame


@pytest.mark.parametrize(("metrics", "usage"), [(False, False), (True, False), (True, True)])
@pytest.mark.three_services("the stage that counts stands behind the TTS")
def test_metrics_come_when_they_are_asked_for(metrics: bool, usage: bool) -> None:
    stage = SeesMetrics()

    async def bot(call: Call) -> None:
        options = {"tts": MeteredTTS(), "enable_metrics": metrics, "enable_usage_metrics": usage}
        agent = await made(call, options, greeting="Hello.")
        agent.pipeline.insert("meter", stage, after="tts", wants_audio=False)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert ("TTFBMetricsData" in stage.kinds) is metrics
    assert ("TTSUsageMetricsData" in stage.kinds) is usage


@pytest.mark.three_services("its stages are STT and TTS")
def test_what_action_is_given_is_what_the_chain_has() -> None:
    seen: dict[str, Any] = {}

    async def book(params: Any) -> None:
        """Book a table."""

    def schema(name: str) -> FunctionSchema:
        return FunctionSchema(name=name, description="", properties={}, required=[])

    class Mcp:
        async def tools(self) -> list[FunctionSchema]:
            return [schema("from_mcp")]

    async def bot(call: Call) -> None:
        params = TransportParams(audio_in_passthrough=False)
        options = {"telecmi_params": params, "stt_switcher": True, "tts_switcher": True, "mcp_tools": Mcp()}
        agent = await made(call, options, tools=[book])
        seen["stt"], seen["tts"] = agent.pipeline["stt"], agent.pipeline["tts"]
        seen["passthrough"] = call.transport().input()._params.audio_in_passthrough
        context = agent.context
        assert context is not None
        seen["tools"] = [tool.name for tool in context.tools.standard_tools]  # type: ignore[union-attr]

    simulate(bot, Caller())
    assert isinstance(seen["stt"], ServiceSwitch)
    assert isinstance(seen["tts"], ServiceSwitch)
    assert seen["passthrough"] is False
    assert seen["tools"] == ["book", "from_mcp"], "they add to the others"


@pytest.mark.three_services("its services are wrong on purpose")
def test_what_cannot_work_is_said_before_the_call_is_answered() -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        with pytest.raises(StageError, match="llm must be a pipecat LLMService"):
            await made(call, {"llm": [ScriptedLLM([]), ToneTTS()]})
        said.append("llm")

    assert simulate(bot, Caller()).end_reason is EndReason.ERROR
    assert said == ["llm"]


@pytest.mark.parametrize(
    ("init", "options", "message"),
    [
        ({"idle_timeout_secs": 0}, {}, "idle_timeout_secs must be 1 second or more (None: never), not 0"),
        (
            {"idle_timeout_secs": 0.001},
            {},
            "idle_timeout_secs must be 1 second or more (None: never), not 0.001",
        ),
        ({"reply_timeout_secs": -1}, {}, "reply_timeout_secs must be more than 0 seconds, not -1"),
        ({"tool_timeout_secs": "5"}, {}, "tool_timeout_secs must be a number of seconds, not '5'"),
        ({"instructions": 5}, {}, "instructions must be a text, not 5"),
        ({"greeting": 5}, {}, "greeting must be a text, or None for nothing, not 5"),
        ({"filler": "wait.wav"}, {}, "filler='wait.wav' would be read out: write Path('wait.wav')"),
        ({"filler": 5}, {}, "filler must be a sentence, the Path of a WAV file or None, not 5"),
        ({"idle": 5}, {}, "idle must be True, False or a list of sentences, not 5"),
        ({"idle": "Hello?"}, {}, "idle must be True, False or a list of sentences, not 'Hello?'"),
        ({"idle": ["Hello?", 5]}, {}, "idle must be True, False or a list of sentences: 5 is no sentence"),
        ({}, {"allow_interruptions": "no"}, "allow_interruptions must be True or False, not 'no'"),
        ({}, {"turns": TurnWaits}, "it is 'smart', 'fast', seconds from 0 to 5, a TurnWaits(...)"),
    ],
    ids=str,
)
def test_an_argument_that_cannot_work_is_named_as_it_was_written(
    init: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        with pytest.raises((TypeError, ValueError)) as caught:
            await made(call, options, **init)
        said.append(str(caught.value))

    simulate(bot, Caller())
    assert message in said[0]


@pytest.mark.three_services("these times are for a list of models")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"llm_first_token_secs": -1}, "llm_first_token_secs must be more than 0 seconds, not -1"),
        ({"llm_first_token_secs": "x"}, "llm_first_token_secs must be a number of seconds, not 'x'"),
        ({"llm_between_tokens_secs": 0}, "llm_between_tokens_secs must be more than 0 seconds, not 0"),
    ],
    ids=str,
)
def test_a_time_of_a_model_that_cannot_be_is_named_as_it_was_written(
    options: dict[str, Any], message: str
) -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        with pytest.raises((TypeError, ValueError)) as caught:
            await made(call, options)
        said.append(str(caught.value))

    simulate(bot, Caller())
    assert message in said[0]
