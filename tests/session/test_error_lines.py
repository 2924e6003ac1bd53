"""A mistake of an author's code stands in the log once: one line with call and place, and one traceback."""

from __future__ import annotations

import asyncio
import inspect
import re
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import ErrorFrame, Frame, LLMContextFrame, LLMTextFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.session.resumable_state import ResumableState
from piopiy_pipeline.testing import Caller, Replies, ScriptedLLM, Tool, simulate
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.recorded_caller import RecordedLink
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, info

FINE = "Fine."


class Mistake(Exception):
    """What an author's code raises here."""


def fail() -> None:
    raise Mistake("no such table")


LINE = inspect.getsourcelines(fail)[1] + 1
PLACE = f"test_error_lines.py:{LINE}"


class RaisingStage(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            fail()
        await self.push_frame(frame, direction)


class StageWithTask(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.create_task(asyncio.to_thread(fail), "task")
        await self.push_frame(frame, direction)


class DeafStage(RaisingStage):
    """Another one, that lets no error pass."""

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if not isinstance(frame, ErrorFrame):
            await super().push_frame(frame, direction)


class RaisingVoice(ToneTTS):
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        fail()
        yield None


class ReportingVoice(ToneTTS):
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        try:
            fail()
        except Mistake as error:
            yield ErrorFrame(error="the voice is broken", exception=error)


class RaisingEars(ScriptedSTT):
    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        fail()
        yield None


class RaisingModel(ScriptedLLM):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame):
            fail()
        await super().process_frame(frame, direction)


@tool
async def book(params: FunctionCallParams) -> None:
    """Book a table."""
    fail()


class Bot:
    """A bot in which something is wrong."""

    def __init__(
        self,
        *,
        stt: type[ScriptedSTT] = ScriptedSTT,
        llm: type[ScriptedLLM] = ScriptedLLM,
        tts: type[ToneTTS] = ToneTTS,
        stage: type[FrameProcessor] | None = None,
        replies: tuple[Any, ...] = (FINE,),
        in_handler: str = "",
        in_callback: bool = False,
    ) -> None:
        self._services = stt, llm, tts
        self._stage = stage
        self._replies = replies
        self._in_handler = in_handler
        self._in_callback = in_callback

    async def __call__(self, call: Call) -> None:
        stt, llm, tts = self._services
        agent = VoiceAgent(
            instructions="Be brief.", call=call, tools=[book], idle=False, filler=None, error_line="Sorry."
        )
        model = llm(Replies(*self._replies, otherwise=FINE))
        await agent.Action(stt=stt(["a table"]), llm=model, tts=tts())
        if self._stage is not None:
            agent.pipeline.insert("extra", self._stage(), after="llm", wants_audio=False)
        if self._in_handler == "pipecat":
            agent.pipeline["user_context"].add_event_handler("on_user_turn_started", lambda *_: fail())
        elif self._in_handler:
            agent.on("answered", lambda _: fail())
        if self._in_callback:
            fail()
        await agent.start()


@pytest.mark.parametrize(
    ("bot", "culprit"),
    [
        (Bot(replies=(Tool("book"), FINE)), "the tool book failed"),
        (Bot(in_callback=True), "the callback failed"),
        (Bot(in_handler="ours"), "a handler of 'answered' failed"),
        (Bot(in_handler="pipecat"), "uncaught exception in event handler 'on_user_turn_started'"),
        (Bot(stage=RaisingStage), "extra failed"),
        (Bot(stage=DeafStage), "extra failed"),
        (Bot(stage=StageWithTask), "unexpected exception"),
        (Bot(stt=RaisingEars), "stt failed"),
        (Bot(llm=RaisingModel), "llm failed"),
        (Bot(tts=RaisingVoice), "tts failed"),
        (Bot(tts=ReportingVoice), "tts failed"),
    ],
)
def test_a_mistake_is_logged_once_with_its_call_its_place_and_its_traceback(
    bot: Bot, culprit: str, log_lines: list[str]
) -> None:
    simulate(bot, Caller().say(PEOPLE).pause(8), info=info())
    errors = [line for line in log_lines if re.match(r"\S+ ERROR ", line)]
    assert len(errors) == 1, log_lines
    assert culprit in errors[0]
    assert info().call_id in errors[0]
    assert PLACE in errors[0].partition("\n")[0]
    text = "".join(log_lines)
    assert text.count("Traceback (most recent call last)") == 1
    assert text.count("no such table") <= 3, "the line, the traceback's source and its end"
    assert "ErrorFrame" not in text


def test_a_release_that_fails_each_time_it_is_given_a_call_is_logged_with_one_traceback(
    log_lines: list[str],
) -> None:
    async def bot(call: Call) -> None:
        fail()

    given = replace(info(), call_id=str(uuid.uuid4()))  # no call of a test before

    async def story() -> None:
        for _ in range(3):  # a gateway tries again to move a call to it
            link = RecordedLink(np.zeros(160, np.int16))
            session = Session(given, link, post=lambda _: None, resumed=ResumableState(messages=[], state={}))
            await session.run(bot)

    run_virtual(story)
    errors = [line for line in log_lines if re.match(r"\S+ ERROR ", line)]
    assert len(errors) == 3
    assert [error.count("Traceback (most recent call last)") for error in errors] == [1, 0, 0]
    assert all(PLACE in error.partition("\n")[0] for error in errors)


async def takes_nothing() -> None:
    """Take fewer arguments than it is given."""


TAKES_NOTHING = f"test_error_lines.py:{inspect.getsourcelines(takes_nothing)[1]}"


def test_a_function_that_takes_other_arguments_is_named_and_not_a_file_of_ours() -> None:
    async def bot(call: Call) -> None:
        schema = FunctionSchema("book", "Book.", {}, [], handler=cast(Any, takes_nothing))
        agent = VoiceAgent(instructions="Be brief.", call=call, tools=[schema], idle=False, filler=None)
        agent.on("answered", cast(Any, takes_nothing))
        model = ScriptedLLM(Replies(Tool("book"), FINE, otherwise=FINE))
        await agent.Action(stt=ScriptedSTT(["a table"]), llm=model, tts=ToneTTS())
        await agent.start()

    errors = {
        error.data["stage"]: error.data["message"]
        for error in simulate(bot, Caller().say(PEOPLE).pause(8)).of("error")
    }
    assert {"handler of answered", "book"} <= errors.keys()
    for message in (errors["handler of answered"], errors["book"]):
        assert message.startswith(f"TypeError at tests/session/{TAKES_NOTHING}: takes_nothing() takes 0")
