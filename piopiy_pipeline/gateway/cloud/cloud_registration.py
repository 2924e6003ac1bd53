"""`CloudRegistration`: keeps the gateway registered at Piopiy's cloud, as long as it is to take calls.

A connection that ends is made again. A worker that the cloud has drained is done with: the cloud sends it no job any
more. Piopiy's own worker ends its process then, and a supervisor starts it again. A gateway has other calls, too, so a
new worker takes the place of the drained one after a pause, in the same process.

Tested in ``tests/cloud/test_cloud_registration.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
from loguru import logger

from piopiy_pipeline._version import __version__
from piopiy_pipeline.compat.piopiy_agent import SingleConnectionWorker
from piopiy_pipeline.gateway.cloud.config import CloudConfig

if TYPE_CHECKING:
    from piopiy_agent import Job

__all__ = ["CloudRegistration"]

DRAINED_S = 30.0
"""A worker that the cloud has drained is followed by a new one after so many seconds."""
FLUSH_S = 1.0
"""How long a drained worker stays connected when its last job is over, for what it has still to send, in seconds."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
"""The wait before a connection is made again. It doubles each time, unless the cloud had taken the registration."""
REMIND_S = 300.0
"""The same trouble is told again after so many seconds."""
_MOST_TEXT = 200
_HELP = 'docs/cloud.md, "When no call comes"'
_NOT_KNOWN = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class CloudRegistration:
    """The registration. `run` it in a task, and cancel that.

    Args:
        config: The settings.
        on_job: Serves a job until its call has ended.
    """

    def __init__(self, config: CloudConfig, on_job: Callable[[Job], Awaitable[None]]) -> None:
        self._config = config
        self._on_job = on_job
        self._worker = self._new_worker()
        self._said: object = None
        self._said_at = 0.0

    async def run(self) -> None:
        """Register, and take jobs. Returns only when a gateway that drains has lost the connection."""
        while True:
            await self._serve(self._worker)
            if self._worker.held:
                return
            logger.warning("Piopiy's cloud has drained this worker: it registers again in {:g} s", DRAINED_S)
            await asyncio.sleep(DRAINED_S)
            if self._worker.held:
                return
            self._worker = self._new_worker()

    async def switch_drain(self, *, on: bool) -> None:
        """Take no more jobs, while calls in progress go on; or take jobs again."""
        await self._worker.switch_drain(on=on)

    def _new_worker(self) -> _Worker:
        worker = _Worker(
            agent_id=self._config.agent_id,
            token=self._config.token,
            register=self._config.address,
            tls=self._config.tls,
            max_sessions=self._config.max_calls,
            runtime=f"piopiy_pipeline/{__version__}",
        )
        worker.on_job(self._on_job)
        return worker

    async def _serve(self, worker: _Worker) -> None:
        """Serve with one worker, over as many connections as it takes, until it is drained."""
        wait_s = FIRST_WAIT_S
        while True:
            trouble = await self._connected(worker)
            if worker.drained or (worker.held and worker.idle):
                return
            if worker.registered:
                wait_s, self._said = FIRST_WAIT_S, None
            self._tell(worker, trouble)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await worker.is_drained.wait()
                    return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _connected(self, worker: _Worker) -> Exception | None:
        """Return when a connection has ended, or the worker is drained; with what has ended it, if that is known."""
        connection = asyncio.create_task(worker.connect_once(), name="connection to Piopiy's cloud")
        drained = asyncio.create_task(worker.is_drained.wait())
        try:
            await asyncio.wait((connection, drained), return_when=asyncio.FIRST_COMPLETED)
            if not connection.done():
                await asyncio.wait((connection,), timeout=FLUSH_S)
        finally:
            drained.cancel()
            connection.cancel()
            await asyncio.wait((connection, drained))
        if connection.cancelled():
            return None
        error = connection.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return error

    def _tell(self, worker: _Worker, trouble: Exception | None) -> None:
        """Say why there is no connection and what to do about it, once for as long as it stays the same."""
        now = asyncio.get_running_loop().time()
        kind = trouble.code() if isinstance(trouble, grpc.aio.AioRpcError) else type(trouble)
        logger.debug("the connection to Piopiy's cloud has ended: {}", repr(trouble)[:_MOST_TEXT])
        if kind == self._said and now - self._said_at < REMIND_S:
            return
        self._said, self._said_at = kind, now
        logger.warning("{}", self._sentence(worker, trouble))

    def _sentence(self, worker: _Worker, trouble: Exception | None) -> str:
        agent_id, address = self._config.agent_id, self._config.address
        if isinstance(trouble, grpc.aio.AioRpcError):
            if trouble.code() in _NOT_KNOWN:
                return (
                    f"Piopiy's cloud at {address} refuses agent {agent_id!r} with this token: no call comes. Check"
                    f" id and token against Piopiy's dashboard ({_HELP}). It is tried again"
                )
            why = f"{trouble.code().name}: {' '.join((trouble.details() or '').split())[:_MOST_TEXT]}"
        else:
            why = "it has closed the connection" if trouble is None else repr(trouble)[:_MOST_TEXT]
        if worker.registered:
            return f"the connection to Piopiy's cloud at {address} is lost, and is made again ({why})"
        return (
            f"Piopiy's cloud is not reached at {address}: no call comes. Check the address, tls and the network"
            f" ({_HELP}). It is tried again ({why})"
        )


class _Worker(SingleConnectionWorker):
    """A worker that notes when the cloud has drained it."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.is_drained = asyncio.Event()

    def on_registered(self) -> None:
        logger.info("taking calls of Piopiy's cloud as {}, at {}", self.agent_id, self.register)

    def on_status(self) -> None:
        if self.drained:
            self.is_drained.set()
        else:
            self.is_drained.clear()
