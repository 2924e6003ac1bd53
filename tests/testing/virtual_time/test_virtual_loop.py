"""Virtual time: what the clock does, what it does not do, and what it says when nothing goes on."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.offload import Lane, in_flight, offload
from piopiy_pipeline.testing.virtual_time.virtual_loop import (
    Deadlock,
    LimitReached,
    WallLimitReached,
    run_virtual,
)


def test_an_hour_passes_in_no_time() -> None:
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(3600)
        return [loop.time() - began]

    real = time.monotonic()
    assert run_virtual(scenario, limit_s=4000) == [3600]
    assert time.monotonic() - real < 10


def test_timers_fire_at_their_time_and_in_their_order() -> None:
    async def scenario() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        seen: list[tuple[str, float]] = []

        async def note(name: str, after: float) -> None:
            await asyncio.sleep(after)
            seen.append((name, round(loop.time() - began, 9)))

        await asyncio.gather(note("c", 0.3), note("a", 0.1), note("b", 0.2))
        return seen

    assert run_virtual(scenario) == [("a", 0.1), ("b", 0.2), ("c", 0.3)]


def test_the_clock_stands_still_while_something_computes_off_the_loop() -> None:
    release = threading.Event()

    async def scenario() -> tuple[float, list[str]]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        seen: list[str] = []
        loop.call_later(0.001, seen.append, "timer")
        threading.Timer(0.05, release.set).start()
        work = asyncio.ensure_future(offload(release.wait, 10))
        await work
        seen.append("work")
        took = loop.time() - began
        assert in_flight(loop) == 0
        await asyncio.sleep(0.01)
        return took, seen

    assert run_virtual(scenario) == (0, ["work", "timer"])


def test_answers_come_in_the_order_of_the_requests_of_all_lanes() -> None:
    first_may_end = threading.Event()
    quick, slow = Lane("quick", ordered=False), Lane("slow")

    async def scenario() -> list[str]:
        seen: list[str] = []

        async def note(name: str, work: Any) -> None:
            await work
            seen.append(name)

        async def executed() -> None:
            await asyncio.get_running_loop().run_in_executor(None, len, "four")

        await asyncio.gather(
            note("slow", slow.run(first_may_end.wait, 10)),
            note("quick", quick.run(first_may_end.set)),
            note("executor", executed()),
            note("thread", asyncio.to_thread(len, "four")),
        )
        return seen

    try:
        assert run_virtual(scenario) == ["slow", "quick", "executor", "thread"]
    finally:
        quick.close()
        slow.close()


def test_what_fails_off_the_loop_is_raised_where_it_is_waited_for() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await offload(divmod, 1, 0)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        with ThreadPoolExecutor(1) as pool:
            assert await loop.run_in_executor(pool, divmod, 7, 2) == (3, 1)

    run_virtual(scenario)


def test_time_is_virtual_in_the_simulation_and_real_in_other_threads_and_afterwards() -> None:
    before = time.time()
    seen: dict[str, float] = {}

    async def scenario() -> None:
        wall = await offload(time.time)
        assert before <= wall <= before + 60
        readings = [
            (time.time(), time.monotonic(), time.perf_counter(), time.time_ns() / 1e9),
        ]
        await asyncio.sleep(100)
        readings.append((time.time(), time.monotonic(), time.perf_counter(), time.time_ns() / 1e9))
        for early, late in zip(*readings, strict=True):
            assert late - early == pytest.approx(100)
        assert time.perf_counter_ns() == time.monotonic_ns() == round(time.monotonic() * 1e9)
        seen["virtual"] = time.time()

    run_virtual(scenario)
    assert before <= time.time() <= before + 60
    assert seen["virtual"] != pytest.approx(time.time(), abs=1000)

    async def fails() -> None:
        raise LookupError("on purpose")

    real = time.monotonic
    with pytest.raises(LookupError):
        run_virtual(fails)
    assert time.monotonic is real
    assert before <= time.time() <= before + 60


def test_blocking_the_loop_moves_the_clock_and_makes_timers_late() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        fired: asyncio.Future[float] = loop.create_future()
        loop.call_later(0.5, lambda: fired.set_result(loop.time() - began))
        time.sleep(2)  # noqa: ASYNC251  that is the point
        return await fired

    assert run_virtual(scenario) == 2


def test_waiting_for_a_child_process_does_not_move_the_clock() -> None:
    async def scenario() -> float:
        began = asyncio.get_running_loop().time()
        command = [sys.executable, "-c", "import time; time.sleep(0.1)"]
        subprocess.run(command, check=True, timeout=30)  # noqa: ASYNC221  it polls, with time.sleep
        return asyncio.get_running_loop().time() - began

    assert run_virtual(scenario) == 0


def test_the_same_seed_gives_the_same_chance_and_leaves_that_outside_alone() -> None:
    async def scenario() -> tuple[Any, ...]:
        return random.random(), float(np.random.rand()), uuid.uuid4()

    random.seed(7)
    expected = random.random()
    random.seed(7)
    one, two, other = (
        run_virtual(scenario, seed=1),
        run_virtual(scenario, seed=1),
        run_virtual(scenario, seed=2),
    )
    assert one == two
    assert not set(one) & set(other)
    assert random.random() == expected
    assert uuid.uuid4() != uuid.uuid4()


def test_a_deadlock_is_an_error_that_says_what_each_task_waits_for() -> None:
    async def waits_for_godot() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        await asyncio.create_task(waits_for_godot(), name="vladimir")

    with pytest.raises(
        Deadlock, match=r"vladimir waits at \S*test_virtual_loop\.py:\d+ in \S*waits_for_godot"
    ):
        run_virtual(scenario)


def test_a_simulation_that_goes_on_for_ever_ends_at_its_limit_and_says_what_waits() -> None:
    async def ticks() -> None:
        for _ in range(10**9):
            await asyncio.sleep(1)

    with pytest.raises(LimitReached, match=r"(?s)50 s of the simulation's time.*in \S*ticks"):
        run_virtual(ticks, limit_s=50)


def test_a_busy_wait_is_named_with_its_line() -> None:
    def spins() -> None:
        until = time.monotonic() + 0.1  # virtual, and nobody moves it
        while time.monotonic() < until:
            pass

    async def scenario() -> None:
        spins()

    with pytest.raises(
        WallLimitReached, match=r"test_virtual_loop\.py:\d+ in \S*spins blocks the event loop"
    ):
        run_virtual(scenario, wall_limit_s=0.2)
    assert time.monotonic.__name__ == "monotonic"


def test_a_loop_that_turns_for_ever_ends_at_the_real_limit() -> None:
    async def turns() -> None:
        for _ in range(10**9):
            await asyncio.sleep(0)

    with pytest.raises(WallLimitReached, match=r"(?s)has not ended.*in \S*turns"):
        run_virtual(turns, wall_limit_s=0.2)


def test_work_off_the_loop_that_never_ends_is_named() -> None:
    release = threading.Event()

    def computes_for_ever() -> None:
        release.wait(30)

    async def scenario() -> None:
        await offload(computes_for_ever)

    try:
        with pytest.raises(WallLimitReached, match=r"(?s)waits for work off the loop.*computes_for_ever"):
            run_virtual(scenario, wall_limit_s=0.2)
    finally:
        release.set()


def test_with_a_real_connection_open_the_clock_keeps_the_pace_of_the_wall() -> None:
    async def scenario() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        loop = asyncio.get_running_loop()
        loop.call_later(30, writer.close)  # far away, if the clock is not moved to it
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run_virtual(scenario, limit_s=20)


def test_tasks_that_are_left_are_cancelled() -> None:
    ended: list[str] = []

    async def lingers() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("lingers")

    async def scenario() -> asyncio.Task[None]:
        task = asyncio.create_task(lingers())
        await asyncio.sleep(0)
        return task

    assert run_virtual(scenario).cancelled()
    assert ended == ["lingers"]


def test_a_simulation_inside_a_loop_is_refused() -> None:
    async def scenario() -> None:
        run_virtual(lambda: asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="from a function, not from a coroutine"):
        asyncio.run(scenario())
