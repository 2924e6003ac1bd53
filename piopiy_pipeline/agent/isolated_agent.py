"""`IsolatedAgent`: what `Agent` is with ``isolation="process"``, between the author's process and its call workers."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Callable
from typing import Self

from loguru import logger

from piopiy_pipeline.agent.forked_worker import ForkedWorker, ServingAgent
from piopiy_pipeline.agent.gateway_connection import AuthenticationError
from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.agent.model_process import ModelProcess
from piopiy_pipeline.agent.preload import preload_blocking
from piopiy_pipeline.agent.process_messages import ForkWorker
from piopiy_pipeline.agent.supervisor import Supervisor, WorkersRefused
from piopiy_pipeline.agent.worker_member import CallWorkerInfo
from piopiy_pipeline.services.workers.worker_pool import close_pools, shared_pool_plans

__all__ = ["IsolatedAgent"]


class IsolatedAgent:
    """The call workers of an agent.

    Args:
        agent: The agent, of which each call worker has a copy.
        isolation: How many call workers there are, and what each takes.
        limit_s: How long a call may block its call worker, in seconds.
        load_threshold: The share of the processors that they may use, if each takes one call, before no more are
            forked; None for no limit.
    """

    def __init__(
        self, agent: ServingAgent, isolation: Isolation, *, limit_s: float, load_threshold: float | None
    ) -> None:
        self._agent = agent
        self._isolation = isolation
        self._limit_s = limit_s
        self._load_threshold = load_threshold
        self._supervisor: Supervisor | None = None

    @classmethod
    def of(
        cls, agent: ServingAgent, plan: Isolation | None, limit_s: float, load_threshold: float | None
    ) -> Self | None:
        """Return that of an agent with such a plan; None for an agent that serves its calls itself."""
        return None if plan is None else cls(agent, plan, limit_s=limit_s, load_threshold=load_threshold)

    @property
    def capacity(self) -> int:
        """How many calls all call workers take at most."""
        return self._isolation.capacity

    @property
    def active(self) -> int:
        """How many calls are in progress in all call workers."""
        return 0 if self._supervisor is None else self._supervisor.active

    @property
    def workers(self) -> list[CallWorkerInfo]:
        """The call workers that there are now."""
        return [] if self._supervisor is None else self._supervisor.workers

    async def serve(self, closing: asyncio.Event, *, on_template: Callable[[], None] = lambda: None) -> None:
        """Supervise the call workers until `closing` is set, or until they have drained.

        Args:
            closing: Ends it.
            on_template: Called when no fork of this process is to come, so that it may have threads.

        Raises:
            AuthenticationError: The gateway refuses the agent.
            RuntimeError: No call worker can serve.
        """
        plans = shared_pool_plans()
        _warn_of_what_a_fork_loses(ours=("piopiy", *(plan.name for plan in plans)))
        loop_factory = type(asyncio.get_running_loop())

        def become_worker(order: ForkWorker, control: socket.socket, templates_stderr: int) -> int:
            if order.has_models:
                return ModelProcess(control, plans=plans, loop_factory=loop_factory).run()
            return ForkedWorker(
                self._agent, order, control, orphans_stderr=templates_stderr, loop_factory=loop_factory
            ).run()

        supervisor = Supervisor(
            self._isolation,
            self._agent.instance_id,
            load=preload_blocking,
            become_worker=become_worker,
            models_ahead=bool(plans),
            load_threshold=self._load_threshold,
            limit_s=self._limit_s,
            on_template=on_template,
        )
        self._supervisor = supervisor
        closed = asyncio.ensure_future(_end_when(closing, supervisor))
        close_pools()  # no call is here: the process with the models has its own
        try:
            await supervisor.serve()
        except WorkersRefused as error:
            raise AuthenticationError(str(error)) from None
        finally:
            closed.cancel()

    def drain(self) -> None:
        """Have the call workers take no more calls, and end when the last one has."""
        if self._supervisor is not None:
            self._supervisor.drain()

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no call is in progress, but not longer than some seconds."""
        if self._supervisor is not None:
            await self._supervisor.wait_idle(timeout_s)


async def _end_when(closing: asyncio.Event, supervisor: Supervisor) -> None:
    await closing.wait()
    supervisor.end()


def _sessions_with_threads() -> int:
    """Count onnxruntime sessions that compute in threads of their own."""
    module = sys.modules.get("onnxruntime")
    if module is None:
        return 0
    sessions = [each for each in gc.get_objects() if type(each) is module.InferenceSession]
    return sum(session.get_session_options().intra_op_num_threads != 1 for session in sessions)


def _warn_of_what_a_fork_loses(ours: tuple[str, ...]) -> None:
    """Say what the author's program has started that call workers do not have.

    Args:
        ours: What the names of threads that a fork may lose begin with.
    """
    threads = [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and not thread.name.startswith((*ours, "offload"))
    ]
    if threads:
        logger.warning(
            "threads do not live on in call workers, and what they hold locked stays locked there: "
            "start {} in the callback, or after Agent.connect() has begun",
            ", ".join(threads[:5]),
        )
    if count := _sessions_with_threads():
        logger.warning(
            "{} onnxruntime sessions have threads, which do not live on in call workers: there they wait for ever. "
            "Make them in the callback, or with intra_op_num_threads=1",
            count,
        )
