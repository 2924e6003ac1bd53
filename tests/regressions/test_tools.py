"""Tools as authors write them and as models use them: nobody hears silence, and nothing is answered twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.tool_runs import COMPLETED
from piopiy_pipeline.session import StreamLimits
from piopiy_pipeline.testing import (
    Caller,
    CallStuck,
    Providers,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts

pytestmark = pytest.mark.usefixtures("either_bot")

ASKS = Caller().say(PEOPLE, text="a table please")
DONE = "It is done."
HELLO = ASKS.until("One moment.").pause(1).say(YES, text="hello, are you there?")


class ToolBot:
    """A bot with these tools. `results` is what its model was told of them, each time that it was asked."""

    def __init__(self, *tools: Any, schema: ToolsSchema | None = None, **options: Any) -> None:
        self._tools = schema or list(tools)
        self._options = options
        self.messages: list[Any] = []

    async def __call__(self, call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", tools=self._tools, **self._options)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        assert agent.context is not None
        self.messages = agent.context.get_messages()
        await agent.start()

    def called(self, caller: Caller, *replies: Any, **options: Any) -> SimulatedCall:
        providers = Providers(stt=Transcripts(), llm=Replies(*replies, **options), tts=Voice())
        return simulate(self, caller, providers=providers)

    @property
    def results(self) -> list[Any]:
        """What stands in the conversation as the results of tools."""
        return [one["content"] for one in self.messages if one["role"] == "tool"]


async def returns_a_value(params: Any) -> dict[str, Any]:
    """Book."""
    return {"booked": True}


async def reports_and_returns(params: Any) -> dict[str, Any]:
    """Book."""
    await params.result_callback({"booked": True})
    return {"ignored": True}


async def returns_nothing(params: Any) -> None:
    """Book."""


async def reports_nothing(params: Any) -> None:
    """Book."""
    await params.result_callback(None)


async def finds_nothing(params: Any) -> list[Any]:
    """Book."""
    return []


async def is_no_json(params: Any) -> dict[str, Any]:
    """Book."""
    return {"on": date(2026, 12, 1), "tables": {1}}


async def has_odd_keys(params: Any) -> dict[Any, Any]:
    """Book."""
    return {(1, 2): "x"}


async def raises(params: Any) -> None:
    """Book."""
    raise LookupError("no such day")


async def exits(params: Any) -> None:
    """Book."""
    raise SystemExit(1)


async def is_cancelled_inside(params: Any) -> None:
    """Book."""
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def reports_later(params: Any) -> None:
    """Book."""
    later.append(asyncio.create_task(_later(params)))


later: list[Any] = []


async def _later(params: Any) -> None:
    await asyncio.sleep(2)
    await params.result_callback({"booked": "later"})


FAILED = "failed and returned no result"


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (returns_a_value, '{"booked": true}'),
        (reports_and_returns, '{"booked": true}'),
        (returns_nothing, f'"{COMPLETED}"'),
        (reports_nothing, f'"{COMPLETED}"'),
        (finds_nothing, '{"result": []}'),
        (is_no_json, '"2026-12-01"'),
        (has_odd_keys, "(1, 2)"),
        (raises, FAILED),
        (exits, FAILED),
        (is_cancelled_inside, FAILED),
        (reports_later, '{"booked": "later"}'),
    ],
)
def test_whatever_a_tool_does_the_model_is_told_and_answers_once(tool: Callable[..., Any], told: str) -> None:
    bot = ToolBot(tool)
    call = bot.called(ASKS.pause(6).hangup(), (Tool(tool.__name__), DONE))
    assert texts(call, "bot") == [DONE], call.timeline()
    assert told in bot.results[-1]
    call.assert_ended(EndReason.CALLER_HANGUP)


async def never_returns(params: Any) -> None:
    """Book."""
    await asyncio.Event().wait()


async def swallows_its_cancellation(params: Any) -> None:
    """Book."""
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            continue


async def says_that_it_will_report(params: Any) -> None:
    """Book."""
    kept.append(params)


kept: list[Any] = []


@pytest.mark.parametrize("tool", [never_returns, swallows_its_cancellation, says_that_it_will_report])
def test_a_tool_that_never_returns_is_given_up_at_its_deadline(tool: Callable[..., Any]) -> None:
    bot = ToolBot(tool)
    call = bot.called(ASKS.pause(40).hangup(), (Tool(tool.__name__), DONE))
    assert texts(call, "bot") == [DONE], call.timeline()
    assert json.loads(bot.results[-1])["error"].startswith(
        f"The tool {tool.__name__} did not return within 30 s."
    )
    [error] = call.of("error")
    assert tool.__name__ in error.data["message"], "the record names the tool"


def test_a_quick_and_a_slow_tool_are_answered_once() -> None:
    async def quick(params: Any) -> str:
        """Look."""
        return "quick"

    async def slow(params: Any) -> str:
        """Look."""
        await asyncio.sleep(3)
        return "slow"

    for tools in (
        (Tool("quick"), Tool("slow")),
        (Tool("slow"), Tool("quick")),
        (Tool("nobody"), Tool("slow")),
    ):
        bot = ToolBot(quick, slow)
        call = bot.called(ASKS.pause(8).hangup(), (*tools, DONE))
        assert texts(call, "bot") == [DONE], call.timeline()
        assert '"slow"' in bot.results


def test_a_tool_that_fails_beside_a_slow_one_is_answered_with_it() -> None:
    async def slow(params: Any) -> str:
        """Look."""
        await asyncio.sleep(3)
        return "slow"

    bot = ToolBot(raises, slow)
    call = bot.called(ASKS.pause(8).hangup(), (Tool("raises"), Tool("slow"), DONE))
    assert texts(call, "bot") == [DONE], call.timeline()


def errors(call: SimulatedCall) -> list[str]:
    return [error.data["message"] for error in call.of("error")]


async def reports_twice(params: Any) -> None:
    """Book."""
    await params.result_callback({"booked": True})
    await params.result_callback({"booked": "twice"})


async def drops_its_callback(params: Any) -> None:
    """Book."""
    asyncio.get_running_loop().call_later(1, lambda _: None, params)


async def reports_and_works_on(params: Any) -> None:
    """Book."""
    await params.result_callback({"booked": True})
    await asyncio.Event().wait()


async def reports_too_late(params: Any) -> None:
    """Book."""
    kept.append(params.result_callback)
    later.append(asyncio.create_task(_after_its_deadline(params)))


async def _after_its_deadline(params: Any) -> None:
    await asyncio.sleep(6)
    await params.result_callback({"booked": "late"})


async def returns_too_late(params: Any) -> dict[str, Any]:
    """Book."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(3)
    return {"booked": "late"}


NO_RESULT = "has given no result"
LATE = "went on when it was cancelled, and its result came too late to count"


@pytest.mark.parametrize(
    ("tool", "told", "named"),
    [
        (returns_nothing, f'"{COMPLETED}"', NO_RESULT),
        (drops_its_callback, f'"{COMPLETED}"', NO_RESULT),
        (reports_twice, '{"booked": true}', "has called result_callback twice"),
        (reports_and_works_on, '{"booked": true}', "has given its result and not returned within 3 s"),
        (reports_too_late, "did not return within 3 s", LATE),
        (returns_too_late, "did not return within 3 s", LATE),
    ],
)
def test_what_a_tools_author_cannot_have_meant_is_named_on_the_record_once(
    tool: Callable[..., Any], told: str, named: str
) -> None:
    bot = ToolBot(tool, tool_timeout_secs=3)
    uses = [(Tool(tool.__name__), DONE)] * 2
    call = bot.called(ASKS.pause(10).say(PEOPLE, text="another table").pause(10).hangup(), *uses)
    assert texts(call, "bot") == [DONE, DONE], call.timeline()
    assert [told in one for one in bot.results] == [True, True], bot.results
    assert [f"The tool {tool.__name__} {named}" in one for one in errors(call)].count(True) == 1, errors(call)
    call.assert_ended(EndReason.CALLER_HANGUP)


async def meant_to_report_nothing(params: Any) -> None:
    """Book."""
    await params.result_callback(None)


async def says_how_far_it_is(params: Any) -> dict[str, Any]:
    """Book."""
    for part in (1, 2):
        await params.result_callback({"part": part}, properties=FunctionCallResultProperties(is_final=False))
    return {"booked": True}


@pytest.mark.parametrize(
    "tool", [meant_to_report_nothing, says_how_far_it_is, reports_and_returns, reports_later]
)
def test_a_tool_that_reports_as_it_should_is_no_error(tool: Callable[..., Any]) -> None:
    bot = ToolBot(tool)
    call = bot.called(ASKS.pause(10).hangup(), (Tool(tool.__name__), DONE), otherwise=DONE)
    assert errors(call) == []


def test_a_result_behind_an_interruptions_cancellation_does_not_count() -> None:
    bot = ToolBot(tool(keep_on_interruption=False)(returns_too_late))
    call = bot.called(HELLO.pause(8).hangup(), ("One moment.", Tool("returns_too_late")), otherwise="Yes?")
    assert bot.results == ["CANCELLED"]
    assert errors(call) == [f"The tool returns_too_late {LATE}."]


# ---------------------------------------------------------------------- bounds


cancelled: list[str] = []


def test_a_timeout_is_a_tools_own_or_that_of_all() -> None:
    @tool(timeout=3)
    async def never_returns(params: Any) -> None:
        """Book."""
        await asyncio.Event().wait()

    bot = ToolBot(never_returns)
    call = bot.called(ASKS.pause(15).hangup(), (Tool("never_returns"), DONE))
    assert "within 3 s" in bot.results[-1]
    bot = ToolBot(swallows_its_cancellation, tool_timeout_secs=5)
    call = bot.called(ASKS.pause(15).hangup(), (Tool("swallows_its_cancellation"), DONE))
    assert "within 5 s" in bot.results[-1]
    call.assert_ended(EndReason.CALLER_HANGUP)


def test_the_end_names_the_tool_that_had_not_returned() -> None:
    @tool(timeout=500)
    async def never_returns(params: Any) -> None:
        """Book."""
        await asyncio.Event().wait()

    bot = ToolBot(never_returns, idle_timeout_secs=20)
    with pytest.raises(CallStuck) as stuck:
        bot.called(ASKS.pause(100), (Tool("never_returns"), DONE))
    assert "idle_timeout (nobody spoke for 20 s, and the tool never_returns had not returned)" in str(
        stuck.value
    )


def test_functions_in_a_tools_schema_have_their_handlers() -> None:
    bot = ToolBot(schema=ToolsSchema(standard_tools=[returns_a_value]))
    call = bot.called(ASKS.pause(5).hangup(), (Tool("returns_a_value"), DONE))
    assert bot.results == ['{"booked": true}'], call.timeline()


def test_many_tools_in_one_answer_and_one_more_behind_them_are_no_endless_chain() -> None:
    bot = ToolBot(returns_a_value)
    answers: list[Any] = [(Tool("returns_a_value"),) * 30, (Tool("returns_a_value"),)]
    call = bot.called(ASKS.pause(10), lambda _: answers.pop(0) if answers else "All is done.")
    assert len(bot.results) == 31
    call.assert_said("All is done.")
    call.assert_no_error()


def test_a_model_that_calls_tools_without_an_end_is_a_failing_one() -> None:
    bot = ToolBot(returns_a_value)
    call = bot.called(ASKS.pause(60), lambda _: Tool("returns_a_value"))
    call.assert_ended(EndReason.ERROR)
    assert "25 tool calls in a row" in call.of("end")[0].data["detail"]


@pytest.mark.parametrize("limits", [StreamLimits(tools_an_answer=3), StreamLimits(tools_a_call=3)])
def test_more_tools_than_a_model_may_use_are_refused_and_the_model_is_told(limits: StreamLimits) -> None:
    ran: list[object] = []

    async def counts(params: Any) -> str:
        """Count."""
        ran.append(params)
        return "counted"

    bot = ToolBot(counts, limits=limits)
    call = bot.called(ASKS.until(DONE).hangup(), (*[Tool("counts")] * 10, DONE))
    assert len(ran) == 3, call.timeline()
    assert sum("did not run: more than 3 tools in one" in str(result) for result in bot.results) == 7
    [stage] = {
        event.data["stage"] for event in call.of("error") if "more than 3 tools" in event.data["message"]
    }
    assert stage == "llm"
    call.assert_ended(EndReason.CALLER_HANGUP)
