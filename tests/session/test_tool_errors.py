"""Code of the author's that raises is named with its line. A tool that does is the model's to explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.testing import Caller, Providers, Replies, Tool, Transcripts, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

pytestmark = pytest.mark.usefixtures("either_bot")

AWAY = "line: away"


def _line_of(mark: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))


class Panic(BaseException):
    """As libraries in other languages raise it."""


def test_a_tool_that_raises_is_answered_once_and_not_apologised_for() -> None:
    async def bot(call_id: str) -> None:
        async def book(params: Any, people: int) -> None:
            """Book a table."""
            raise RuntimeError("the database is away")  # line: away

        agent = VoiceAgent(instructions="Be brief.", tools=[book])
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        await agent.start()

    replies = Replies((Tool("book", people=4), "I could not book it, I am sorry."))
    providers = Providers(stt=Transcripts(), llm=replies, tts=Voice())
    caller = Caller().say(AUDIO / "booking/01-people.wav", text="a table for four").pause(4).hangup()
    call = simulate(bot, caller, providers=providers)
    said = [event.data["text"] for event in call.events if event.kind == "bot_turn"]
    assert said == ["I could not book it, I am sorry."], call.timeline()
    errors = [event.data["message"] for event in call.events if event.kind == "error"]
    line = _line_of(AWAY)
    assert errors == [f"RuntimeError at tests/session/test_tool_errors.py:{line}: the database is away"]
    assert [event.data["stage"] for event in call.events if event.kind == "error"] == ["book"]
    assert "went wrong" not in call.timeline(), "no apology"


@pytest.mark.parametrize("error", [GeneratorExit(), Panic("rust"), SystemExit(3), TimeoutError()])
@pytest.mark.parametrize("at_once", [True, False])
def test_whatever_a_tool_raises_is_its_result(error: BaseException, at_once: bool) -> None:
    async def bot(call_id: str) -> None:
        async def look(params: Any) -> None:
            """Look."""
            if not at_once:
                await params.result_callback({"seen": 1})
            raise error

        agent = VoiceAgent(instructions="Be brief.", tools=[look])
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        await agent.start()

    replies = Replies((Tool("look"), "That is all."))
    providers = Providers(stt=Transcripts(), llm=replies, tts=Voice())
    caller = Caller().say(AUDIO / "booking/01-people.wav", text="a table for four").pause(8).hangup()
    call = simulate(bot, caller, providers=providers)
    said = [event.data["text"] for event in call.events if event.kind == "bot_turn"]
    assert said == ["That is all."], call.timeline()
    [failed] = [event.data for event in call.events if event.kind == "error"]
    assert failed["stage"] == "look"
    assert failed["message"].startswith(f"{type(error).__name__} at tests/session/test_tool_errors.py:")


@pytest.mark.three_services("the stage stands behind the STT")
def test_a_stage_that_raises_is_named_with_its_line() -> None:
    class Broken(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if type(frame).__name__ == "TranscriptionFrame":
                raise ValueError  # line: broken
            await self.push_frame(frame, direction)

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        assert agent.pipeline is not None
        agent.pipeline.insert("broken", Broken(), after="stt")
        await agent.start()

    providers = Providers(stt=Transcripts(), llm=Replies(otherwise="Yes."), tts=Voice())
    caller = Caller().say(AUDIO / "booking/01-people.wav", text="a table for four").pause(4).hangup()
    call = simulate(bot, caller, providers=providers)
    place = f"(ValueError at tests/session/test_tool_errors.py:{_line_of('line: broken')})"
    assert any(place in event.data["message"] for event in call.events if event.kind == "error"), (
        call.timeline()
    )


@pytest.mark.parametrize("error", [GeneratorExit(), Panic("rust"), SystemExit(3), ValueError("x")])
def test_whatever_a_handler_raises_is_on_record_and_goes_no_further(error: BaseException) -> None:
    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())

        async def broken(_: object) -> None:
            raise error

        def broken_at_once(_: object) -> None:
            raise error

        agent.on("answered", broken)
        agent.on("answered", broken_at_once)
        await agent.start()

    call = simulate(bot, Caller().pause(4).hangup())
    failed = [event.data for event in call.events if event.kind == "error"]
    assert [each["stage"] for each in failed] == ["handler of answered"] * 2
    kind = type(error).__name__
    assert all(each["message"].startswith(f"{kind} at tests/session/test_tool_errors.py:") for each in failed)
    call.assert_ended("caller_hangup")


@pytest.mark.parametrize("error", [GeneratorExit(), Panic("rust"), SystemExit(3), ValueError("x")])
@pytest.mark.three_services("the bot has no services")
def test_whatever_the_callback_raises_is_the_detail_of_the_end(error: BaseException) -> None:
    async def bot(call_id: str) -> None:
        raise error

    call = simulate(bot, Caller().pause(4).hangup())
    [end] = [event.data for event in call.events if event.kind == "end"]
    where = f"the callback failed: {type(error).__name__} at tests/session/test_tool_errors.py:"
    assert end["detail"].startswith(where)
