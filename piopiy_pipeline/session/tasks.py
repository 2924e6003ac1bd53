"""Which task belongs to which call.

A context variable marks everything that runs for a call, and tasks inherit it. A task factory adds each new
task to the list of its call. So no task outlives its call, whoever has started it: the session, a provider's
SDK, or an author's processor.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from itertools import islice
from typing import Any, ClassVar

from loguru import logger

from piopiy_pipeline.code_places import MAX_LOOKED_AT, authors_place, describe_task
from piopiy_pipeline.compat.interrupts import is_operators
from piopiy_pipeline.compat.task_exception import raised_by, was_asked
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.session.call_timers import CallTimers, follow_timers
from piopiy_pipeline.session.leftovers import CallLeftovers, listen, watch_processes
from piopiy_pipeline.session.visible_tasks import scope_all_tasks

__all__ = ["CallTasks", "current_tasks", "track_tasks"]

MAX_NAMED = 5
AGAIN_S = 0.2
"""How long a task may take to end when it is cancelled, before it is cancelled once more."""

current_tasks: contextvars.ContextVar[CallTasks | None] = contextvars.ContextVar(
    "piopiy_call_tasks", default=None
)


class CallTasks:
    """Keeps the tasks of one call."""

    _all: ClassVar[weakref.WeakSet[CallTasks]] = weakref.WeakSet()

    def __init__(self, name: str) -> None:
        self.name = name
        self.exits: Callable[[str], None] = lambda text: None
        """Called when a task of the call ends the process, with what it has raised and where."""
        self.harmless: Callable[[str], None] = lambda text: None
        """Called when the author's code has tried to harm all calls, with what, and where. Nothing came of it."""
        self.leftovers = CallLeftovers(name)
        """What else was made in the call."""
        self.timers = CallTimers(name)
        """What the author's code has asked the event loop for in the call."""
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._all.add(self)

    @classmethod
    def owner_of(cls, task: asyncio.Task[Any]) -> CallTasks | None:
        """Return the list that this task is in. It may be asked from another thread than the loop's."""
        try:
            return next((tasks for tasks in list(cls._all) if task in tasks._tasks), None)
        except RuntimeError:  # a call has begun or ended just now
            return None

    @classmethod
    def count_of(cls, name: str) -> int:
        """Return how many tasks the call of this name has. It may be asked from another thread than the loop's."""
        try:
            return sum(len(tasks._tasks) for tasks in list(cls._all) if tasks.name == name)
        except RuntimeError:  # a call has begun or ended just now
            return 0

    @classmethod
    def with_most(cls, least: int, share: float) -> str | None:
        """Return the call that has at least so many tasks, and this part of those of all calls; None if none has.

        It may be asked from another thread than the loop's.
        """
        try:
            counts = Counter({tasks: len(tasks._tasks) for tasks in list(cls._all)})
        except RuntimeError:  # a call has begun or ended just now
            return None
        for tasks, count in counts.most_common(1):
            if count >= least and count >= share * counts.total():
                return tasks.name
        return None

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Add a task of the call."""
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Name the task that ends the process: nothing holds these exceptions up in a task of the author's own."""
        error = raised_by(task)
        if not isinstance(error, SystemExit | KeyboardInterrupt) or is_operators(error):
            return
        task.exception()  # it is reported here: asyncio need not say that nobody has asked
        what = "sys.exit()" if isinstance(error, SystemExit) else "KeyboardInterrupt"
        text = f"{error_text(error)}: {what} in a task of its own ends the agent, and not only the call"
        logger.bind(call_id=self.name).error("{}", text)
        self.exits(text)

    def pending(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that are not done, without the task that calls this."""
        return {task for task in self._tasks if not task.done()} - {asyncio.current_task()}

    def report_failures(self) -> None:
        """Log what tasks have raised that are over and that nobody has asked: those that somebody keeps.

        Python tells of such a task only when it is let go of, which for one in a list may be never.
        """
        failed = [
            (task, error)
            for task in self._tasks
            if task.done() and not was_asked(task) and isinstance(error := raised_by(task), Exception)
        ]
        for task, _ in failed:
            task.exception()  # it is reported here: Python need not do it once more
        for _, error in failed[:MAX_NAMED]:
            self.log_failure(error)
        if (more := len(failed) - MAX_NAMED) > 0:
            logger.bind(call_id=self.name).error("{} more tasks of the call failed", more)

    def log_failure(self, error: Exception) -> None:
        """Log what a task of the call has raised, with the author's line."""
        text = f"a task of the call failed: {error_text(error)}"
        logger.bind(call_id=self.name).opt(exception=error).error("{}", text)

    async def cancel_all(self, *, timeout_s: float) -> set[asyncio.Task[Any]]:
        """Cancel all tasks, and wait for them.

        A task that swallows its cancellation is cancelled again, every `AGAIN_S` seconds.

        Args:
            timeout_s: How long to wait, in seconds.

        Returns:
            The tasks that did not end.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while pending := self.pending():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                where = sorted(describe_task(task) for task in islice(pending, MAX_LOOKED_AT))
                more = f"; and {len(pending) - MAX_NAMED} more" if len(pending) > MAX_NAMED else ""
                logger.bind(call_id=self.name).error(
                    "{} task(s) of the call did not end when they were cancelled: {}{}",
                    len(pending),
                    "; ".join(where[:MAX_NAMED]),
                    more,
                )
                return pending
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=min(left, AGAIN_S))
        return set()


def track_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` add each task to the list of its call. A task factory that the loop has already is still used."""
    inner = loop.get_task_factory()
    if getattr(inner, "tracks_calls", False):
        return

    def factory(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Future[Any]:
        task = inner(loop, coro, **options) if inner else asyncio.Task(coro, loop=loop, **options)
        context: contextvars.Context | None = options.get("context")
        tasks = current_tasks.get() if context is None else context.get(current_tasks)
        if tasks is not None and isinstance(task, asyncio.Task):
            tasks.adopt(task)
        return task

    factory.tracks_calls = True  # type: ignore[attr-defined]
    loop.set_task_factory(factory)
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(_log_failure)
    listen(_current_leftovers)
    watch_processes(loop, _current_leftovers)
    _keep_running(loop)
    follow_timers(loop, _current_timers)
    scope_all_tasks(_current_own)


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    """Have `loop` go on when the code of a call stops it, which would end all calls and the program."""
    inner = loop.stop

    def stop() -> None:
        tasks = current_tasks.get()
        if tasks is None:
            inner()
            return
        at = f" at {place}" if (place := authors_place(sys._getframe(1))) else ""
        text = f"loop.stop(){at}: a call cannot stop the event loop of the agent, which goes on"
        logger.bind(call_id=tasks.name).error("{}", text)
        tasks.harmless(text)

    loop.stop = stop  # type: ignore[method-assign]


def _log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that nobody has asked a task of a call for, with the call and the author's line."""
    error, task = context.get("exception"), context.get("future") or context.get("task")
    owner = CallTasks.owner_of(task) if isinstance(task, asyncio.Task) else None
    if owner is None or not isinstance(error, Exception):
        loop.default_exception_handler(context)
        return
    owner.log_failure(error)


def _current_own() -> weakref.WeakSet[asyncio.Task[Any]] | None:
    tasks = current_tasks.get()
    return None if tasks is None else tasks._tasks


def _current_timers(context: contextvars.Context | None) -> CallTimers | None:
    tasks = current_tasks.get() if context is None else context.get(current_tasks)
    return None if tasks is None else tasks.timers


def _current_leftovers() -> CallLeftovers | None:
    tasks = current_tasks.get()
    return None if tasks is None else tasks.leftovers
