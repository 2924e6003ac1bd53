"""What careless tools and odd providers do, found by trying: the caller is answered, and the end names the culprit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pipecat.frames.frames import Frame, FunctionCallResultProperties

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.tool_deltas import ToolCallAssembler
from piopiy_pipeline.compat.tool_runs import speakable
from piopiy_pipeline.session import current_call
from piopiy_pipeline.signaling.json_messages import dump
from piopiy_pipeline.signaling.messages import Checkpoint
from piopiy_pipeline.testing import Caller, Providers, Replies, Tool, Transcripts, Voice, simulate
from piopiy_pipeline.tools import end_call, transfer_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_openai import FINE, openai_bot, play
from tests.regressions.test_interrupted_tools import GOODBYE
from tests.regressions.test_tool_streams import call as piece
from tests.regressions.test_tools import ASKS, DONE, FAILED, ToolBot
from tests.support.openai_server import Answer, endpoint
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, longest_silence_s, texts


class _Outside(BaseException):
    """An error that is no `Exception`, such as the outcomes of pytest."""


class _Textless(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


async def raises_no_exception(params: Any) -> None:
    """Book."""
    raise _Outside("no such day")


async def raises_without_text(params: Any) -> None:
    """Book."""
    raise _Textless


async def cancels_itself(params: Any) -> None:
    """Book."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@pytest.mark.parametrize("tool", [raises_no_exception, raises_without_text, cancels_itself])
def test_a_tool_that_ends_in_an_odd_way_has_failed(tool: Callable[..., Any]) -> None:
    bot = ToolBot(tool)
    call = bot.called(ASKS.pause(6).hangup(), (Tool(tool.__name__), DONE))
    assert texts(call, "bot") == [DONE], call.timeline()
    assert FAILED in bot.results[-1]
    [error] = call.of("error")
    assert error.data["stage"] == tool.__name__
    assert " at tests/regressions/test_odd_tools_and_providers.py:" in error.data["message"]


# ------------------------------------------------------------------ the end of the call

HAND_OVER = Tool("transfer_call", to="sales", summary="wants an offer")


@pytest.mark.parametrize("tools", [(HAND_OVER, Tool("end_call")), (Tool("end_call"), HAND_OVER)])
@pytest.mark.parametrize("warm", [True, False])
def test_a_transfer_that_is_asked_for_with_the_end_is_not_cut_off(
    tools: tuple[Tool, Tool], warm: bool
) -> None:
    bot = ToolBot(transfer_call(destinations={"sales": "+4930"}, warm=warm), end_call())
    providers = Providers(stt=Transcripts(), llm=Replies((*tools, "One moment.")), tts=Voice())
    call = simulate(bot, ASKS.pause(30), providers=providers, transfers={"+4930": ("bridged", 6)})
    call.assert_transferred(to="+4930")
    call.assert_ended(EndReason.TRANSFERRED)


@pytest.mark.parametrize("warm", [True, False])
def test_a_transfer_that_cannot_be_asked_for_is_refused_at_once_and_calls_no_end_off(warm: bool) -> None:
    refused: list[float] = []

    async def hang_up_and_transfer(params: Any) -> None:
        """End."""
        call, loop = current_call.get(), asyncio.get_running_loop()
        assert call is not None
        await call.hangup(final=False)
        began = loop.time()
        with pytest.raises(ValueError, match="transfer to whom"):
            await call.transfer(" ", warm=warm)
        refused.append(loop.time() - began)

    bot = ToolBot(hang_up_and_transfer)
    call = bot.called(ASKS.pause(30), (Tool("hang_up_and_transfer"), GOODBYE))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert refused == [0.0]


@pytest.mark.parametrize("heard", [".", "...", "👍"])
def test_a_transcript_without_a_word_does_not_call_the_end_off(heard: str) -> None:
    bot = ToolBot(end_call())
    caller = Caller().say(PEOPLE, text="bye").interrupt(YES, after=1.0, text=heard).pause(30)
    call = bot.called(caller, (Tool("end_call"), GOODBYE), otherwise="Goodbye.")
    call.assert_ended(EndReason.AGENT_HANGUP)


@pytest.mark.parametrize("goodbye", [None, GOODBYE])
@pytest.mark.parametrize("tells_how_far", [False, True])
def test_a_tool_beside_the_end_runs_to_its_result(goodbye: str | None, tells_how_far: bool) -> None:
    booked: list[str] = []

    async def book(params: Any) -> str:
        """Book."""
        if tells_how_far:
            part = FunctionCallResultProperties(is_final=False, run_llm=False)
            await params.result_callback({"part": 1}, properties=part)
        await asyncio.sleep(8)
        booked.append("a table")
        return "booked"

    bot = ToolBot(book, end_call(goodbye=goodbye))
    call = bot.called(ASKS.pause(40), (Tool("book"), Tool("end_call"), GOODBYE))
    assert booked == ["a table"], call.timeline()
    assert GOODBYE in texts(call, "bot")
    call.assert_ended(EndReason.AGENT_HANGUP)


# ------------------------------------------------------------------ what providers send and take


@pytest.mark.realtime
def test_the_content_of_a_delta_may_be_typed_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "They want a table."}]},
        {"type": "text", "text": "A table "},
        {"type": "text", "text": "for two."},
    ]
    answers = {
        "parts": Answer("deltas", deltas=[{"content": [part]} for part in parts]),
        "object": Answer("deltas", deltas=[{"content": {"type": "text", "text": FINE.text}}]),
        "number": Answer("deltas", deltas=[{"content": 2}, {"content": f" people? {FINE.text}"}]),
    }

    async def scenario() -> None:
        async with AsyncExitStack() as servers:
            bots = {
                name: openai_bot(await servers.enter_async_context(endpoint(answer, FINE)))
                for name, answer in answers.items()
            }
            for name, case in (await play(bots)).items():
                assert case.log.reason is EndReason.AGENT_HANGUP, name
                assert not case.errors, name
                assert " ".join(case.said) == f"{'two people? ' * (name == 'number')}{FINE.text}", name
                written = f"{'2 people? ' * (name == 'number')}{FINE.text}"
                assert case.log.texts("bot") == [written], "the conversation holds what the model wrote"

    asyncio.run(scenario())


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_what_is_no_number_in_json_is_sent_to_nobody() -> None:
    nan = float("nan")
    assert speakable({"price": nan}) == {"price": "NaN"}
    texts_sent = [
        dump(Checkpoint(call_id="c", state={"price": nan, "name": name})) for name in ("Ann", "\ud83d")
    ]
    assembler = ToolCallAssembler(["book"])
    delta = piece(0, "book", '{"people": NaN}', "a")
    assembler.add(_Attributes(delta | {"function": _Attributes(delta["function"])}))
    [call] = assembler.calls()
    for text in (*texts_sent, json.dumps(call.arguments)):
        json.loads(text, parse_constant=_refuse)


class _Attributes:
    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ = values


def test_a_greeting_may_hold_any_text() -> None:
    bot = ToolBot(greeting="Hello \ud83d Ann.")
    call = bot.called(ASKS.pause(3).hangup(), DONE)
    assert texts(call, "bot") == ["Hello \ufffd Ann.", DONE]
    call.assert_no_error()


@pytest.mark.parametrize("name", ["greeting", "error_line"])
def test_what_cannot_be_said_is_refused_before_the_call_is_answered(name: str) -> None:
    options: dict[str, Any] = {name: 5}
    call = ToolBot(**options).called(ASKS, DONE)
    call.assert_ended(EndReason.ERROR)
    assert f"{name} must be a text" in call.end_detail
    assert not texts(call, "user")


def test_a_tool_that_has_something_else_said_is_told_what_is_wrong() -> None:
    async def says_a_number(params: Any) -> str:
        """Say."""
        call = current_call.get()
        assert call is not None
        await call.say(5)  # type: ignore[arg-type]
        return "said"

    call = ToolBot(says_a_number).called(ASKS.pause(3).hangup(), (Tool("says_a_number"), DONE))
    [error] = call.of("error")
    assert "only a text can be said, not 5" in error.data["message"]


class _HangingTTS(ToneTTS):
    """Says one sentence, and nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self._sentences = 0

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self._sentences += 1
        if self._sentences > 1:
            await asyncio.Event().wait()
        async for frame in super().run_tts(text, context_id):
            yield frame


def test_a_voice_that_hangs_in_the_middle_of_an_answer_is_named() -> None:
    async def create_session(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.")
        await agent.Action(
            stt=ScriptedSTT(["hello"]), llm=ScriptedLLM(["One is said. Two is not."]), tts=_HangingTTS()
        )
        await agent.start()

    call = simulate(create_session, ASKS.pause(60))
    call.assert_ended(EndReason.ERROR)
    assert {error.data["stage"] for error in call.of("error")} == {"tts"}
    assert longest_silence_s(call) < 12
