"""Regressions: what a caller who speaks does to a tool, and to the end of a call. The bots are of `test_tools.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.tool_runs import guard_tools
from piopiy_pipeline.testing import (
    Caller,
    Stalls,
    Tool,
)
from piopiy_pipeline.tools import end_call, tool
from tests.regressions.test_tools import ASKS, DONE, HELLO, ToolBot, cancelled
from tests.support.services import ScriptedLLM
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")


async def slow(params: Any) -> str:
    """Look."""
    await asyncio.sleep(20)
    return "slow"


@pytest.mark.parametrize("after", [0.3, 1.0, 2.0])
def test_a_barge_in_before_a_tool_leaves_no_tool_in_progress(after: float) -> None:
    bot = ToolBot(slow)
    caller = ASKS.interrupt(YES, after=after, text="hello?").pause(2).hangup()
    words = "One moment please, I am going to look for a table for you now."
    call = bot.called(caller, (words, Tool("slow")), "Yes?", otherwise="Yes?")
    assert "IN_PROGRESS" not in bot.results, call.timeline()
    assert texts(call, "bot")[-1] == "Yes?"


GOODBYE = "Goodbye then, and have a very nice day, all of you."


WAIT = Caller().say(PEOPLE, text="bye").interrupt(YES, after=1.0, text="wait, one more thing")


@pytest.mark.parametrize("options", [{}, {"goodbye": GOODBYE}])
def test_a_caller_who_goes_on_speaking_is_not_hung_up_on(options: dict[str, Any]) -> None:
    bot = ToolBot(end_call(**options))
    ends = (Tool("end_call"), GOODBYE)
    call = bot.called(WAIT.pause(3).say(YES, text="bye"), ends, "Yes, what is it?", ends)
    assert "Yes, what is it?" in texts(call, "bot"), call.timeline()
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert texts(call, "user") == ["bye", "wait, one more thing", "bye"]


def test_an_end_that_is_final_comes_whatever_the_caller_says() -> None:
    bot = ToolBot(end_call(final=True))
    call = bot.called(WAIT.pause(30), (Tool("end_call"), GOODBYE), otherwise="Yes, what is it?")
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert call.of("end")[0].at < 12
    assert "Yes, what is it?" not in texts(call, "bot"), call.timeline()


def test_behind_a_final_goodbye_no_turn_is_answered_and_no_tool_runs() -> None:
    bot = ToolBot(end_call(final=True), lasts)
    caller = WAIT.say(YES, text="and a table please").pause(30)
    call = bot.called(caller, (Tool("end_call"), GOODBYE), otherwise=(Tool("lasts"), DONE))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert [use.name for use in call.tools] == ["end_call"], call.timeline()
    assert DONE not in texts(call, "bot"), call.timeline()


def test_a_noise_while_the_goodbye_is_said_only_delays_the_end() -> None:
    bot = ToolBot(end_call())
    call = bot.called(
        Caller().say(PEOPLE, text="bye").interrupt(YES, after=1.0, text=" ").pause(30),
        (Tool("end_call"), GOODBYE),
        otherwise="Goodbye.",  # pipecat asks the model once more
    )
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert call.of("end")[0].at < 16, call.timeline()


async def lasts(params: Any) -> dict[str, Any]:
    """Book."""
    await asyncio.sleep(8)
    return {"booked": True}


async def is_cancelled(params: Any) -> None:
    """Look."""
    try:
        await asyncio.sleep(8)
    except asyncio.CancelledError:
        cancelled.append(params.function_name)
        raise


@pytest.mark.three_services("a result behind another answer is told a model of text in a note")
def test_a_question_while_a_tool_runs_is_answered_and_then_the_result() -> None:
    bot = ToolBot(lasts)
    call = bot.called(
        HELLO.pause(12).hangup(), ("One moment.", Tool("lasts")), "Yes, I am here.", otherwise=DONE
    )
    assert texts(call, "bot") == ["One moment.", "Yes, I am here.", DONE], call.timeline()
    assert [use.result for use in call.tools] == [{"booked": True}]
    final = [one for one in bot.messages if one["role"] == "developer"]
    assert "booked" in final[-1]["content"]


def test_a_tool_that_is_not_kept_is_cancelled_by_the_caller() -> None:
    cancelled.clear()
    bot = ToolBot(tool(keep_on_interruption=False)(is_cancelled))
    call = bot.called(HELLO.pause(8).hangup(), ("One moment.", Tool("is_cancelled")), otherwise="Yes?")
    assert texts(call, "bot") == ["One moment.", "Yes?"], call.timeline()
    assert cancelled == ["is_cancelled"]
    assert bot.results == ["CANCELLED"]


@pytest.mark.three_services("nobody calls")
def test_the_system_message_is_the_only_instruction_with_a_tool_that_is_kept() -> None:
    """pipecat would add to the service's own instruction, for which most services drop the message."""
    service = ScriptedLLM([])
    guard_tools(service)
    service.register_function("lasts", lasts, cancel_on_interruption=False)
    instruct: Any = service
    instruct._compose_system_instruction()
    assert instruct.settings.system_instruction is None


async def lasts_long(params: Any) -> str:
    """Look."""
    await asyncio.sleep(60)
    return "done"


def test_a_model_that_hangs_while_a_tool_runs_is_asked_once_more() -> None:
    bot = ToolBot(lasts_long, tool_timeout_secs=100, reply_timeout_secs=5)
    words = ("One moment.", Tool("lasts_long")), "Yes, I am here."
    call = bot.called(HELLO.pause(75).hangup(), *words, otherwise=DONE, faults={2: Stalls()})
    assert texts(call, "bot")[:2] == ["One moment.", "Yes, I am here."], call.timeline()
    asked, answered = call.of("user_turn")[1].at, call.of("bot_turn")[1].at
    assert answered - asked < 16, call.timeline()
    assert [use.result for use in call.tools] == ["done"]
