"""What a test asserts within its bot is the test's: `simulate` raises it again, wherever in the bot it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.frames.frames import Frame, LLMFullResponseEndFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerLine, simulate, simulate_many
from tests.support.bots import ask, hang_up_when_answered, voice

STANDS = "four people, and no more"


async def in_the_callback(call: Call) -> None:
    raise AssertionError(STANDS)


async def behind_the_call(call: Call) -> None:
    agent = await voice(call)
    hang_up_when_answered(agent)
    await agent.start()
    raise AssertionError(STANDS)


async def in_a_handler(call: Call) -> None:
    agent = await voice(call)

    async def wrong(_: object) -> None:
        raise AssertionError(STANDS)

    agent.on("answered", wrong)
    hang_up_when_answered(agent)
    await agent.start()


async def in_a_tool(call: Call) -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        raise AssertionError(STANDS)

    agent = await voice(call, replies=[("book", {}), "It is booked."], tools=[book])
    ask(agent)
    await agent.start()


class Asserts(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        assert not isinstance(frame, LLMFullResponseEndFrame), STANDS
        await self.push_frame(frame, direction)


async def in_a_stage(call: Call) -> None:
    agent = await voice(call, replies=["Hello."], extra=Asserts())
    ask(agent)
    await agent.start()


async def in_a_group_of_tasks(call: Call) -> None:
    async def wrong() -> None:
        raise AssertionError(STANDS)

    async with asyncio.TaskGroup() as group:
        group.create_task(wrong())


@pytest.mark.parametrize(
    "bot", [in_the_callback, behind_the_call, in_a_handler, in_a_tool, in_a_stage, in_a_group_of_tasks]
)
def test_an_assertion_that_fails_in_the_bot_fails_the_test(bot: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match=STANDS) as failed:
        simulate(bot, Caller())
    [note] = failed.value.__notes__
    assert "seed 0, ended with " in note, "the call is shown"


def test_an_assertion_that_fails_in_one_of_many_calls_fails_the_test() -> None:
    seen: list[Call] = []

    async def bot(call: Call) -> None:
        seen.append(call)
        await (in_a_handler if len(seen) == 2 else behind_the_others)(call)

    async def behind_the_others(call: Call) -> None:
        agent = await voice(call)
        hang_up_when_answered(agent)
        await agent.start()

    with pytest.raises(AssertionError, match=STANDS) as failed:
        simulate_many(bot, [Caller(), Caller(), Caller()])
    assert failed.value.call.seed == 1  # type: ignore[attr-defined]
    assert [call.seed for call in failed.value.other_calls] == [0, 2]  # type: ignore[attr-defined]


async def says_wrong(line: CallerLine) -> None:
    await line.pause(5)
    raise AssertionError(STANDS)


@pytest.mark.parametrize("fails", [Caller().until("never said", timeout_s=5), says_wrong])
@pytest.mark.parametrize("clock", ["virtual", pytest.param("real", marks=pytest.mark.realtime)])
def test_a_caller_who_fails_leaves_the_other_calls_as_far_as_they_came(fails: Any, clock: Any) -> None:
    async def bot(call: Call) -> None:
        await (await voice(call)).start()

    with pytest.raises(AssertionError) as failed:
        simulate_many(bot, [Caller().hangup(), fails, Caller().pause(60)], clock=clock)
    error: Any = failed.value
    assert [call.seed for call in [*error.other_calls, error.call]] == [0, 2, 1]
    under_way = error.other_calls[1]
    assert under_way.end_detail == "the simulation has ended before the call"
    assert under_way.of("end")
    assert under_way.duration_s == pytest.approx(error.call.duration_s, abs=0.5)


def test_other_errors_of_a_bot_end_its_call_as_a_real_one() -> None:
    async def bot(call: Call) -> None:
        raise RuntimeError(STANDS)

    assert simulate(bot, Caller()).end_reason is EndReason.ERROR
