"""A text chat with the bot that takes calls: the same callback, tools, context and checkpoints, and no sound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService

from examples.mask_digits import MaskDigits
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call, text_chat
from piopiy_pipeline.testing import AgentLoss, Caller, CallerLine, Line, Replies, ScriptedLLM, Tool, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS


class Deaf(ScriptedSTT):
    """An STT that must not be set up."""

    async def setup(self, setup: Any) -> None:
        raise AssertionError("a text chat has loaded its STT")


class Mute(ToneTTS):
    """A TTS that must not be set up."""

    async def setup(self, setup: Any) -> None:
        raise AssertionError("a text chat has loaded its TTS")


class Denoise(FrameProcessor):
    """A stage for the caller's audio that must not be set up."""

    async def setup(self, setup: Any) -> None:
        raise AssertionError("a text chat has loaded a stage for audio")


class SlowLLM(ScriptedLLM):
    """Writes forty words, twenty a second."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if not isinstance(frame, LLMContextFrame):
            await super().process_frame(frame, direction)
            return
        await LLMService.process_frame(self, frame, direction)
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            for number in range(40):
                await asyncio.sleep(0.05)
                await self.push_frame(LLMTextFrame(f"w{number} "))
        finally:  # as pipecat's services do: an answer that is cut off ends, too, before the interruption goes on
            await self.push_frame(LLMFullResponseEndFrame())


def slow_llm() -> SlowLLM:
    return SlowLLM(Replies("-"))


def bot(llm: Callable[[], Any], seen: list[Any] | None = None, **options: Any) -> Any:
    async def create_session(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", **options)
        await agent.Action(stt=Deaf([]), llm=llm(), tts=Mute())
        agent.pipeline.insert("denoise", Denoise(), before="stt")
        agent.pipeline.insert("mask", MaskDigits(), after="stt", wants_audio=False)
        try:
            await agent.start()
        finally:
            if seen is not None and agent.context is not None:
                seen[:] = agent.context.get_messages()

    return create_session


def scripted(*replies: Any) -> Callable[[], ScriptedLLM]:
    return lambda: ScriptedLLM(Replies(*replies))


def test_no_stage_for_sound_is_set_up_and_the_log_says_what_is_passed_over() -> None:
    lines: list[str] = []
    handler = logger.add(lines.append, level="INFO", format="{message}")
    try:
        seen: list[Any] = []
        call = simulate(
            bot(scripted("Fine."), seen, greeting="Hello!"), Caller().say("How are you?"), by="text"
        )
    finally:
        logger.remove(handler)
    assert [(message["role"], message["content"]) for message in seen] == [
        ("system", "Be brief."),
        ("assistant", "Hello!"),
        ("user", "How are you?"),
        ("assistant", "Fine."),
    ]
    assert any("the stage 'denoise' is passed over" in line for line in lines)
    assert not call.of("error")
    assert not call.bot_audio.any()


def test_a_stage_that_changes_words_changes_what_is_typed() -> None:
    seen: list[Any] = []
    simulate(bot(scripted("Noted."), seen), Caller().say("My card is 4111 1111 1111"), by="text")
    assert seen[1]["content"] == "My card is [number]"


def test_what_was_shown_of_an_answer_is_what_the_model_knows_of_it() -> None:
    seen: list[Any] = []

    async def caller(line: CallerLine) -> None:
        await line.say("Go on.")
        await line.pause(0.5)
        await line.say("Stop.", wait=True)
        await line.pause(0.3)

    call = simulate(bot(slow_llm, seen), caller, by="text")
    shown = "".join(event.data["text"] for event in call.of("shown"))
    first = seen[2]["content"]
    assert seen[2]["role"] == "assistant"
    assert 3 <= len(first.split()) < 40
    assert shown.startswith(first)
    going, stopping = [turn for turn in call.turns if turn.user]
    assert (going.bot, going.interrupted, stopping.user) == (first, True, "Stop.")
    assert [message["content"] for message in seen[1::2]][:2] == ["Go on.", "Stop."]
    [stopped] = [event.at for event in call.of("bot_turn") if event.data["interrupted"]][:1]
    assert stopped == pytest.approx(0.5, abs=0.01)


def test_tools_run_and_the_bot_hangs_up_when_its_goodbye_was_shown() -> None:
    async def create_session(call: Call) -> None:
        async def bye(params: Any) -> None:
            """End the chat."""
            await agent.hangup()
            await params.result_callback({"ok": True})

        agent = VoiceAgent(instructions="Be brief.", tools=[bye])
        llm = ScriptedLLM(Replies((Tool("bye"), "So long, and thank you for everything.")))
        await agent.Action(stt=Deaf([]), llm=llm, tts=Mute())
        await agent.start()

    call = simulate(create_session, Caller().say("Bye"), by="text")
    call.assert_tool("bye")
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert "".join(event.data["text"] for event in call.of("shown")).strip().endswith("for everything.")


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.2])
def test_a_message_behind_a_final_goodbye_is_refused_and_the_goodbye_is_shown_whole(after_s: float) -> None:
    """Each of them was answered before, and put the end off."""
    booked: list[str] = []

    async def create_session(call: Call) -> None:
        async def bye(params: Any) -> None:
            """End the chat."""
            await agent.hangup()
            await params.result_callback({"ok": True})

        async def book(params: Any) -> None:
            """Book."""
            booked.append("a table")

        agent = VoiceAgent(instructions="Be brief.", tools=[bye, book])
        llm = ScriptedLLM(
            Replies((Tool("bye"), "So long, everybody."), otherwise=(Tool("book"), "It is booked."))
        )
        await agent.Action(stt=Deaf([]), llm=llm, tts=Mute())
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.say("Bye")
        await line.until("So long")
        for text in ("A table for four", "Friday", "At seven"):
            await line.pause(after_s)
            await line.say(text)
        await line.pause(30)

    call = simulate(create_session, caller, by="text")
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert not booked, call.timeline()
    assert "".join(event.data["text"] for event in call.of("shown")).strip() == "So long, everybody."
    assert [turn.user for turn in call.turns if turn.user] == ["Bye"]
    assert call.of("end")[0].at < 2.0, call.timeline()


def test_keys_are_keys_and_with_dtmf_text_a_turn() -> None:
    seen: list[Any] = []
    simulate(bot(scripted("Thank you."), seen, dtmf="text"), Caller().press("12#").pause(1), by="text")
    assert [message["content"] for message in seen] == ["Be brief.", "12", "Thank you."]


def test_an_agent_that_is_lost_is_followed_by_one_that_knows_the_chat() -> None:
    seen: list[Any] = []
    call = simulate(
        bot(scripted("One.", "Two."), seen, greeting="Hello!"),
        Caller().say("first").pause(2).say("second"),
        by="text",
        losses=[AgentLoss("bot_turn", number=2, after_s=0.2)],
    )
    assert len(call.of("agent_resumed")) == 1
    assert [message["content"] for message in seen if message["role"] == "user"] == ["first", "second"]
    assert [message["content"] for message in seen if message["role"] == "assistant"][:2] == [
        "Hello!",
        "One.",
    ]


def test_nobody_is_asked_whether_they_are_still_there_for_half_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert text_chat.IDLE_S == 1800
    monkeypatch.setattr(text_chat, "IDLE_S", 400.0)  # pipecat itself would end it after 300
    call = simulate(
        bot(scripted("Fine."), greeting="Hello!", idle_timeout_secs=5),
        Caller().say("Hm").pause(380).say("Well"),
        by="text",
        limit_s=1000,
    )
    assert [turn.user for turn in call.turns] == ["", "Hm", "Well"]


def test_a_recording_is_typed_in_its_words_and_without_them_it_is_a_mistake(tmp_path: Path) -> None:
    wav = tmp_path / "hello.wav"
    with pytest.raises(ValueError, match=r"a text chat has words only.*hello\.wav"):
        simulate(bot(scripted("Hi.")), Caller().say(wav), by="text")
    wav.with_suffix(".txt").write_text("Hello there\n")
    call = simulate(bot(scripted("Hi.")), Caller().say(wav), by="text")
    assert call.turns[-1].user == "Hello there"


def test_what_is_of_sound_is_a_mistake_in_a_chat() -> None:
    typed = partial(simulate, bot(scripted("Hi.")), by="text")
    with pytest.raises(ValueError, match="line: a text chat has no sound"):
        typed(Caller().say("Hello"), line=Line(codec="pcmu"))
    with pytest.raises(ValueError, match=r"mute\(2\): a text chat has no sound"):
        typed(Caller().mute(2).say("Hello"))
    with pytest.raises(ValueError, match=r"'book\.wav' would be typed: for a file, pass Path\('book\.wav'\)"):
        typed(Caller().say("book.wav"))
    assert typed(Caller().say("book.wav", text="A table"), line=Line()).turns[-1].user == "A table"


def test_a_caller_comes_by_voice_or_by_text() -> None:
    with pytest.raises(ValueError, match="by='letter'"):
        simulate(bot(scripted("Hi.")), Caller(), by="letter")  # type: ignore[arg-type]


class KeepsAnswers(FrameProcessor):
    """Lets no answer of a model pass."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, (LLMTextFrame, LLMFullResponseEndFrame)):
            await self.push_frame(frame, direction)


def test_no_voice_is_blamed_where_there_is_none() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        llm = ScriptedLLM(Replies(otherwise="Aha."))
        pipeline = await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ToneTTS())
        pipeline.insert("keeps", KeepsAnswers(), after="llm", wants_audio=False)
        await agent.start()

    call = simulate(bot, Caller().say("Hello?").pause(60), by="text")
    stages = [error.data["stage"] for error in call.of("error")]
    assert stages
    assert set(stages) == {"llm"}
