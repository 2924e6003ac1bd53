"""Piopiy's `SpeechAgent`: its face, a model of pipecat's in it, and a stage of an author's own. In virtual time."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy.speech_agent import SpeechAgent
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.testing import (
    Caller,
    Providers,
    Replies,
    ScriptedTTS,
    SimulatedCall,
    Transcripts,
    Voice,
    simulate,
)
from tests.support.virtual import PEOPLE, YES, texts

LONG = "We have roses today and tulips and many more flowers from the gardens of the whole country."


class Hears(FrameProcessor):
    """A stage that hears and writes: a model at a server of the author's own."""

    def __init__(self) -> None:
        super().__init__()
        self.heard_s = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.heard_s += len(frame.audio) / 2 / frame.sample_rate
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame) and direction is FrameDirection.DOWNSTREAM:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.push_frame(LLMTextFrame(LONG))
            await self.push_frame(LLMFullResponseEndFrame())


def called(
    caller: Caller, action: Callable[[], dict[str, Any]], providers: Providers | None = None
) -> SimulatedCall:
    async def bot(call_id: str) -> None:
        agent = SpeechAgent(instructions="You sell flowers.", greeting="Good day!", idle_timeout_secs=30)
        build: Callable[..., Awaitable[Any]] = agent.Action
        await build(**action())
        await agent.start()

    return simulate(bot, caller, providers=providers)


def test_its_face_is_the_published_one() -> None:
    made = inspect.signature(SpeechAgent.__init__).parameters
    assert [name for name in made if name != "self"][:3] == ["greeting", "instructions", "idle_timeout_secs"]
    assert made["greeting"].default is None
    assert made["idle_timeout_secs"].default == 60
    asked = inspect.signature(SpeechAgent.Action).parameters
    published = {
        "omni": inspect.Parameter.empty, "telecmi_params": None, "vad": None, "enable_metrics": True,
        "enable_usage_metrics": True, "allow_interruptions": True, "interruption_strategy": None,
    }  # fmt: skip
    assert {name: asked[name].default for name in published} == published
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for name, each in asked.items() if name != "self")


@pytest.mark.parametrize("voice", [True, False], ids=["with a voice", "the model speaks"])
def test_a_model_of_pipecats_hears_and_is_said(voice: bool) -> None:
    script = Providers(stt=Transcripts(texts=["roses please"]), llm=Replies("How many?"), tts=Voice())

    def action() -> dict[str, Any]:
        tts = {"tts": ScriptedTTS()} if voice else {}
        return {"omni": OpenAIRealtimeLLMService(api_key="none"), **tts}

    call = called(Caller().say(PEOPLE), action, script)
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == ["Good day!", "How many?"], call.timeline()
    assert texts(call, "user") == ["roses please"]


def test_a_stage_of_ones_own_hears_and_writes_and_is_interrupted() -> None:
    stage: list[Hears] = []

    def action() -> dict[str, Any]:
        stage.append(Hears())
        return {"omni": stage[0], "tts": ScriptedTTS()}

    call = called(Caller().say(PEOPLE).interrupt(YES, after=1.0).pause(3), action)
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = texts(call, "bot")
    assert said[0] == "Good day!"
    assert LONG.startswith(said[1]), call.timeline()
    assert len(said[1]) < len(LONG), "it was cut off"
    assert stage[0].heard_s == pytest.approx(call.duration_s, abs=0.5)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda: {"omni": "a model", "tts": ScriptedTTS()}, "omni must be a stage of pipecat's"),
        (lambda: {"omni": Hears()}, "it needs a tts, too"),
    ],
)
def test_what_cannot_work_is_a_sentence(action: Callable[[], dict[str, Any]], error: str) -> None:
    call = called(Caller().pause(1), action)
    call.assert_ended(EndReason.ERROR)
    assert error in call.end_detail
    assert StageError.__name__ in call.end_detail


def test_the_last_model_that_it_is_given_has_the_call() -> None:
    script = Providers(stt=Transcripts(texts=["roses please"]), llm=Replies("How many?"), tts=Voice())

    async def bot(call_id: str) -> None:
        agent = SpeechAgent(instructions="You sell flowers.", greeting="Good day!")
        await agent.Action(omni=Hears(), tts=ScriptedTTS())
        model = OpenAIRealtimeLLMService(api_key="none")
        assert (await agent.Action(omni=model))["llm"] is model
        assert agent.pipeline["llm"] is model
        await agent.start()

    call = simulate(bot, Caller().say(PEOPLE), providers=script)
    assert texts(call, "bot") == ["Good day!", "How many?"], call.timeline()
