"""Timers and callbacks of a call's code end with the call, in both event loops."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Callable

import pytest
from loguru import logger

from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks

Begin = Callable[[Callable[[], None]], None]


def chain_of_turns(fires: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def again() -> None:
        fires()
        loop.call_soon(again)

    again()


def chain_from_threads(fires: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def again() -> None:
        fires()
        loop.call_soon_threadsafe(again)

    again()


def chain_of_timers(fires: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def again() -> None:
        fires()
        loop.call_later(0.001, again)

    again()


def timer(fires: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + 3600, fires)


async def until(reached: Callable[[], bool]) -> None:
    """Wait for as long as it takes: on a machine that is busy, timers are late."""
    while not reached():  # noqa: ASYNC110  an event would be set by what is tested
        await asyncio.sleep(0)


@pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])
@pytest.mark.parametrize("begin", [chain_of_turns, chain_from_threads, chain_of_timers, timer])
def test_what_a_call_has_asked_the_loop_for_is_cancelled_at_its_end_and_named(
    begin: Begin, loop_of: str
) -> None:
    lines: list[str] = []
    fired = 0

    def fires() -> None:
        nonlocal fired
        fired += 1

    async def story() -> None:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        ended, other = CallTasks("ended"), CallTasks("other")
        beside = contextvars.copy_context()
        beside.run(current_tasks.set, other)
        others = 0

        def other_fires() -> None:
            nonlocal others
            others += 1

        async def of_the_other() -> None:
            chain_of_timers(other_fires)

        async def of_the_call() -> None:
            begin(fires)

        context = contextvars.copy_context()
        context.run(current_tasks.set, ended)
        await loop.create_task(of_the_other(), context=beside)
        await loop.create_task(of_the_call(), context=context)
        await until(lambda: fired >= 3 or begin is timer)
        await ended.timers.clear()
        before, others_before = fired, others
        await until(lambda: others >= others_before + 10)  # another call's go on
        assert fired == before
        assert "call_soon" not in vars(loop), "and nobody looks any more"

    sink = logger.add(lambda message: lines.append(message.record["message"]))
    try:
        with asyncio.Runner(loop_factory=pytest.importorskip(loop_of).new_event_loop) as runner:
            runner.run(story())
    finally:
        logger.remove(sink)
    [line] = lines
    # The one that has just fired may count, too, where the loop's clock stands still.
    left = r"the call has left [12] timer\(s\) or callback\(s\) of the event loop behind: cancelled: "
    assert re.match(left, line), line
    assert "made at tests/session/test_call_timers.py:" in line
    assert f"in {begin.__name__}" in line


def test_a_call_that_has_left_none_says_nothing() -> None:
    lines: list[str] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        tasks = CallTasks("a")
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)

        async def of_the_call() -> None:
            for _ in range(300):
                loop.call_later(0, lines.append, "fired")
            loop.call_later(60, lines.append, "never").cancel()

        await loop.create_task(of_the_call(), context=context)
        await until(lambda: len(lines) == 300)
        await tasks.timers.clear()

    sink = logger.add(lambda message: lines.append(message.record["message"]))
    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert lines == ["fired"] * 300
