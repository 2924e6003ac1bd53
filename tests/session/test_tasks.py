"""Tasks of a call: found wherever they were created, and ended in bounded time."""

from __future__ import annotations

import asyncio
import contextvars
import gc

import pytest
from loguru import logger

from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks


async def _child(started: asyncio.Event) -> None:
    started.set()
    await asyncio.Event().wait()


def test_a_task_created_deep_inside_a_call_belongs_to_it() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        track_tasks(loop)  # twice is once
        tasks, started = CallTasks("a"), asyncio.Event()
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)

        async def author() -> None:
            asyncio.create_task(_child(started))  # noqa: RUF006  careless, as authors are

        outsider = asyncio.create_task(_child(asyncio.Event()))
        await loop.create_task(author(), context=context)
        await started.wait()
        assert len(tasks.pending()) == 1
        assert outsider not in tasks.pending()
        assert await tasks.cancel_all(timeout_s=1) == set()
        assert not outsider.done()
        outsider.cancel()

    asyncio.run(scenario())


def test_a_task_that_ignores_its_cancellation_is_given_up_in_time() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        tasks, release = CallTasks("a"), asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        task = asyncio.create_task(stubborn())
        tasks.adopt(task)
        await asyncio.sleep(0)
        began = loop.time()
        assert await tasks.cancel_all(timeout_s=0.2) == {task}
        assert loop.time() - began < 2
        release.set()
        await task

    lines: list[tuple[str, object]] = []
    sink = logger.add(
        lambda message: lines.append((message.record["message"], message.record["extra"]["call_id"]))
    )
    try:
        asyncio.run(scenario())
    finally:
        logger.remove(sink)
    [(line, call_id)] = lines
    assert call_id == "a"
    assert "1 task(s) of the call did not end when they were cancelled: " in line
    assert "stubborn waits at tests/session/test_tasks.py:" in line


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_task_that_ends_the_process_is_named_with_its_line_and_its_call(error: type[BaseException]) -> None:
    told: list[str] = []

    async def scenario() -> None:
        track_tasks(asyncio.get_running_loop())
        tasks = CallTasks("a")
        tasks.exits = told.append
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)

        async def leaves() -> None:
            raise error(4)

        asyncio.get_running_loop().create_task(leaves(), context=context)
        await asyncio.Event().wait()

    with pytest.raises(error):
        asyncio.run(scenario())
    [line] = told
    assert line.startswith(f"{error.__name__} at tests/session/test_tasks.py:")
    what = "sys.exit()" if error is SystemExit else "KeyboardInterrupt"
    assert line.endswith(f": 4: {what} in a task of its own ends the agent, and not only the call")


@pytest.mark.parametrize("uvloop", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_a_call_that_stops_the_event_loop_is_named_and_the_loop_goes_on(uvloop: bool, later: bool) -> None:
    told: list[str] = []

    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        tasks = CallTasks("a")
        tasks.harmless = told.append
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)

        async def stops() -> None:
            if later:
                loop.call_later(0, loop.stop)
            else:
                loop.stop()

        await loop.create_task(stops(), context=context)
        await asyncio.sleep(0.01)
        return "goes on"

    factory = pytest.importorskip("uvloop").new_event_loop if uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(scenario()) == "goes on"
    [line] = told
    assert line.endswith(": a call cannot stop the event loop of the agent, which goes on")
    assert later or line.startswith("loop.stop() at tests/session/test_tasks.py:")


def test_a_call_that_cancels_all_tasks_cancels_its_own() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        contexts = [contextvars.copy_context() for _ in range(2)]
        for context, name in zip(contexts, "ab", strict=True):
            context.run(current_tasks.set, CallTasks(name))

        async def waits() -> None:
            await asyncio.Event().wait()

        async def cancels() -> set[asyncio.Task[None]]:
            for task in (found := asyncio.all_tasks()):
                task.cancel()
            return found

        own, other = (loop.create_task(waits(), context=context) for context in contexts)
        nobodys = asyncio.create_task(waits())
        cancelling = loop.create_task(cancels(), context=contexts[0])
        await asyncio.wait([cancelling])
        await asyncio.sleep(0)
        assert own.cancelled()
        assert not other.cancelling()
        assert not nobodys.cancelling()
        assert asyncio.current_task() in asyncio.all_tasks()
        assert asyncio.all_tasks() >= {other, nobodys}, "who is in no call sees all"
        for task in (other, nobodys):
            task.cancel()

    asyncio.run(scenario())


def test_a_task_of_a_call_that_fails_unasked_is_logged_with_its_line_and_its_call() -> None:
    lines: list[tuple[str, object]] = []
    sink = logger.add(
        lambda message: lines.append((message.record["message"], message.record["extra"].get("call_id")))
    )

    async def scenario() -> None:
        track_tasks(asyncio.get_running_loop())
        context = contextvars.copy_context()
        context.run(current_tasks.set, CallTasks("a"))

        async def fails() -> None:
            raise ValueError("mine")

        asyncio.get_running_loop().create_task(fails(), context=context)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    try:
        asyncio.run(scenario())
    finally:
        logger.remove(sink)
    [(line, call_id)] = lines
    assert line.startswith("a task of the call failed: ValueError at tests/session/test_tasks.py:")
    assert line.endswith(": mine")
    assert call_id == "a"


def test_a_task_that_failed_and_is_kept_is_reported_at_the_end_of_the_call_once() -> None:
    lines: list[tuple[str, object]] = []
    sink = logger.add(
        lambda message: lines.append((message.record["message"], message.record["extra"].get("call_id")))
    )
    kept: list[asyncio.Task[None]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        track_tasks(loop)
        tasks = CallTasks("a")
        context = contextvars.copy_context()
        context.run(current_tasks.set, tasks)

        async def fails() -> None:
            raise RecursionError("too deep")

        kept.extend(loop.create_task(fails(), context=context) for _ in range(8))
        await asyncio.wait(kept)
        assert isinstance(kept[0].exception(), RecursionError), "somebody has asked"
        assert not lines
        tasks.report_failures()
        tasks.report_failures()

    try:
        asyncio.run(scenario())
        kept.clear()
        gc.collect()
    finally:
        logger.remove(sink)
    assert {call_id for _, call_id in lines} == {"a"}
    told = [line for line, _ in lines]
    assert len(told) == 6
    assert told[0].startswith("a task of the call failed: RecursionError at tests/session/test_tasks.py:")
    assert told[-1] == "2 more tasks of the call failed"
