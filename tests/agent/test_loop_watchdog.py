"""A real thread that watches a real event loop, at a real gateway: what it says of code that blocks.

They run against the clock of the wall, because the thread has no other.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import re
import time
from typing import Any

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.agent.loop_watchdog import LoopWatchdog, WatchedInstance
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.log import DEVELOPMENT
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks
from tests.support.agents import logged
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, CallLog, eventually, house

pytestmark = pytest.mark.realtime
OURS = re.compile(r"tests/agent/test_loop_watchdog\.py:\d+ in test_code_that_blocks\w+\.<locals>\.block")


@pytest.mark.parametrize(("development", "level"), [(False, "WARNING"), (True, "ERROR")])
def test_code_that_blocks_is_named_in_the_log_to_the_author_and_to_whoever_watches(
    development: bool, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if development:
        monkeypatch.setenv(DEVELOPMENT, "1")
    errors: list[tuple[str, str]] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting=LONG)
        agent.on("error", lambda error: errors.append((error.stage, error.message)))
        agent.on("answered", block)
        await agent.start()

    async def block(_: object) -> None:
        await asyncio.sleep(0.2)
        time.sleep(0.5)  # noqa: ASYNC251  that is what it is about

    async def story() -> None:
        with logged() as lines:
            async with house(bot) as place:
                log = CallLog(16000)
                calling = asyncio.create_task(place.call(log=log, hangup_after_s=2))
                await eventually(lambda: errors, 20)
                assert place.agent.stalls
                assert place.gateway.switchboard.instances.of(AGENT_ID)
                await calling
                assert log.reason is EndReason.CALLER_HANGUP
        assert {stage for stage, _ in errors} == {"event loop"}
        assert any(OURS.search(message) for _, message in errors)
        assert {data["stage"] for data in log.of("error")} == {"event loop"}
        # A machine that is busy with other tests may keep the loop for as long elsewhere.
        [(call_id, line)] = [one for one in lines if "has not turned for" in one[1] and OURS.search(one[1])]
        assert call_id is not None
        assert line.startswith(f"{level} the event loop has not turned for 0.")
        assert ": this call is at tests/agent/test_loop_watchdog.py:" in line

    asyncio.run(story())


def test_a_call_that_makes_each_turn_slow_is_named_once_with_its_tasks() -> None:
    errors: list[str] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting=LONG)
        agent.on("error", lambda error: errors.append(error.message))
        agent.on("answered", slow_down)
        await agent.start()

    async def slow_down(_: object) -> None:
        waiting = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(1000)]
        for _ in range(14):
            time.sleep(0.35)  # noqa: ASYNC251  no turn is as long as a blocked loop's
            await asyncio.sleep(0)
        for each in waiting:
            each.cancel()

    async def story() -> None:
        with logged() as lines:
            async with house(bot) as place:
                log = CallLog(16000)
                calling = asyncio.create_task(place.call(log=log, hangup_after_s=20))
                await eventually(lambda: any("tasks)" in error for error in errors), 20)
                calling.cancel()
        slow = [one for one in lines if "the event loop has turned too slowly for" in one[1]]
        # On a busy machine, time is deducted in which others had the processor, and one stretch may be told as two.
        [(call_id, line)] = [one for one in slow if "tasks)" in one[1]]
        assert call_id is not None
        assert re.search(
            r"this call is at tests/agent/test_loop_watchdog\.py:\d+ in \S+slow_down \(1,0\d\d tasks\)", line
        )
        [error] = [error for error in errors if "tasks)" in error]
        assert re.match(r"blocked for [3-9]\.\d s at tests/agent/test_loop_watchdog\.py", error), error

    asyncio.run(story())


def lonely_watchdog() -> LoopWatchdog:
    """Watch this loop, without an agent."""
    return LoopWatchdog(
        WatchedInstance("desk", "desk-1", lambda: GatewayAddress("ws://127.0.0.1:9"), "token"),
        limit_s=10,
        calls=lambda: 1,
        activity=lambda: 0,
        gateway_listens=lambda: False,
        on_turned=lambda code, blocked_s: None,
    )


def test_code_that_blocks_and_takes_much_memory_is_named_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr(
        "piopiy_pipeline.agent.loop_watchdog.anonymous_mb", lambda _: 100.0 + 1500.0 * next(looks)
    )

    async def story() -> None:
        with logged() as lines:
            watchdog = lonely_watchdog()
            await asyncio.sleep(0.3)
            time.sleep(2.5)  # noqa: ASYNC251  that is what it is about
            watchdog.close()
        [line] = [line for _, line in lines if "has been blocked for" in line]
        assert re.search(
            r" in \S+story \([1-9],\d00 MB more of memory since\): all calls of this process", line
        ), line

    asyncio.run(story())


def test_a_place_that_nobody_can_do_anything_about_is_no_warning() -> None:
    async def story() -> None:
        with logged() as lines:
            watchdog = lonely_watchdog()
            await asyncio.sleep(0.3)
            asyncio.get_running_loop().call_soon(time.sleep, 0.7)
            await asyncio.sleep(0.1)
            watchdog.close()
        unknown = [line for _, line in lines if "code of no call that is known is at a place" in line]
        assert unknown
        assert all(line.startswith("DEBUG") for line in unknown)

    asyncio.run(story())


def test_a_call_whose_many_tasks_leave_no_rest_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # It is time of a processor, of which a busy machine gives little.
    monkeypatch.setattr("piopiy_pipeline.agent.loop_watchdog.RESTLESS_S", 1.5)

    async def spin() -> None:
        while True:  # noqa: ASYNC110  as careless authors do
            await asyncio.sleep(0)

    async def begin() -> None:
        for _ in range(3000):
            asyncio.create_task(spin())  # noqa: RUF006  they end with the loop

    async def story() -> None:
        track_tasks(asyncio.get_running_loop())
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks := CallTasks("call-1"))
        watchdog = lonely_watchdog()
        await asyncio.get_running_loop().create_task(begin(), context=context)
        with logged() as lines:
            await eventually(lambda: any("has had no rest" in line for _, line in lines), 60)
            await asyncio.sleep(0.5)
            watchdog.close()
        [(call_id, line)] = [one for one in lines if "has had no rest" in one[1]]
        assert call_id == tasks.name
        assert re.search(r"takes a processor at \S+:\d+ in \S+ \(3,00\d tasks\)", line), line

    asyncio.run(story())


def test_a_call_that_computes_in_a_thread_is_not_to_blame() -> None:
    """Its thread keeps Python's lock most of the time, and each turn of the loop has to wait for it."""

    def compute() -> None:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            sum(range(1000))

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting=LONG)
        agent.on("answered", lambda _: asyncio.to_thread(compute))
        await agent.start()

    async def story() -> None:
        with logged() as lines:
            async with house(bot) as place:
                await place.call(log=CallLog(16000), hangup_after_s=7)
        assert not [line for _, line in lines if "has turned too slowly" in line]

    asyncio.run(story())


def test_its_thread_ends_with_the_agent() -> None:
    import threading

    async def bot(call: Call) -> None:
        """Never called."""

    def watchdogs() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "piopiy watchdog"]

    async def story() -> None:
        async with house(bot):
            assert watchdogs()
        assert not watchdogs()

    asyncio.run(story())


@pytest.mark.parametrize("limit", [0, 0.5, -1, float("nan"), float("inf")])
def test_a_limit_that_every_program_reaches_is_refused(limit: float) -> None:
    async def bot(call: Call) -> None:
        """Never called."""

    wrong: dict[str, Any] = {"blocked_call_s": limit}
    with pytest.raises(ValueError, match="blocked_call_s must be 1 second or more"):
        Agent("desk", "token", bot, **wrong)
