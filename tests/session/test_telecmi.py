"""A raw pipeline with Piopiy's transport, on a call in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndFrame, LLMRunFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregator,
    LLMContextAggregatorPair,
    LLMUserAggregator,
)
from pipecat.processors.filters.identity_filter import IdentityFilter

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call import Call
from piopiy_pipeline.session.telecmi import (
    MAX_WAITING,
    ChainRunner,
    ChainTask,
    TelecmiParams,
    TelecmiTransport,
)
from piopiy_pipeline.testing import Caller, simulate
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS


def chain_of(transport: TelecmiTransport, *replies: str, heard: tuple[str, ...] = ("hello",)) -> Pipeline:
    pair = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": "Be brief."}]))
    return Pipeline(
        [
            transport.input(),
            ScriptedSTT(heard),
            pair.user(),
            ScriptedLLM(replies),
            ToneTTS(),
            transport.output(),
            pair.assistant(),
        ]
    )


def test_frames_that_are_queued_before_the_answer_are_sent_in_order_and_the_last_one_hangs_up() -> None:
    async def bot() -> None:
        task = ChainTask(chain_of(TelecmiTransport()))
        await task.queue_frames([TTSSpeakFrame("First this."), TTSSpeakFrame("Then that."), EndFrame()])
        await ChainRunner(handle_sigint=False).run(task)

    call = simulate(bot, Caller().pause(12).hangup())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert [turn.bot for turn in call.turns if turn.bot] == ["First this. Then that."]


def test_a_frame_that_cannot_be_said_is_logged_and_those_behind_it_are_sent(log_lines: list[str]) -> None:
    async def bot() -> None:
        task = ChainTask(chain_of(TelecmiTransport()))
        nothing: Any = None
        await task.queue_frames([TTSSpeakFrame(nothing), TTSSpeakFrame("Good day."), EndFrame()])
        await ChainRunner().run(task)

    call = simulate(bot, Caller().pause(12).hangup())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert [turn.bot for turn in call.turns if turn.bot] == ["Good day."]
    assert any("TTSSpeakFrame was queued and not sent" in line for line in log_lines)


def test_a_frame_that_the_caller_cannot_cut_off_is_said_to_its_end() -> None:
    async def bot() -> None:
        task = ChainTask(
            chain_of(TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer())), "Yes?")
        )
        notice = TTSSpeakFrame("This call is recorded, and the recording is kept for thirty days.")
        notice.interruptible = False
        await task.queue_frame(notice)
        await ChainRunner().run(task)

    call = simulate(bot, Caller().interrupt("Stop, please, I only want to ask.", after=1.0).pause(6).hangup())
    call.assert_said("thirty days")


def test_a_frame_that_is_not_for_the_conversation_is_said_and_the_model_does_not_know_it() -> None:
    contexts: list[LLMContext] = []
    voices: list[ToneTTS] = []

    async def bot() -> None:
        chain = chain_of(TelecmiTransport())
        contexts.extend(s.context for s in chain.processors if isinstance(s, LLMAssistantAggregator))
        voices.extend(s for s in chain.processors if isinstance(s, ToneTTS))
        task = ChainTask(chain)
        await task.queue_frames(
            [TTSSpeakFrame("One moment.", append_to_context=False), TTSSpeakFrame("Here I am."), EndFrame()]
        )
        await ChainRunner().run(task)

    simulate(bot, Caller().pause(12).hangup())
    assert [text for voice in voices for text in voice.said] == ["One moment.", "Here I am."]
    messages = [message for message in contexts[0].get_messages() if isinstance(message, dict)]
    said = [message.get("content") for message in messages if message["role"] == "assistant"]
    assert said == ["Here I am."]


def test_the_vad_of_the_parameters_is_a_stage_and_who_joins_is_told() -> None:
    told: list[str] = []
    chains: list[CallPipeline] = []

    async def bot(call: Call) -> None:
        transport = TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer()))
        task = ChainTask(chain_of(transport, "Good day to you."))
        chains.append(task.chain())

        async def joined(_: Any, participant_id: str) -> None:
            told.append(participant_id)
            await task.queue_frame(LLMRunFrame())

        async def left(_: Any, participant_id: str) -> None:
            told.append(f"{participant_id} left")

        transport.add_event_handler("on_first_participant_joined", joined)
        transport.add_event_handler("on_participant_disconnected", left)
        await ChainRunner().run(task)
        assert transport.participant_id == call.info.call_id

    call = simulate(bot, Caller().pause(12).hangup())
    call.assert_said("Good day to you.")
    assert "vad" in chains[0]
    assert len(told) == 2
    assert told[1] == f"{told[0]} left"


def test_what_does_not_belong_to_a_call_is_refused_or_pipecats() -> None:
    with pytest.raises(RuntimeError, match="inside create_session"):
        TelecmiTransport()
    refused: list[str] = []

    async def bot() -> None:
        pipeline = chain_of(TelecmiTransport())
        try:
            ChainTask(pipeline, enable_tracing=True)
        except TypeError as error:
            refused.append(str(error))
        task = ChainTask(pipeline)
        try:
            await task.queue_frames([LLMRunFrame()] * (MAX_WAITING + 1))
        except RuntimeError as error:
            refused.append(str(error))
        refused.append(type(ChainTask(Pipeline([IdentityFilter()]))).__name__)
        await ChainRunner().run(task)

    simulate(bot, Caller().pause(1).hangup())
    assert "PipelineTask(enable_tracing=...)" in refused[0]
    assert "more than 100 queued frames" in refused[1]
    assert refused[2] == PipelineWorker.__name__


def test_a_raw_pipeline_is_cut_off_and_its_context_has_what_was_heard() -> None:
    contexts: list[LLMContext] = []

    async def bot() -> None:
        transport = TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer()))
        pipeline = chain_of(
            transport,
            "We have roses, tulips, lilies and a great many of daisies today.",
            "Yes?",
            heard=("stop",),
        )
        task = ChainTask(pipeline)
        user = next(stage for stage in pipeline.processors if isinstance(stage, LLMUserAggregator))
        contexts.append(user.context)
        await task.queue_frame(LLMRunFrame())
        await ChainRunner().run(task)

    call = simulate(bot, Caller().interrupt("Stop, please, I only want to ask.", after=1.5).pause(6).hangup())
    call.assert_interrupted()
    said = [str(message) for message in contexts[0].get_messages()]
    assert any("roses" in text for text in said)
    assert not any("daisies today" in text for text in said), "nobody heard it"
