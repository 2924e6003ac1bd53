"""Whose `sys.exit()` has left a real event loop: one of asyncio's, and uvloop's, whose frames tell no context."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable

import numpy as np
import pytest
from loguru import logger

from piopiy_pipeline.agent.exit_cause import ExitCause, find_exit_cause
from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.session import Call, Session
from piopiy_pipeline.session.tasks import CallTasks, current_tasks
from tests.support.recorded_caller import RecordedLink

CALLS = ("call-1", "call-2")


def leaves(*_: object) -> None:
    sys.exit(7)


def in_a_timer() -> None:
    asyncio.get_running_loop().call_later(0, leaves)


def in_a_futures_callback() -> None:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(leaves)
    future.set_result(None)


def left_by(begin: Callable[[], None], make_loop: Callable[[], asyncio.AbstractEventLoop]) -> BaseException:
    """Return how an agent is cancelled, because a call's code has begun this."""
    cancelled: list[BaseException] = []

    async def of_a_call() -> None:
        current_tasks.set(CallTasks("call-2"))
        begin()

    async def agent() -> None:
        calling = asyncio.create_task(of_a_call())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            cancelled.append(error)
            raise
        finally:
            await calling

    with pytest.raises(SystemExit), asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(agent())
    return cancelled[0]


@pytest.mark.parametrize("begin", [in_a_timer, in_a_futures_callback])
def test_the_call_and_the_line_are_known(begin: Callable[[], None]) -> None:
    cause = find_exit_cause(left_by(begin, asyncio.new_event_loop), CALLS)
    assert cause is not None
    assert cause.call_id == "call-2"
    assert cause.text == f"sys.exit(7) was called at tests/agent/test_exit_cause.py:{LINE}"


def test_on_uvloop_the_line_is_known_and_the_call_if_there_is_only_one() -> None:
    uvloop = pytest.importorskip("uvloop")
    error = left_by(in_a_timer, uvloop.new_event_loop)
    cause, only = find_exit_cause(error, CALLS), find_exit_cause(error, CALLS[:1])
    assert cause is not None
    assert only is not None
    assert (cause.call_id, only.call_id) == (None, "call-1")
    assert cause.text.endswith(f"tests/agent/test_exit_cause.py:{LINE}")


def test_another_cancellation_is_none() -> None:
    assert find_exit_cause(asyncio.CancelledError(), CALLS) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_in_a_destructor_it_ends_nothing() -> None:
    class Leaves:
        def __del__(self) -> None:
            leaves()

    async def story() -> str:
        Leaves()
        await asyncio.sleep(0)
        return "goes on"

    assert asyncio.run(story()) == "goes on"


@pytest.mark.parametrize("make_loop", ["asyncio", "uvloop"])
def test_an_interrupt_that_is_nobody_s_key_is_named_as_well(make_loop: str) -> None:
    def raises() -> None:
        raise KeyboardInterrupt

    async def agent() -> None:
        asyncio.get_running_loop().call_later(0, raises)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            found.append(find_exit_cause(error, ["call-1"]))
            raise

    found: list[ExitCause | None] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        factory = pytest.importorskip(make_loop).new_event_loop
        with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
            runner.run(agent())
    finally:
        signal.signal(signal.SIGINT, before)
    [cause] = found
    assert cause is not None
    assert cause.call_id == (None if make_loop == "asyncio" else "call-1")  # uvloop tells no context
    assert cause.text.startswith("KeyboardInterrupt was raised at tests/agent/test_exit_cause.py:")


LINE = leaves.__code__.co_firstlineno + 1


@pytest.mark.parametrize("first", ["session", "callback"])
@pytest.mark.parametrize("culprit", [True, False])
def test_whatever_of_a_call_is_cancelled_first_only_the_culprit_ends_with_an_error(
    first: str, culprit: bool
) -> None:
    ends: list[CallEnd] = []

    async def story() -> None:
        def exits(_: asyncio.CancelledError) -> bool:
            if culprit:
                session.end(EndReason.ERROR, "sys.exit(7) was called")
            return True

        async def callback(_: Call) -> None:
            running.set()
            await asyncio.Event().wait()

        running = asyncio.Event()
        session = Session(
            CallInfo("front-desk", "call-1"),
            RecordedLink(np.zeros(16000, np.int16)),
            post=lambda _: None,
            exits=exits,
        )
        session.call.on("end", ends.append)
        serving = asyncio.create_task(session.run(callback))
        await running.wait()
        [author] = [task for task in asyncio.all_tasks() if task.get_name().endswith("::callback")]
        (serving if first == "session" else author).cancel()
        await asyncio.wait([serving])

    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]))
    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert not any("still runs" in line for line in lines), "nobody has waited for it"
    [end] = ends
    expected = EndReason.ERROR if culprit else EndReason.SHUTDOWN
    assert (end.reason, "sys.exit" in end.detail) == (expected, culprit)
