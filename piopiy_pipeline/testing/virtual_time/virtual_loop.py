"""A virtual event loop: when nothing is ready, its time jumps to the next timer.

`run_virtual` runs a coroutine function under it. While work is under way off the loop (`piopiy_pipeline.offload`,
executors), the clock stands still and the loop really waits. Results are delivered when nothing else is ready, one
at a time, in the order in which the work was submitted. So the same program does the same things in the same order,
however busy the machine is.

While a real connection is open (a socket, the pipe of a child process), nobody can know whether an answer is on its
way. As long as there is one, the clock runs as fast as real time. Connections to hosts of the domain ``test`` are
within the loop (`virtual_network`), and the clock jumps on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, TypeVar

from loguru import logger

from piopiy_pipeline.code_places import describe_tasks
from piopiy_pipeline.compat.asyncio import drop_executor, has_ready, next_timer_at, take_wake, wake
from piopiy_pipeline.offload import use_courier
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall
from piopiy_pipeline.testing.virtual_time.time_module import real_monotonic, real_time, seeded, virtual_time
from piopiy_pipeline.testing.virtual_time.virtual_network import VirtualNetwork, is_virtual
from piopiy_pipeline.testing.virtual_time.wall_limit import Interrupted, Watchdog

__all__ = [
    "Deadlock",
    "LimitReached",
    "SimulationError",
    "VirtualLoop",
    "WallLimitReached",
    "run_real",
    "run_virtual",
]

T = TypeVar("T")

START = 1000.0
"""What the clock shows at first. Not 0, which code takes for "not set" now and then."""
CLEAN_UP_S = 30.0
"""Seconds of virtual time for which tasks that are left at the end may go on after they are cancelled."""
CLEAN_UP_WALL_S = 10.0
GRACE_S = 0.05
"""A thread that nobody knows of may still deliver something. A deadlock is reported after so many seconds."""


class SimulationError(RuntimeError):
    """A simulation did not come to its end. The message names what held it up."""

    call: SimulatedCall | None = None
    """What there is of the call, if a call was simulated."""


class Deadlock(SimulationError):
    """Every task waits, and nothing can end that: there is no timer, and no work off the loop."""


class LimitReached(SimulationError):
    """The virtual clock has reached its limit."""


class WallLimitReached(SimulationError):
    """The real clock has reached its limit: something computes for ever, or blocks the loop."""


class _Work:
    """Something under way off the loop."""

    __slots__ = ("deliver", "do", "job", "what")

    def __init__(
        self, job: Future[Any], deliver: Callable[[], None], what: str, do: Callable[[], None] | None
    ) -> None:
        self.job = job
        self.deliver = deliver
        self.what = what
        self.do = do


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do when nothing is ready, instead of waiting."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        loop.turns += 1
        if loop.watchdog is not None and loop.watchdog.expired:
            raise Interrupted
        if timeout is not None and timeout <= 0:
            return super().select(0) if loop.has_connections else []
        return loop.idle(timeout)

    def select_really(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the clock on the wall goes."""
        return super().select(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on a clock that is moved. `now` is that clock, in seconds."""

    def __init__(self, *, limit_s: float = 600.0) -> None:
        self.now = START
        self.watchdog: Watchdog | None = None
        self.turns = 0
        """How often it has looked for what comes next."""
        self.on_sleep: Callable[[FrameType, float], None] | None = None
        """Called when code sleeps without an await: with its frame, and for how many seconds."""
        self._limit = START + limit_s
        self._limit_s = limit_s
        self._work: deque[_Work] = deque()
        self._paced = False
        self._network = VirtualNetwork(self)
        self._numbers = 0
        self._selects = _Selector()
        super().__init__(self._selects)
        self._selects.loop = self
        self._own_descriptors = len(self._selects.get_map())
        use_courier(self, self)

    def time(self) -> float:
        """Return the time of the virtual clock in seconds."""
        return self.now

    def advance(self, seconds: float, sleeper: FrameType) -> None:
        """Move the clock while the loop is blocked. Raises `LimitReached`."""
        if self.on_sleep is not None:
            self.on_sleep(sleeper, seconds)
        self._move_to(self.now + seconds)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Interrupted):  # that one is raised as `WallLimitReached`
            super().call_exception_handler(context)

    @property
    def has_connections(self) -> bool:
        """Whether sockets or pipes are open that lead out of the simulation."""
        return len(self._selects.get_map()) > self._own_descriptors

    def close(self) -> None:
        use_courier(self, None)
        self._work.clear()
        super().close()

    # ------------------------------------------------------------------ connections within the loop

    def new_number(self) -> int:
        """Return a number that no other part of this loop has, from 1 on: for names of servers."""
        self._numbers += 1
        return self._numbers

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        """Do as asyncio does, but reach a server of this loop without a socket."""
        if is_virtual(host):
            return self._network.connect(protocol_factory, host, port)
        return await super().create_connection(protocol_factory, host, port, **more)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        """Do as asyncio does, but serve this loop without a socket where the host is of the domain ``test``."""
        if is_virtual(host):
            return self._network.listen(protocol_factory, host, port)
        return await super().create_server(protocol_factory, host, port, **more)

    # ------------------------------------------------------------------ work off the loop

    def submitted(
        self,
        job: Future[Any],
        deliver: Callable[[], None],
        what: str,
        do: Callable[[], None] | None = None,
    ) -> None:
        """Deliver answers in turn, when nothing else is ready, as an `offload.Courier`."""
        self._work.append(_Work(job, deliver, what, do))
        if do is None:
            job.add_done_callback(self._wake)

    def run_in_executor(  # type: ignore[override]  # typeshed wants TypeVarTuple, as of 3.12
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do as asyncio does, but deliver the answer in turn."""
        if executor is None:
            executor = self._default_executor = self._default_executor or ThreadPoolExecutor(
                thread_name_prefix="asyncio"
            )
        job = executor.submit(func, *args)
        answer: asyncio.Future[T] = self.create_future()

        def deliver() -> None:
            if answer.done():
                return
            if job.cancelled():
                answer.cancel()
            elif error := job.exception():
                answer.set_exception(error)
            else:
                answer.set_result(job.result())

        answer.add_done_callback(lambda answer: job.cancel() if answer.cancelled() else None)
        self.submitted(job, deliver, f"executor: {getattr(func, '__qualname__', func)}")
        return answer

    _default_executor: Any = None

    def _wake(self, _: object) -> None:
        wake(self)

    # ------------------------------------------------------------------ nothing is ready

    def idle(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for the oldest work off the loop, or move the clock to the next timer, because nothing is
        ready.
        """
        if self._work:
            return self._wait_for_work(self._work[0])
        if self.has_connections:
            return self._keep_pace(timeout)
        self._paced = False
        if timeout is None:
            if events := self._selects.select_really(GRACE_S):
                return events
            raise Deadlock(
                "nothing can ever happen again: no timer is set and no work is under way. Every task waits:\n"
                + describe_tasks(self)
            )
        self._move_to(self._next_timer(timeout))
        return []

    def _wait_for_work(self, oldest: _Work) -> list[tuple[selectors.SelectorKey, int]]:
        if oldest.do is not None:
            with real_time():
                oldest.do()
        while not oldest.job.done():
            events = self._selects.select_really(None)
            if self.watchdog is not None and self.watchdog.expired:
                raise Interrupted
            if has_ready(self) or len(events) > 1 or self.has_connections:
                return events
            take_wake(self)  # nothing but a wake: see for whom
        self._work.popleft()
        oldest.deliver()
        return []

    def _keep_pace(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._paced:
            self._paced = True
            logger.warning("a real connection is open: the simulation runs in real time while it is")
        began = real_monotonic()
        events = self._selects.select_really(timeout)
        passed = real_monotonic() - began
        if timeout is not None and (passed >= timeout or not events):
            self._move_to(self._next_timer(timeout))
        else:
            self._move_to(self.now + passed)
        return events

    def _next_timer(self, timeout: float) -> float:
        due = next_timer_at(self)
        return self.now + timeout if due is None else min(due, self.now + timeout)

    def _move_to(self, when: float) -> None:
        if when > self._limit:
            raise LimitReached(
                f"{self._limit_s:g} s of the simulation's time have passed, and it has not ended. "
                f"What waits:\n{describe_tasks(self)}"
            )
        self.now = max(when, self.now)

    def describe_work(self) -> str:
        """Return what runs off the loop, one line each."""
        return "\n".join(f"  {work.what}" for work in self._work)


def run_virtual(
    coroutine_function: Callable[[], Awaitable[T]],
    *,
    seed: int = 0,
    limit_s: float = 600.0,
    wall_limit_s: float = 60.0,
) -> T:
    """Run a coroutine function in virtual time, and return its result. Tasks left at the end are cancelled.

    Args:
        coroutine_function: What to run. It takes no arguments.
        seed: Seeds `random`, `numpy.random` and `uuid.uuid4` meanwhile.
        limit_s: The longest that it may take, in virtual seconds.
        wall_limit_s: The longest that it may take, in real seconds.

    Raises:
        Deadlock: Every task waits for something that can never happen. The message says for what.
        LimitReached: The virtual clock has reached `limit_s`.
        WallLimitReached: The real clock has reached `wall_limit_s`. The message names the line that blocks.
        RuntimeError: It was called inside a running loop.
        Exception: What the coroutine raises.
    """
    _refuse_in_loop()
    loop = VirtualLoop(limit_s=limit_s)
    watchdog = loop.watchdog = Watchdog(wall_limit_s, lambda: loop._wake(None), turns=lambda: loop.turns)
    with virtual_time(loop, seed):
        watchdog.start()
        try:
            return _run(loop, coroutine_function, watchdog, wall_limit_s)
        finally:
            watchdog.stop()
            try:
                _clean_up(loop)
            finally:
                asyncio.set_event_loop(None)
                loop.close()


def run_real(
    coroutine_function: Callable[[], Awaitable[T]], *, seed: int = 0, wall_limit_s: float = 600.0
) -> T:
    """Run a coroutine function in real time, and return its result.

    Args:
        coroutine_function: What to run. It takes no arguments.
        seed: Seeds `random`, `numpy.random` and `uuid.uuid4` meanwhile.
        wall_limit_s: The longest that it may take, in seconds.

    Raises:
        WallLimitReached: It took longer.
        Exception: What the coroutine raises.
    """
    _refuse_in_loop()
    with seeded(seed), asyncio.Runner() as runner:
        loop = runner.get_loop()
        main: asyncio.Future[Any] | None = None

        def ask() -> None:
            if main is not None:
                loop.call_soon_threadsafe(main.cancel)

        watchdog = Watchdog(wall_limit_s, ask)

        async def watched() -> T:
            nonlocal main
            main = asyncio.current_task()
            return await coroutine_function()

        watchdog.start()
        try:
            return runner.run(watched())
        except (KeyboardInterrupt, asyncio.CancelledError):
            if not watchdog.expired:
                raise
            stood = f" at {watchdog.blocked[0]}, which blocks the event loop" if watchdog.blocked else ""
            raise WallLimitReached(f"the call was given up after {wall_limit_s:g} s{stood}") from None
        finally:
            watchdog.stop()


async def _awaited(coroutine_function: Callable[[], Awaitable[T]]) -> T:
    return await coroutine_function()


def _run(
    loop: VirtualLoop, coroutine_function: Callable[[], Awaitable[T]], watchdog: Watchdog, limit_s: float
) -> T:
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_awaited(coroutine_function))
    except KeyboardInterrupt:
        if not watchdog.expired:
            raise
        raise _wall_limit_reached(loop, watchdog, limit_s) from None


def _wall_limit_reached(loop: VirtualLoop, watchdog: Watchdog, limit_s: float) -> WallLimitReached:
    took = f"the simulation has taken {limit_s:g} s of real time"
    if watchdog.blocked is not None:
        culprit, stack = watchdog.blocked
        return WallLimitReached(
            f"{took}: {culprit} blocks the event loop. The stack, innermost first:\n{stack}"
        )
    if work := loop.describe_work():
        return WallLimitReached(f"{took} and waits for work off the loop:\n{work}")
    return WallLimitReached(
        f"{took}, {loop.now - START:.2f} s of its own, and has not ended. Its tasks:\n{describe_tasks(loop)}"
    )


def _clean_up(loop: VirtualLoop) -> None:
    """Cancel what is left, within bounds. What does not end in them is named and left behind."""
    loop._limit = loop.now + CLEAN_UP_S + 1
    watchdog = loop.watchdog = Watchdog(CLEAN_UP_WALL_S, lambda: loop._wake(None))
    watchdog.start()
    try:
        loop.run_until_complete(_cancel_all(loop))
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (KeyboardInterrupt, SimulationError) as error:
        logger.error("what a simulation left behind did not end when it was cancelled: {}", error)
    finally:
        watchdog.stop()
        drop_executor(loop)


async def _cancel_all(loop: VirtualLoop) -> None:
    tasks = sorted(asyncio.all_tasks(loop) - {asyncio.current_task()}, key=lambda task: task.get_name())
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=CLEAN_UP_S)
        if left:
            logger.error("these tasks do not end when they are cancelled:\n{}", describe_tasks(loop))


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("a simulation runs a loop of its own: call it from a function, not from a coroutine")
