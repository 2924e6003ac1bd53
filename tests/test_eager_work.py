"""Work that begins at once, and is a task only if it has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from piopiy_pipeline.eager_work import EagerWork


def run(story: Callable[[EagerWork, list[str]], Coroutine[Any, Any, None]]) -> list[str]:
    done: list[str] = []

    async def on_a_loop() -> None:
        await story(EagerWork(asyncio.create_task), done)

    asyncio.run(on_a_loop())
    return done


def test_work_that_does_not_wait_is_done_when_begin_returns() -> None:
    async def story(eager: EagerWork, done: list[str]) -> None:
        async def work() -> None:
            done.append("work")

        assert eager.begin(work)
        done.append("begun")
        assert eager.begin(work)
        await eager.done()

    assert run(story) == ["work", "begun", "work"]


def test_work_that_waits_goes_on_in_a_task_and_nothing_else_begins_before_its_end() -> None:
    async def story(eager: EagerWork, done: list[str]) -> None:
        opened, again = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def work() -> None:
            done.append("began")
            await opened.wait()
            done.append(await again)
            await asyncio.sleep(0)
            async with asyncio.timeout(1):
                await asyncio.sleep(0)

        assert eager.begin(work)
        assert not eager.begin(work)
        opened.set()
        await asyncio.sleep(0)
        again.set_result("went on")
        await eager.done()
        done.append("done")
        assert eager.begin(work)
        await eager.cancel(_cancelled)

    assert run(story) == ["began", "went on", "done", "began", "went on"]


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def test_what_is_cancelled_or_fails_while_it_waits_learns_of_it() -> None:
    async def story(eager: EagerWork, done: list[str]) -> None:
        never = asyncio.get_running_loop().create_future()

        async def work() -> None:
            try:
                await never
            finally:
                done.append("over")

        assert eager.begin(work)
        await asyncio.sleep(0)
        await eager.cancel(_cancelled)
        fails = asyncio.get_running_loop().create_future()

        async def fail() -> None:
            await fails

        assert eager.begin(fail)
        fails.set_exception(ValueError("no"))
        await eager.done()
        done.append("done")

    assert run(story) == ["over", "done"]


def test_work_that_fails_at_once_raises() -> None:
    async def story(eager: EagerWork, done: list[str]) -> None:
        async def fail() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            eager.begin(fail)

    run(story)
