"""Which code blocks an event loop, and which call it belongs to: looked at from a thread while it does.

Against the clock of the wall: a loop that is blocked is looked at from another thread.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import copy_context
from itertools import islice
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from piopiy_pipeline.agent.blocked_code import UNKNOWN, BlockedCode, find_blocked_code
from piopiy_pipeline.session.call import Call, current_call
from piopiy_pipeline.session.call_timers import _follow
from piopiy_pipeline.session.events import Emitter
from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks

pytestmark = pytest.mark.realtime

HERE = f"{Path(__file__).name}:"


BLOCKING, LOOKED = threading.Event(), threading.Event()


def block() -> None:
    """Keep the loop until it was looked at."""
    BLOCKING.set()
    assert LOOKED.wait(5)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)
    return asyncio.new_event_loop


def looked_at(story: Callable[[], Awaitable[None]], loop: str = "asyncio") -> BlockedCode | None:
    """Run `story`, and return what is found while it blocks, or after half a second."""
    BLOCKING.clear()
    LOOKED.clear()
    found: list[BlockedCode | None] = []

    async def main() -> None:
        running, thread = asyncio.get_running_loop(), threading.get_ident()
        track_tasks(running)

        def look() -> None:
            BLOCKING.wait(0.5)
            found.append(find_blocked_code(running, thread))
            LOOKED.set()

        looking = threading.Thread(target=look)
        looking.start()
        await story()
        await asyncio.to_thread(looking.join)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())
    return found[-1]


def in_call(call_id: str) -> Any:
    """Return the context of a call of this id."""
    context = copy_context()
    context.run(current_call.set, cast("Call", SimpleNamespace(info=SimpleNamespace(call_id=call_id))))
    context.run(current_tasks.set, CallTasks(call_id))
    return context


async def soon() -> None:
    await asyncio.sleep(0)
    block()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_task_of_a_call(loop: str) -> None:
    async def story() -> None:
        await asyncio.get_running_loop().create_task(soon(), context=in_call("call-1"))

    found = looked_at(story, loop)
    assert found is not None
    assert found.call_id == "call-1"
    assert HERE in found.place
    assert found.place.endswith(" in block")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_handler_of_an_event_that_the_gateway_caused(loop: str) -> None:
    async def story() -> None:
        events = Emitter()
        events.context = in_call("call-2")
        events.on("end", lambda _: block())
        asyncio.get_running_loop().call_later(0.01, events.emit, "end", None)
        await asyncio.sleep(0.05)

    found = looked_at(story, loop)
    assert found is not None
    assert (found.call_id, " in block" in found.place) == ("call-2", True)


def test_a_timer_that_a_call_has_set() -> None:
    async def story() -> None:
        asyncio.get_running_loop().call_later(0.01, block, context=in_call("call-3"))
        await asyncio.sleep(0.05)

    found = looked_at(story)
    assert found is not None
    assert found.call_id == "call-3"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_code_of_no_call_is_named_without_one(loop: str) -> None:
    found = looked_at(soon, loop)
    assert found is not None
    assert (found.call_id, " in block" in found.place) == (None, True)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_waits_for_something_runs_nobody_s_code(loop: str) -> None:
    async def story() -> None:
        await asyncio.sleep(0.8)

    # uvloop's own frames are not Python: there it cannot be told from a callback that is not.
    assert looked_at(story, loop) == (BlockedCode(None, UNKNOWN) if loop == "uvloop" else None)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_of_a_very_deep_stack_only_the_top_is_looked_at_and_the_call_is_known(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[FrameType] = []

    def noted(frames: Iterable[FrameType], most: int) -> Iterator[FrameType]:
        for each in islice(frames, most):
            looked.append(each)
            yield each

    monkeypatch.setattr("piopiy_pipeline.code_places.islice", noted)

    def recurse(depth: int) -> None:
        recurse(depth - 1) if depth else block()

    async def story() -> None:
        events = Emitter()
        events.context = in_call("call-5")
        events.on("end", lambda _: recurse(50_000))
        asyncio.get_running_loop().call_later(0.01, events.emit, "end", None)
        await asyncio.sleep(0.05)
        assert not Emitter.emitting

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        found = looked_at(story, loop)
    finally:
        sys.setrecursionlimit(limit)
    assert found is not None
    assert (found.call_id, " in block" in found.place) == ("call-5", True)
    assert 0 < len(looked) <= 2000


def test_what_a_loop_does_with_the_tasks_of_a_call_that_has_nearly_all_is_that_call_s() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        left = [loop.create_task(asyncio.sleep(60), context=in_call("other")) for _ in range(50)]
        context = in_call("call-6")
        left += [loop.create_task(asyncio.sleep(60), context=context) for _ in range(500)]
        loop.call_soon(BLOCKING.set)
        loop.call_soon(time.sleep, 0.5)
        await asyncio.sleep(0.01)
        for each in left:
            each.cancel()

    assert looked_at(story) == BlockedCode("call-6", UNKNOWN)


def test_a_callback_that_is_not_python_is_one_of_a_place_that_is_not() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(BLOCKING.set)
        loop.call_soon(time.sleep, 0.5, context=in_call("call-4"))
        await asyncio.sleep(0.01)

    assert looked_at(story) == BlockedCode("call-4", UNKNOWN)


def test_what_this_package_does_while_the_author_waits_is_its_own() -> None:
    async def on_new_session() -> None:
        block()

    found = looked_at(on_new_session)
    assert found is not None
    assert found.authors, "its own function is called last"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("piopiy_pipeline.code_places._PACKAGE", "nowhere")
        patch.setattr(
            "piopiy_pipeline.code_places.is_authors", lambda frame: frame.f_code.co_name == "on_new_session"
        )
        found = looked_at(on_new_session)
        assert found is not None
        assert found.authors, "of a library"
        patch.setattr("piopiy_pipeline.code_places._PACKAGE", __file__)
        found = looked_at(on_new_session)
    assert found is not None
    assert not found.authors
    assert " in block, called at " in found.place
    assert found.place.endswith(".on_new_session")


def test_a_timer_that_the_author_sets_is_the_author_s_work_though_this_package_follows_it() -> None:
    class SlowToArm:
        """A loop that takes its time to set a timer."""

        def call_later(self, *args: object, **_: object) -> None:
            block()

    async def on_new_session() -> None:
        loop: Any = SlowToArm()
        _follow(loop, "call_later", lambda _: None)
        loop.call_later(1, print)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "piopiy_pipeline.code_places.is_authors", lambda frame: frame.f_code.co_name == "on_new_session"
        )
        found = looked_at(on_new_session)
    assert found is not None
    assert found.authors
    assert found.place.endswith(".on_new_session"), "and not the line that follows it"
