"""Work off the loop: answered in order, counted while it is under way, bounded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from piopiy_pipeline.offload import Lane, in_flight, offload


def test_work_runs_in_another_thread_and_comes_back_to_the_loop() -> None:
    async def scenario() -> None:
        assert await offload(threading.current_thread) is not threading.current_thread()

    asyncio.run(scenario())


def test_an_exception_of_the_work_is_raised_where_it_is_awaited() -> None:
    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await offload(lambda: 1 // 0)

    asyncio.run(scenario())


def _lane_of_two() -> tuple[Lane, threading.Event]:
    return Lane("test", threads=2), threading.Event()


def test_completions_come_in_the_order_of_submission() -> None:
    async def scenario() -> None:
        lane, release = _lane_of_two()
        order: list[str] = []

        def late() -> str:
            release.wait(5)
            return "first"

        def early() -> str:
            release.set()
            return "second"

        first, second = lane.submit(late), lane.submit(early)
        first.add_done_callback(lambda done: order.append(done.result()))
        second.add_done_callback(lambda done: order.append(done.result()))
        await asyncio.gather(first, second)
        await asyncio.sleep(0)
        assert order == ["first", "second"]
        lane.close()

    asyncio.run(scenario())


def test_an_unordered_lane_holds_nobody_up() -> None:
    async def scenario() -> None:
        lane, release = Lane("test", threads=2, ordered=False), threading.Event()
        slow = lane.submit(release.wait, 5)
        assert await lane.run(lambda: "quick") == "quick"
        assert not slow.done()
        release.set()
        await slow
        lane.close()

    asyncio.run(scenario())


def test_what_is_under_way_is_counted_until_it_is_answered() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lane, release = _lane_of_two()
        waiting = [lane.submit(release.wait, 5) for _ in range(3)]
        assert in_flight(loop) == 3
        release.set()
        await asyncio.gather(*waiting)
        assert in_flight(loop) == 0
        lane.close()

    asyncio.run(scenario())


def test_a_request_whose_asker_has_gone_is_still_counted_off() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        lane, release = _lane_of_two()
        request = lane.submit(release.wait, 5)
        request.cancel()
        release.set()
        await lane.run(lambda: None)
        assert in_flight(loop) == 0
        lane.close()

    asyncio.run(scenario())


def test_a_full_lane_refuses_at_once() -> None:
    async def scenario() -> None:
        lane, release = Lane("narrow", threads=1, limit=2), threading.Event()
        waiting = [lane.submit(release.wait, 5) for _ in range(2)]
        with pytest.raises(BlockingIOError, match="narrow: 2 requests"):
            lane.submit(release.wait, 5)
        release.set()
        await asyncio.gather(*waiting)
        lane.close()

    asyncio.run(scenario())


def test_a_loop_that_closed_in_the_meantime_is_left_alone() -> None:
    lane, release = _lane_of_two()

    async def leaves() -> None:
        lane.submit(release.wait, 5)

    asyncio.run(leaves())
    release.set()
    lane.close(wait=True)

    async def another() -> str:
        return await offload(lambda: "alive")

    assert asyncio.run(another()) == "alive"


FORKS = """
import asyncio, os
from piopiy_pipeline.offload import in_flight, offload

async def main():
    assert await offload(sum, [1, 2]) == 3
    child = os.fork()
    if child == 0:
        asyncio._set_running_loop(None)
        answer = asyncio.Runner().run(asyncio.wait_for(offload(sum, [3, 4]), 10))
        os._exit(answer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert await offload(sum, [1, 2]) == 3

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=300)


@pytest.mark.parametrize("ordered", [True, False])
def test_work_that_ends_with_stop_iteration_is_answered_and_counted_off(ordered: bool) -> None:
    """No future takes this exception, so its answer never came, and a virtual clock stood still."""

    async def scenario() -> None:
        lane = Lane("test", ordered=ordered)
        async with asyncio.timeout(5):
            with pytest.raises(RuntimeError, match="StopIteration") as raised:
                await lane.run(next, iter(()))
            assert isinstance(raised.value.__cause__, StopIteration)
            assert await lane.run(lambda: "next") == "next"
        assert in_flight(asyncio.get_running_loop()) == 0
        lane.close()

    asyncio.run(scenario())
