"""The records of a gateway's calls, as the event loop sees them: nothing here waits for a disk.

What happens is told to `watcher` and waits in a bounded backlog; one thread writes it, at once, and
what came meanwhile goes into the next transaction. A database that fails in mid-run is tried again
with growing pauses, for as long as the gateway lives; calls do not notice.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records.backlog import Backlog
from piopiy_pipeline.gateway.records.folders import delete_recordings, recordings_folder
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.offload import Lane

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.records.models import CallDetail, CallPage
    from piopiy_pipeline.gateway.records.store import Store

__all__ = ["Records"]

T = TypeVar("T")

BEAT_S = 15.0
"""How often this gateway says in the database that it lives: four times in `store.LEASE_S`."""
DAY_S = 86_400.0
RETRY_S = (0.5, 30.0)
"""The first and the longest pause before a database that failed is tried again."""
STUCK_S = 20.0
"""A database that has not answered for this long stands still: its connections are cut."""
ANSWER_S = STUCK_S + 5
"""How long a question waits for its answer."""
FLUSH_S = 3.0
"""How long the end of the gateway waits for what is still to be written."""
READY_S = 10.0
"""How long a question waits for a database that is being opened."""
FRESH_S = 0.5
"""How long a question waits for what was told before it."""
MAX_PAGE = 200
MAX_QUESTIONS = 64


class Records:
    """See the module. `start` opens the database, and may be called when calls are already coming in."""

    def __init__(self, config: GatewayConfig, *, wall: Callable[[], float] = time.time) -> None:
        self._config = config
        self._wall = wall
        self._backlog = Backlog()
        self._writing = Lane("records", threads=1)
        self._reading = Lane("records-read", threads=2, ordered=False, limit=MAX_QUESTIONS)
        self._store: Store | None = None
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._written = asyncio.Event()  # replaced by another after each transaction
        self._begun = 0  # batches, of which the last may be under way
        self._done = 0
        self._worker: asyncio.Task[None] | None = None
        self._starting: asyncio.Future[Store] | None = None
        self._closed = False
        self._failing = False
        self._failure: str | None = None  # why there will be no database

    # ------------------------------------------------------------------ life

    async def start(self, port: int | None = None) -> None:
        """Open the database, make or renew its tables, and begin to write.

        `port` is where the gateway listens, if the configuration leaves that open: the machine's name,
        address and port are the gateway's name in the database. Raises `GatewayError`, which says what to do.
        """
        if self._starting is not None:
            raise GatewayError("these records have been started already")
        address = f"{self._config.host}:{self._config.port if port is None else port}"
        name = f"{socket.gethostname()} {address}"
        self._starting = self._writing.submit(_open, self._config, name)
        try:
            store = await asyncio.shield(self._starting)
        except GatewayError as error:
            self._failure = str(error)
            self._ready.set()
            raise
        if self._closed:
            return
        self._store = store
        self._worker = asyncio.create_task(self._work(store))
        self._ready.set()
        logger.info("records of calls are kept in {}", store.place)

    async def close(self) -> None:
        """Write what waits, for a few seconds at most, and let the database go. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        store = self._store
        if self._worker is not None:
            await asyncio.wait((self._worker,), timeout=FLUSH_S)
            self._worker.cancel()
            await asyncio.wait((self._worker,))
        elif self._starting is not None:
            await asyncio.wait((self._starting,), timeout=READY_S)
            if self._starting.done() and not self._starting.cancelled() and not self._starting.exception():
                store = self._starting.result()
        if store is not None:
            goodbye = self._writing.submit(store.close)
            await asyncio.wait((goodbye,), timeout=FLUSH_S)
            if not goodbye.done():
                store.cut()  # or a thread that waits would keep the process from ending
                await asyncio.wait((goodbye,), timeout=FLUSH_S)
        if left := len(self._backlog) + self._backlog.lost:
            logger.error("records of calls: {} calls and events could not be written", left)
        self._writing.close()
        self._reading.close()

    # ------------------------------------------------------------------ what is told

    def watcher(self, news: BusEvent) -> None:
        """For `Watch.add`: keep this. Partial events are not kept."""
        if self._failure is None and not self._closed and self._backlog.tell(news):
            self._wake.set()

    def recorded(self, call_id: str, path: str) -> None:
        """A call's recording is finished: `path` is below the folder of recordings."""
        if self._failure is None and not self._closed and self._backlog.tell_recording(call_id, path):
            self._wake.set()

    @property
    def lost(self) -> int:
        """Calls, events and recordings that found no room while the database was away."""
        return self._backlog.lost

    @property
    def failing(self) -> bool:
        """Whether the database was away when it was last written to."""
        return self._failing

    # ------------------------------------------------------------------ what is asked

    async def page(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """Calls, the latest first, those under way among them. `before` is the `next` of another page.

        Raises `BadCursor`, `ValueError` for a `limit` that is not 1 to 200, `RecordsUnavailable`.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        store = await self._opened()
        return await self._ask(store.page, limit, before, agent_id, kind, phase)

    async def detail(self, call_id: str) -> CallDetail | None:
        """A call and what happened in it, or None if there is none. Raises `RecordsUnavailable`."""
        store = await self._opened()
        return await self._ask(store.detail, call_id)

    async def recording_path(self, call_id: str) -> Path | None:
        """The call's recording, if there is one here. Raises `RecordsUnavailable`."""
        store = await self._opened()
        return await self._ask(store.recording_path, call_id)

    async def _opened(self) -> Store:
        """The store, when it knows what was told so far, or when that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_S
        try:
            async with asyncio.timeout_at(deadline):
                await self._ready.wait()
        except TimeoutError:
            raise RecordsUnavailable("records of calls: the database is still being opened") from None
        if self._failure is not None:
            raise RecordsUnavailable(self._failure)
        if self._store is None or self._closed:
            raise RecordsUnavailable("records of calls: the gateway is shutting down")
        # What waits goes with the next batch, and what is under way with the last that was begun.
        await self._wait_for(self._begun + (1 if len(self._backlog) else 0))
        return self._store

    async def _wait_for(self, batch: int) -> None:
        try:
            async with asyncio.timeout(FRESH_S):
                while self._done < batch:
                    await self._written.wait()
        except TimeoutError:
            logger.debug("records of calls: answering with what is written so far")

    async def _ask(self, question: Callable[..., T], *args: object) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._in(self._reading, question, *args)
        except TimeoutError:  # a disk that stands still, too: there is nothing to cut
            raise RecordsUnavailable("records of calls: the database does not answer") from None
        except BlockingIOError:
            raise RecordsUnavailable("records of calls: too many questions at once") from None

    async def _in(self, lane: Lane, work: Callable[..., T], *args: object) -> T:
        """Have a thread do this, for `STUCK_S` at most."""
        answer = lane.submit(work, *args)
        await asyncio.wait((answer,), timeout=STUCK_S)
        if not answer.done() and self._store is not None:
            logger.warning("records of calls: no answer for {:g} s: the connections are cut", STUCK_S)
            self._store.cut()
        return await answer

    # ------------------------------------------------------------------ the one that writes

    async def _work(self, store: Store) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + BEAT_S
        clean_at = loop.time() if self._config.keep_days is not None else float("inf")
        pause = RETRY_S[0]
        while not self._closed or len(self._backlog):
            self._wake.clear()
            try:
                if loop.time() >= beat_at:
                    if await self._in(self._writing, store.renew):
                        self._backlog.tell_again(self._wall())
                    beat_at = loop.time() + BEAT_S
                elif len(self._backlog):
                    await self._write(store)
                elif loop.time() >= clean_at:
                    if await self._forget(store):
                        clean_at = loop.time() + DAY_S
                else:
                    await self._sleep(min(beat_at, clean_at) - loop.time())
                    continue
            except RecordsUnavailable as error:
                if self._closed:
                    return
                if not self._failing:
                    logger.error("{}. Calls go on, and it is tried again until it works", error)
                self._failing = True
                await self._rest(pause)
                pause = min(2 * pause, RETRY_S[1])
            else:
                if self._failing:
                    logger.info("records of calls are written again; lost meanwhile: {}", self._backlog.lost)
                self._failing, pause = False, RETRY_S[0]

    async def _write(self, store: Store) -> None:
        batch = self._backlog.take()
        self._begun += 1
        try:
            await self._in(self._writing, store.write, batch)
        except RecordsUnavailable:
            self._backlog.put_back(batch)
            self._begun -= 1
            raise
        except Exception:
            # Not again: what broke this once would break it for ever, and all that waits behind it.
            logger.exception("records of calls: {} rows could not be written", len(batch))
        self._done = self._begun
        done, self._written = self._written, asyncio.Event()
        done.set()

    async def _forget(self, store: Store) -> bool:
        """Delete some of what is too old. Says whether that was all."""
        assert self._config.keep_days is not None
        before = self._wall() - self._config.keep_days * DAY_S
        if await self._in(self._writing, store.forget, before):
            return False
        await self._reading.run(delete_recordings, recordings_folder(self._config), before)
        return True

    async def _sleep(self, seconds: float) -> None:
        """Until there is something to do."""
        try:
            async with asyncio.timeout(max(0.0, min(seconds, DAY_S))):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _rest(self, seconds: float) -> None:
        """So long, whatever comes; but not beyond the end."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._closed and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await self._sleep(left)
            self._wake.clear()


def _open(config: GatewayConfig, name: str) -> Store:
    """In the writing thread, because what this imports takes half a second."""
    store: Store = import_module("piopiy_pipeline.gateway.records.store").Store(config, name)
    return store
