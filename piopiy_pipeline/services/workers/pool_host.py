"""`PoolHost`: has the pools of workers for all call workers of an agent, and answers what `HostedWorker` asks.

One queue for each pool, with the urgent first, whoever asks. A connection is greeted when its pool is there, and has
one request at a time; if it closes, its request is withdrawn, unless a worker has begun with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
from collections.abc import Sequence
from typing import Any

from loguru import logger

from piopiy_pipeline.services.workers.hosted_worker import GREETING, LENGTH
from piopiy_pipeline.services.workers.worker_pipe import MAX_MESSAGE
from piopiy_pipeline.services.workers.worker_pool import PoolPlan, close_pools, shared_pool
from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost, WorkerSlow
from piopiy_pipeline.services.workers.worker_queue import Urgency, queue_of

__all__ = ["MAX_CONNECTIONS", "PoolHost"]

MAX_CONNECTIONS = 1_000
"""Connections at once; one more is closed. A call worker has a handful."""
_KINDS = {WorkerFailed: "failed", WorkerSlow: "slow", BlockingIOError: "full"}
_FAILURES = (WorkerFailed, WorkerLost, BlockingIOError, RuntimeError)


class PoolHost:
    """Answers the requests of other processes with the shared pools of this one. Use it in one event loop."""

    def __init__(self) -> None:
        self._connections: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, stream: socket.socket) -> None:
        """Answer what comes over a connection until it closes. The stream is the host's from now on."""
        if len(self._connections) >= MAX_CONNECTIONS:
            stream.close()
            return
        task = asyncio.ensure_future(self._serve(stream))
        self._connections.add(task)
        self._idle.clear()
        task.add_done_callback(self._closed)

    async def load(self, plans: Sequence[PoolPlan]) -> None:
        """Make pools, and have each worker do what it is to do first. What fails is asked again by who needs it.

        Args:
            plans: The pools.
        """
        loading: list[asyncio.Future[Any]] = []
        for plan in plans:
            for worker in shared_pool(plan.module, name=plan.name, size=plan.size).workers:
                if plan.first is not None:
                    worker.first = plan.first
                    loading.append(worker.submit(*plan.first))
        for error in await asyncio.gather(*loading, return_exceptions=True):
            if isinstance(error, BaseException):
                logger.warning("a model was not loaded ahead: {}", error)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until nobody is connected, but not longer than some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def close(self) -> None:
        """Close all connections, and end the workers."""
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        close_pools()

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if not self._connections:
            self._idle.set()

    async def _serve(self, stream: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=stream)
        coming: asyncio.Future[Any] | None = None
        try:
            module, name, size, number = await _receive(reader)
            pool = shared_pool(module, name=name, size=size)
            writer.write(GREETING)
            while True:
                urgency, first, method, args = await (coming or _receive(reader))
                # The client sends nothing before it has its answer: what comes meanwhile is its end.
                coming = asyncio.ensure_future(_receive(reader))
                try:
                    if first is not None:
                        for worker in pool.workers:
                            worker.first = first
                    if first == (method, *args):  # for this one worker, such as to load a model
                        answer = pool.workers[number].submit(method, *args)
                    else:
                        answer = queue_of(pool).ask(Urgency(urgency), method, *args)
                    await asyncio.wait({answer, coming}, return_when=asyncio.FIRST_COMPLETED)
                    if not answer.done():
                        answer.cancel()
                        return
                    writer.write(_packed(("done", answer.result())))
                except _FAILURES as error:
                    writer.write(_packed((_kind(error), str(error))))
                await writer.drain()
        except (EOFError, OSError):  # the call worker has ended (an IncompleteReadError is an EOFError)
            return
        finally:
            if coming is not None and not coming.cancel() and not coming.cancelled():
                coming.exception()  # it is known
            writer.transport.abort()  # what the call worker has not read, it does not want
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _kind(error: Exception) -> str:
    return next((kind for failure, kind in _KINDS.items() if isinstance(error, failure)), "lost")


async def _receive(reader: asyncio.StreamReader) -> Any:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if length > MAX_MESSAGE:
        raise OSError(f"a message of {length} bytes")
    body = await reader.readexactly(length)
    try:
        return pickle.loads(body)
    except Exception as error:  # unpickling raises errors of any kind
        raise OSError(f"a message that cannot be read: {type(error).__name__}: {error}") from error


def _packed(answer: tuple[str, Any]) -> bytes:
    body = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body
