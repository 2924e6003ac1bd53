"""Code that blocks the event loop is named in simulation, replay and chat, as it is on a real call."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.cli.chatting.bot_chat import BotChat
from piopiy_pipeline.session import Call, CallError
from piopiy_pipeline.testing import Caller, simulate, simulate_many
from piopiy_pipeline.testing.replaying.replay import replay
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.testing.virtual_time.wall_limit import BLOCKED_S
from tests.support.bots import ask, hang_up_when_answered, voice
from tests.support.log_lines import log_lines

__all__ = ["log_lines"]

SLEEPING_BOT = """
import time
from tests.support.bots import hang_up_when_answered, voice

async def create_session(call):
    agent = await voice(call)

    async def looks_up(_):
        time.sleep(3)

    agent.on("answered", looks_up)
    hang_up_when_answered(agent)
    await agent.start()
"""


async def sleeps_in_a_tool(call: Call) -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        time.sleep(3)  # noqa: ASYNC251  that is the point
        await params.result_callback("booked")

    agent = await voice(call, replies=[("book", {}), "It is booked."], tools=[book])
    ask(agent)
    await agent.start()


async def says_when_it_was_blocked(call: Call) -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        time.sleep(3)  # noqa: ASYNC251
        await params.result_callback("booked")

    async def apologise(error: CallError) -> None:
        if error.stage == "event loop":
            await agent.say("Sorry, that took long.")

    agent = await voice(call, replies=[("book", {}), "It is booked."], tools=[book])
    agent.on("error", apologise)
    ask(agent)
    await agent.start()


def blocked(call: Any) -> list[str]:
    """Return what is said of the event loop."""
    return [event.data["message"] for event in call.of("error") if event.data["stage"] == "event loop"]


@pytest.mark.parametrize("by", ["voice", "text"])
def test_a_tool_that_sleeps_without_an_await_is_named(by: Any) -> None:
    call = simulate(sleeps_in_a_tool, Caller().pause(8), by=by)
    [message] = blocked(call)
    assert message.startswith("blocked for 3.0 s at tests/testing/test_blocked_loop.py:")
    assert "in sleeps_in_a_tool.<locals>.book: what takes time belongs in a thread" in message
    with pytest.raises(AssertionError, match=r"of event loop: blocked for 3\.0 s"):
        call.assert_no_error()
    assert "the event loop is blocked for 3.0 s at tests/testing/" in call.timeline()


def test_of_many_calls_only_the_one_whose_code_sleeps_is_told_of_it() -> None:
    seen: list[Call] = []

    async def bot(call: Call) -> None:
        seen.append(call)
        agent = await voice(call)
        if len(seen) == 2:
            time.sleep(1)  # noqa: ASYNC251
        hang_up_when_answered(agent)
        await agent.start()

    calls = simulate_many(bot, [Caller(), Caller(), Caller()])
    assert [len(blocked(call)) for call in calls] == [0, 1, 0]


def test_a_short_sleep_is_nothing_to_tell_of() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call)
        time.sleep(0.2)  # noqa: ASYNC251
        hang_up_when_answered(agent)
        await agent.start()

    assert not blocked(simulate(bot, Caller()))


def test_what_computes_for_long_is_logged_with_its_place(log_lines: list[str]) -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call)
        until = time.thread_time() + BLOCKED_S + 1  # which is real
        while time.thread_time() < until:
            sum(range(10_000))
        hang_up_when_answered(agent)
        await agent.start()

    call = simulate(bot, Caller())
    [line] = [line for line in log_lines if "the event loop has been blocked for" in line]
    assert "of real time at tests/testing/test_blocked_loop.py:" in line
    assert not blocked(call), "the same seed gives the same events, on a slow machine, too"


def test_a_bot_that_acts_on_a_blocked_loop_does_the_same_in_a_replay(tmp_path: Path) -> None:
    file = tmp_path / "call.zip"
    call = simulate(says_when_it_was_blocked, Caller().pause(12), record=file)
    call.assert_said("Sorry, that took long.")
    again = replay(file, says_when_it_was_blocked)
    again.assert_same()
    blocked = [
        [event.data for event in each.events if event.kind == "error"]
        for each in (again.recorded, again.replayed)
    ]
    assert blocked[0] == blocked[1]
    assert [data["stage"] for data in blocked[1]] == ["event loop"]


def test_a_chat_is_told_of_it(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(SLEEPING_BOT)
    events: list[tuple[str, dict[str, Any]]] = []

    async def story() -> None:
        peer = BotChat(
            bot,
            metadata=None,
            on_words=lambda _: None,
            on_message=lambda _: None,
            on_event=lambda name, data: events.append((name, data)),
        )
        await asyncio.wait_for(peer.run(), 60)

    run_virtual(story)
    [told] = [data for name, data in events if name == "error"]
    assert told["stage"] == "event loop"
    assert told["message"].startswith(f"blocked for 3.0 s at {bot}:9 in create_session.<locals>.looks_up: ")
