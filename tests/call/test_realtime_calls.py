"""Whole calls of a speech-to-speech bot with the providers of the cascade's bot, and faults. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    Disconnects,
    Garbage,
    OpenAIRealtimeServer,
    Providers,
    Refused,
    Replies,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Stalls,
    TimesOut,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeSession
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.scripted_bot import PROVIDERS, booking_caller
from tests.support.virtual import PEOPLE, YES, longest_silence_s, texts

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


async def create_session(call: Call) -> None:
    """The bot of `tests.support.scripted_bot`, whose model hears and speaks."""

    async def book_table(params: FunctionCallParams, people: int, day: str) -> None:
        """Book a table."""
        await params.result_callback({"booked": True})

    async def hang_up(params: FunctionCallParams) -> None:
        """End the call."""
        await agent.hangup()
        await params.result_callback({"goodbye": True})

    agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", tools=[book_table, hang_up], call=call)
    await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none"))
    await agent.start()


def providers(*replies: Any, **options: Any) -> Providers:
    ears = Transcripts(texts=["a table please", "for four", "on Friday", "yes"])
    return Providers(stt=ears, llm=Replies(*replies, **options), tts=Voice())


def heard_in_speech(call: SimulatedCall) -> bool:
    """Whether the bot begins to speak while the caller does."""
    spans = [(event.data["start"], event.data["end"]) for event in call.of("user_speech")]
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > 500) / call.rate
    begins = loud[np.diff(loud, prepend=-1.0) > 0.2]
    return any(((begins > start) & (begins < end)).any() for start, end in spans)


def test_the_cascades_call_goes_the_same_way() -> None:
    call = simulate(create_session, booking_caller(), providers=PROVIDERS)
    call.assert_ended(EndReason.AGENT_HANGUP)
    call.assert_tool("book_table", people=4, day="Friday")
    said = texts(call, "bot")
    assert said[0] == "Good day."
    assert said[-1] == "Thank you for calling, goodbye."
    assert texts(call, "user")[0] == "I would like to book a table for four people."


@pytest.mark.parametrize(
    "fault",
    [
        Refused(500),
        TimesOut(after_s=2),
        Disconnects(after=0.5),
        Garbage(after=0.5),
        Stalls(),
        Stalls(after=0.5),
    ],
    ids=["fails", "times out", "is dropped midway", "is garbage midway", "stalls", "stalls midway"],
)
def test_a_provider_that_fails_once_is_heard_and_answers(fault: Any) -> None:
    call = simulate(
        create_session, Caller().say(PEOPLE).pause(25), providers=providers(LONG, faults={1: fault})
    )
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot")[-1].endswith("under the trees."), call.timeline()
    assert longest_silence_s(call) < 13, call.timeline()
    assert {error.data["stage"] for error in call.of("error")} == {"llm"}, "there is no TTS that could fail"


def test_an_answer_that_fails_is_asked_for_again_before_its_end_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancel = OpenAIRealtimeLLMService.cancel_task

    async def cancel_late(service: OpenAIRealtimeLLMService, *task: Any, **options: Any) -> None:
        """Do as on a busy loop, on which the call deals with the error first."""
        await asyncio.sleep(0.02)
        await cancel(service, *task, **options)

    monkeypatch.setattr(OpenAIRealtimeLLMService, "cancel_task", cancel_late)
    faults = {1: Refused(429)}
    call = simulate(create_session, Caller().say(PEOPLE).pause(25), providers=providers(LONG, faults=faults))
    assert texts(call, "bot")[-1].endswith("under the trees."), call.timeline()
    assert len(call.of("error")) == 1


def test_an_answer_that_stalls_and_is_not_given_up_is_given_by_another_session(
    servers: list[OpenAIRealtimeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignore(session: OpenAIRealtimeSession, reason: str) -> None:
        """Take no notice of a request to cancel an answer."""

    monkeypatch.setattr(OpenAIRealtimeSession, "cancel", ignore)
    faults = {1: Stalls(after=0.5)}
    call = simulate(create_session, Caller().say(PEOPLE).pause(25), providers=providers(LONG, faults=faults))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot")[-1].endswith("under the trees."), call.timeline()
    assert len(servers[0].sessions) == 2


def test_a_call_whose_agent_is_lost_goes_on_at_another_one() -> None:
    call = simulate(
        create_session,
        Caller().say(PEOPLE).pause(6).say(YES).pause(6),
        providers=providers("For how many?", "For how many people, please?"),
        losses=[AgentLoss("answered", after_s=9.0)],
    )
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = texts(call, "bot")
    assert said[:2] == ["Good day.", "For how many?"], call.timeline()
    assert said[-1] == "For how many people, please?", call.timeline()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[OpenAIRealtimeServer]:
    """The servers that the calls of this test talk to."""
    found: list[OpenAIRealtimeServer] = []
    begin = OpenAIRealtimeServer.open

    def note(server: OpenAIRealtimeServer) -> OpenAIRealtimeServer:
        found.append(server)
        return begin(server)

    monkeypatch.setattr(OpenAIRealtimeServer, "open", note)
    return found


def hybrid(*, stt: bool = False, tts: bool = True) -> Callable[[Call], Awaitable[None]]:
    async def bot(call: Call) -> None:
        async def book(params: FunctionCallParams, people: int) -> None:
            """Book a table."""
            await params.result_callback({"booked": people})

        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", tools=[book], call=call)
        services: dict[str, Any] = {"llm": OpenAIRealtimeLLMService(api_key="none")}
        if stt:
            services["stt"] = ScriptedSTT(spoken=lambda start, end: "")
        if tts:
            services["tts"] = ScriptedTTS()
        await agent.Action(**services)
        await agent.start()

    return bot


def test_a_voice_says_what_the_model_writes(servers: list[OpenAIRealtimeServer]) -> None:
    answer = (Tool("book", people=4), "It is booked. Anything else?")
    call = simulate(hybrid(), Caller().say(PEOPLE), providers=providers(answer))
    call.assert_tool("book", people=4)
    assert texts(call, "bot") == ["Good day.", "It is booked. Anything else?"], call.timeline()
    assert texts(call, "user") == ["a table please"]
    session = servers[0].session
    assert session.config.body["output_modalities"] == ["text"]
    assert "response.output_audio.delta" not in [one.kind for one in session.sent]


def test_after_a_barge_in_a_model_that_writes_knows_what_was_heard(
    servers: list[OpenAIRealtimeServer],
) -> None:
    caller = Caller().say(PEOPLE).interrupt(YES, after=1.5)
    call = simulate(hybrid(), caller, providers=providers(LONG, "As you like."))
    said = texts(call, "bot")
    assert said[0] == "Good day."
    assert said[-1] == "As you like.", call.timeline()
    assert LONG.startswith(said[1]), call.timeline()
    assert 2 <= len(said[1].split()) <= 9
    known = [one["content"] for one in servers[0].session.conversation() if one["role"] == "assistant"]
    assert known[-2:] == said[1:], "the provider knows it as the caller does"


@pytest.mark.parametrize("tts", [False, True], ids=["the model speaks", "a voice speaks"])
def test_an_stt_of_ones_own_writes_down_what_the_model_hears(
    servers: list[OpenAIRealtimeServer], tts: bool
) -> None:
    caller = Caller().say(PEOPLE).pause(6)
    call = simulate(hybrid(stt=True, tts=tts), caller, providers=providers("For how many?", latency=0.5))
    assert texts(call, "user") == ["a table please"], call.timeline()
    assert texts(call, "bot") == ["Good day.", "For how many?"]
    assert not servers[0].session.config.audio("input", "transcription")
    assert "a table please" not in str([one.body for one in servers[0].session.received]), "it has heard that"


class Politely(FrameProcessor):
    """Writes down what the caller says in other words, in frames of its own."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            frame = TranscriptionFrame(f"{frame.text}, if I may", frame.user_id, frame.timestamp)
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("name", ["stt", "ears"])
def test_words_that_a_stage_has_made_of_an_stts_are_answered_once(name: str) -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call)
        await agent.Action(
            llm=OpenAIRealtimeLLMService(api_key="none"), stt=ScriptedSTT(spoken=lambda start, end: "")
        )
        agent.pipeline.insert(name, agent.pipeline.remove("stt"), after="vad")
        agent.pipeline.insert("politely", Politely(), after=name)
        await agent.start()

    caller = Caller().say(PEOPLE).pause(6)
    call = simulate(bot, caller, providers=providers("For how many?", "And again?", latency=0.5))
    assert texts(call, "user") == ["a table please, if I may"], call.timeline()
    assert texts(call, "bot") == ["Good day.", "For how many?"]


@pytest.mark.parametrize("fault", [Refused(500), Disconnects(after=0.5), Stalls()])
def test_a_model_that_writes_and_fails_once_is_heard_and_answers(fault: Any) -> None:
    call = simulate(hybrid(), Caller().say(PEOPLE).pause(25), providers=providers(LONG, faults={1: fault}))
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot")[-1].endswith("under the trees."), call.timeline()


def test_a_caller_who_speaks_before_the_answer_begins_is_no_failure_of_the_model() -> None:
    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE)
        await line.pause(1.0)
        await line.say(PEOPLE)
        await line.pause(10)

    call = simulate(create_session, caller, providers=providers(LONG, LONG, latency=2.0))
    assert not call.of("error"), call.timeline()
    assert not heard_in_speech(call), call.timeline()
