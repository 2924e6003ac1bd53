"""A chain of stages by name: what it takes, what it refuses, and where the caller's audio ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import Frame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.processors.caller_audio import InputAudioStop
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.recorded_caller import RecordedLink
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

Build = Callable[[Call], Any]


class Plain(FrameProcessor):
    """Passes everything on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


def in_a_call(build: Build) -> Any:
    """Run `build` in a call that is never answered."""

    async def scenario() -> Any:
        link = RecordedLink(np.zeros(160, np.int16))
        session = Session(CallInfo("a", str(uuid.uuid4())), link, post=lambda _: None)
        return build(session.call)

    return asyncio.run(scenario())


def voice(call: Call, **options: Any) -> CallPipeline:
    return CallPipeline.voice(
        call, stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS(), context=LLMContext(), **options
    )


def test_the_voice_chain_has_the_stages_that_its_documentation_names() -> None:
    assert in_a_call(lambda call: voice(call).names) == (
        "transport_in", "vad", "stt", "user_context", "llm", "tts", "transport_out", "assistant_context",
    )  # fmt: skip


def test_without_vad_there_is_no_vad_stage() -> None:
    assert "vad" not in in_a_call(lambda call: voice(call, vad=False).names)


def test_vad_values_reach_the_stage() -> None:
    def build(call: Call) -> Any:
        stage = voice(call, vad={"confidence": 0.5, "stop_secs": 0.4})["vad"]
        assert isinstance(stage, VadStage)
        return stage.settings

    params = in_a_call(build)
    assert (params.confidence, params.stop_secs) == (0.5, 0.4)


def test_an_unknown_vad_key_is_named() -> None:
    with pytest.raises(ValueError, match="stop_sec"):
        in_a_call(lambda call: voice(call, vad={"stop_sec": 0.4}))


def test_stages_go_in_by_their_neighbours() -> None:
    def build(call: Call) -> Any:
        chain = (
            voice(call).insert("mask", Plain(), after="stt").insert("louder", Plain(), before="transport_out")
        )
        old = chain.replace("stt", ScriptedSTT([]))
        assert isinstance(old, ScriptedSTT)
        chain.remove("louder")
        return chain.names

    assert in_a_call(build)[2:5] == ("stt", "mask", "user_context")


def _stop_follows(call: Call, chain: CallPipeline) -> str:
    """The name of the stage behind which the caller's audio ends."""
    names = {stage: name for name, stage in ((n, chain[n]) for n in chain.names)}
    stages = chain.freeze().processors
    at = next(i for i, stage in enumerate(stages) if isinstance(stage, InputAudioStop))
    return names[stages[at - 1]]


def test_the_callers_audio_ends_behind_the_last_stage_that_wants_it() -> None:
    assert in_a_call(lambda call: _stop_follows(call, voice(call))) == "stt"


@pytest.mark.parametrize(("wants", "ends"), [(True, "probe"), (False, "stt")])
def test_a_stage_says_whether_it_wants_the_callers_audio(wants: bool, ends: str) -> None:
    def build(call: Call) -> str:
        return _stop_follows(
            call, voice(call).insert("probe", Plain(), after="user_context", wants_audio=wants)
        )

    assert in_a_call(build) == ends


def test_a_stage_in_the_place_of_a_deaf_one_hears_the_caller() -> None:
    def build(call: Call) -> str:
        chain = voice(call).insert("probe", Plain(), after="user_context", wants_audio=False)
        chain.replace("probe", Plain())
        return _stop_follows(call, chain)

    assert in_a_call(build) == "probe"


def _insert_nowhere(call: Call) -> None:
    voice(call).insert("x", Plain())


def _insert_at_unknown(call: Call) -> None:
    voice(call).insert("x", Plain(), after="sst")


def _insert_twice(call: Call) -> None:
    voice(call).insert("stt", Plain(), after="vad")


def _insert_class(call: Call) -> None:
    voice(call).insert("x", Plain, after="vad")  # type: ignore[arg-type]


def _same_stage_twice(call: Call) -> None:
    stage = Plain()
    voice(call).insert("x", stage, after="vad").insert("y", stage, after="stt")


def _no_output(call: Call) -> None:
    chain = voice(call)
    chain.remove("transport_out")
    chain.check()


def _no_input(call: Call) -> None:
    CallPipeline([("speak", call.transport().output())]).check()


def _tts_before_llm(call: Call) -> None:
    transport = call.transport()
    context = voice(call)["user_context"]
    CallPipeline(
        [
            ("in", transport.input()),
            ("u", context),
            ("tts", ToneTTS()),
            ("llm", ScriptedLLM([])),
            ("out", transport.output()),
        ]
    ).check()


def _deaf_llm(call: Call) -> None:
    transport = call.transport()
    CallPipeline([("in", transport.input()), ("llm", ScriptedLLM([])), ("out", transport.output())]).check()


def _change_while_running(call: Call) -> None:
    chain = voice(call)
    chain.freeze()
    chain.remove("vad")


@pytest.mark.parametrize(
    ("build", "says", "stage"),
    [
        (_insert_nowhere, "before=... or after=", "x"),
        (_insert_at_unknown, "Did you mean 'stt'", "sst"),
        (_insert_twice, "already: use replace", "stt"),
        (_insert_class, "the class Plain itself", "x"),
        (_same_stage_twice, "as 'x' already", "y"),
        (_no_output, "cannot speak", None),
        (_no_input, "does not hear", None),
        (_tts_before_llm, "must stand behind the LLM", "tts"),
        (_deaf_llm, "the LLM hears nobody", "llm"),
        (_change_while_running, "cannot be changed any more", "vad"),
    ],
)
def test_a_chain_that_cannot_work_is_refused_with_the_stage_at_fault(
    build: Build, says: str, stage: str | None
) -> None:
    with pytest.raises(StageError, match=says) as refused:
        in_a_call(build)
    assert refused.value.stage == stage


def _action(call: Call, **services: Any) -> Any:
    agent = VoiceAgent(instructions="Be brief.", call=call)
    return agent.Action(**services)


@pytest.mark.parametrize(
    ("services", "says"),
    [
        ({"llm": True}, "speech-to-speech"),
        ({"llm": True, "stt": True}, "tts is missing"),
        ({"llm": True, "tts": True}, "stt is missing"),
    ],
)
def test_a_missing_service_is_named(services: dict[str, bool], says: str) -> None:
    make: dict[str, Callable[[], Any]] = {
        "llm": lambda: ScriptedLLM([]),
        "stt": lambda: ScriptedSTT([]),
        "tts": ToneTTS,
    }

    async def scenario() -> None:
        link = RecordedLink(np.zeros(160, np.int16))
        session = Session(CallInfo("a", "c"), link, post=lambda _: None)
        with pytest.raises(StageError, match=says):
            await _action(session.call, **{name: make[name]() for name in services})
        with pytest.raises(StageError, match="the class ToneTTS itself"):
            await _action(session.call, stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS)

    asyncio.run(scenario())


def test_a_voice_agent_outside_of_a_call_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match="inside create_session"):
        VoiceAgent(instructions="Be brief.")


def test_an_analyzer_of_ones_own_runs_in_pipecats_stage() -> None:
    class Deaf(VADAnalyzer):
        def num_frames_required(self) -> int:
            return 512

        def voice_confidence(self, buffer: bytes) -> float:
            return 0.0

    name = in_a_call(lambda call: type(voice(call, vad=Deaf())["vad"]).__name__)
    assert name == "VADProcessor"
