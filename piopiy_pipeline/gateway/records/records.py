"""The records of a gateway's calls, as the event loop uses them: nothing here waits for a disk.

What happens to calls waits in a bounded queue. One thread writes it, at once; what came meanwhile goes into
the next transaction. A database that fails while the gateway runs is tried again with growing pauses, for
as long as the gateway lives. Calls are not affected.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loguru import logger

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records.folders import delete_recordings, recordings_folder
from piopiy_pipeline.gateway.records.models import CallDetail, CallPage, RecordsReplaced, RecordsUnavailable
from piopiy_pipeline.gateway.records.saved_items import ItemKind, SavedItem
from piopiy_pipeline.gateway.records.write_queue import WriteQueue
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.text import counted

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.records.store import Store

__all__ = ["Records"]

T = TypeVar("T")

LEASE_RENEWAL_S = 15.0
"""How often this gateway renews its lease in the database: four times in `lost_calls.LEASE_S`."""
DAY_S = 86_400.0
RETRY_S = (0.5, 30.0)
"""The first and the longest pause before a database that failed is tried again."""
STUCK_S = 20.0
"""The connections to a database that has not answered for this long are cut."""
ANSWER_S = STUCK_S + 5
"""How long a query waits for its answer."""
FLUSH_S = 3.0
"""How long the end of the gateway waits for what is still to be written."""
READY_S = 10.0
"""How long a query waits for a database that is being opened."""
FRESH_S = 0.5
"""How long a query waits until what happened before it is written."""
REMIND_S = 600.0
"""How often the log says again that the database does not work."""
NOTICE_S = 3600.0
"""How many seconds `Records.problem` reports a database that was lost, or an internal error."""
MAX_PAGE = 200
MAX_QUERIES = 64


class Records:
    """The records of calls in a database. It is a `CallArchive`; `on_event` must get every event of the bus.

    Events may come before `start` has opened the database: they wait.

    Args:
        config: Where the database and the recordings are, and for how many days they are kept.
        wall: The clock that people read: Unix time in seconds.
        on_lost: Called when another gateway was lost, and its calls were closed.
    """

    def __init__(
        self,
        config: GatewayConfig,
        *,
        wall: Callable[[], float] = time.time,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.gone: Callable[[], Mapping[str, float]] = dict
        """Returns the names of gateways that are gone, as their calls' rows have them, each with how many seconds ago
        it was heard last. Their open calls are read as lost, before the rows say so.
        """
        self._config = config
        self._wall = wall
        self._on_lost = on_lost
        self._queue = WriteQueue()
        self._writing = Lane("records", threads=1)
        self._reading = Lane("records-read", threads=2, ordered=False, limit=MAX_QUERIES)
        self._deleting = Lane("recordings-delete", limit=1)  # a large folder, or one that never answers
        self._store: Store | None = None
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._written = asyncio.Event()  # replaced by another after each transaction
        self._begun = 0  # batches, of which the last may be under way
        self._done = 0
        self._writer: asyncio.Task[None] | None = None
        self._starting: asyncio.Future[Store] | None = None
        self._closed = False
        self._failing: str | None = None  # why the last attempt to write failed
        self._loss: tuple[float, str] | None = None  # when and how records were lost, or may have been
        self._failure: str | None = None  # why there will be no database

    # ------------------------------------------------------------------ start and end

    async def start(self, port: int | None = None) -> None:
        """Open the database, create or migrate its tables, and begin to write.

        Args:
            port: The port on which the gateway listens, if the configuration leaves that open. The machine's
                name, the address and the port are the gateway's name in the database.

        Raises:
            GatewayError: The database cannot be used. The message says what to do.
        """
        if self._starting is not None:
            raise GatewayError("these records have been started already")
        self._starting = self._writing.submit(_open, self._config, self.name_at(port))
        try:
            store = await asyncio.shield(self._starting)
        except GatewayError as error:
            self._failure = str(error)
            self._ready.set()
            raise
        if self._closed:
            return
        self._store = store
        self._writer = asyncio.create_task(self._write_all(store))
        self._ready.set()
        logger.info("records of calls are kept in {}", store.place)

    def name_at(self, port: int | None) -> str:
        """Return the gateway's name in the database, if it listens on this port; None: on that of the configuration."""
        address = f"{self._config.host}:{self._config.port if port is None else port}"
        return f"{socket.gethostname()} {address}"

    async def close(self) -> None:
        """Write what waits, for a few seconds at most, and close the database. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        store = self._store
        if self._writer is not None:
            await asyncio.wait((self._writer,), timeout=FLUSH_S)
            self._writer.cancel()
            await asyncio.wait((self._writer,))
        elif self._starting is not None:
            await asyncio.wait((self._starting,), timeout=READY_S)
            if self._starting.done() and not self._starting.cancelled() and not self._starting.exception():
                store = self._starting.result()
        if store is not None:
            closing = self._writing.submit(store.close)
            await asyncio.wait((closing,), timeout=FLUSH_S)
            if not closing.done():
                store.cut()  # or a thread that waits would keep the process from ending
                await asyncio.wait((closing,), timeout=FLUSH_S)
        if left := len(self._queue) + self._queue.lost:
            them = counted(left, "call or event", "calls and events")
            logger.error("records of calls: {} could not be written", them)
        for lane in (self._writing, self._reading, self._deleting):
            lane.close()

    # ------------------------------------------------------------------ what is to be written

    def on_event(self, event: BusEvent) -> None:
        """Queue an event of the bus to be written. Partial events of conversations are left out."""
        if self._failure is None and not self._closed and self._queue.add(event):
            self._wake.set()

    def recorded(self, call_id: str, path: str) -> None:
        """Queue that a call's recording is finished. `path` is its file below the folder of recordings."""
        if self._failure is None and not self._closed and self._queue.add_recording(call_id, path):
            self._wake.set()

    # ------------------------------------------------------------------ saved items

    def save(self, kind: ItemKind, key: str, data: dict[str, Any], *, of_lost_call: bool = False) -> None:
        """Queue a saved item to be written. It replaces an earlier one of this kind and key.

        Args:
            kind: What it is.
            key: Its name among those of its kind.
            data: What is to be known of it.
            of_lost_call: Whether it is the checkpoint of a call that was lost. Else one of a call that is not under way
                is left out.
        """
        if self._failure is not None or self._closed:
            return
        if self._queue.save(kind, key, data, self._wall(), of_lost_call=of_lost_call):
            self._wake.set()

    def forget(self, kind: ItemKind, key: str) -> None:
        """Queue a saved item to be deleted."""
        if self._failure is None and not self._closed and self._queue.forget(kind, key):
            self._wake.set()

    async def own_items(self, kind: ItemKind, limit: int) -> list[SavedItem]:
        """Return the items of a kind that this gateway saved, in their order, at most `limit`.

        Raises:
            RecordsUnavailable: The database does not answer.
        """
        store = await self._opened()
        return await self._query(store.own_items, kind, limit)

    async def item(self, kind: ItemKind, key: str) -> SavedItem | None:
        """Return an item that a gateway on this database saved, or None. What this one saved and forgot before counts.

        Raises:
            RecordsUnavailable: The database does not answer, or does not take what waits to be written.
        """
        store = await self._opened()
        if self._failing is not None or not await self._written_within(ANSWER_S):
            raise RecordsUnavailable(self._failing or "records of calls: what waits is not written")
        return await self._query(store.item, kind, key)

    async def take_item(
        self, kind: ItemKind, key: str, fits: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any] | None:
        """Return the data of an item and delete it, if there is one that `fits`. Nobody can take it twice.

        Raises:
            RecordsUnavailable: The database does not answer.
        """
        store = await self._opened()
        return await self._run(self._writing, store.take_item, kind, key, fits)

    # ------------------------------------------------------------------ what is not kept

    @property
    def lost(self) -> int:
        """How many calls, events and recordings were lost, because the queue was full while the database was
        away.
        """
        return self._queue.lost

    @property
    def waiting(self) -> int:
        """How many calls, events, recordings and saved items are not written yet."""
        return len(self._queue)

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing is not None

    @property
    def problem(self) -> str:
        """Why not everything is kept, in a sentence for the operator; an empty string if everything is."""
        if self._failure is not None:
            return f"no records are kept: {self._failure}"
        if self._failing is not None:
            return f"{self._failing} (waiting: {len(self._queue)}, lost: {self._queue.lost})"
        if self._loss is not None and self._wall() - self._loss[0] < NOTICE_S:
            return self._loss[1]
        return ""

    # ------------------------------------------------------------------ queries

    async def page(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """Do as `CallArchive.page` says, for calls in progress and past ones.

        Raises:
            ValueError: `limit` is not from 1 to 200.
            BadCursor: `before` is not the `next` of a page.
            RecordsUnavailable: The database does not answer.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit: {limit} is not between 1 and {MAX_PAGE}")
        store = await self._opened()
        return await self._query(store.page, limit, before, agent_id, kind, phase, self.gone())

    async def detail(self, call_id: str) -> CallDetail | None:
        """Return a call and the events of its conversation, or None if there is no such call."""
        store = await self._opened()
        return await self._query(store.detail, call_id, self.gone())

    async def recording_path(self, call_id: str) -> Path | None:
        """Return the file of a call's recording, or None if there is none on this machine."""
        store = await self._opened()
        return await self._query(store.recording_path, call_id)

    async def _opened(self) -> Store:
        """Return the store, as soon as everything that happened before is written, or that takes too long."""
        try:
            async with asyncio.timeout(READY_S):
                await self._ready.wait()
        except TimeoutError:
            raise RecordsUnavailable("records of calls: the database is still being opened") from None
        if self._failure is not None:
            raise RecordsUnavailable(self._failure)
        if self._store is None or self._closed:
            raise RecordsUnavailable("records of calls: the gateway is shutting down")
        if not await self._written_within(FRESH_S):
            logger.debug("records of calls: answering with what is written so far")
        return self._store

    async def _written_within(self, limit_s: float) -> bool:
        """Wait until what is queued now is in the database, `limit_s` seconds at most. Says whether it is."""
        # What waits goes with the next batch, and what is under way with the last that was begun.
        batch = self._begun + (1 if len(self._queue) else 0)
        try:
            async with asyncio.timeout(limit_s):
                while self._done < batch:
                    await self._written.wait()
        except TimeoutError:
            return False
        return True

    async def _query(self, query: Callable[..., T], *args: object) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._run(self._reading, query, *args)
        except TimeoutError:  # a disk that does not answer has no connection that could be cut
            raise RecordsUnavailable("records of calls: the database does not answer") from None

    async def _run(self, lane: Lane, work: Callable[..., T], *args: object) -> T:
        """Run this in a thread. After `STUCK_S` the connections are cut, so that it fails."""
        try:
            answer = lane.submit(work, *args)
        except BlockingIOError:
            raise RecordsUnavailable("records of calls: too many questions at once") from None
        await asyncio.wait((answer,), timeout=STUCK_S)
        if not answer.done() and self._store is not None:
            logger.warning("records of calls: no answer for {:g} s: the connections are cut", STUCK_S)
            self._store.cut()
        return await answer

    # ------------------------------------------------------------------ the task that writes

    async def _write_all(self, store: Store) -> None:
        """Write, renew the lease and delete what is too old, until `close` and until nothing waits."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + LEASE_RENEWAL_S
        delete_at = loop.time() if self._config.keep_days is not None else math.inf
        pause, remind_at = RETRY_S[0], 0.0
        while not self._closed or len(self._queue):
            self._wake.clear()
            due = renew_at, delete_at
            try:
                if loop.time() >= renew_at:
                    renew_at = loop.time() + LEASE_RENEWAL_S
                    await self._renew_lease(store)
                elif len(self._queue):
                    await self._write_batch(store)
                elif loop.time() >= delete_at:
                    delete_at = loop.time() + DAY_S
                    if not await self._delete_old(store):
                        delete_at = loop.time()
                else:
                    await self._wait_for_work(min(renew_at, delete_at) - loop.time())
                    continue
            except RecordsReplaced as error:
                renew_at, delete_at = due
                logger.error("{}", error)
                self._loss = self._wall(), str(error)
                self._queue.add_calls_under_way(self._wall())
            except RecordsUnavailable as error:
                renew_at, delete_at = due
                if self._closed:
                    return
                if not self._failing or loop.time() >= remind_at:
                    remind_at = loop.time() + REMIND_S
                    logger.error("{}. Calls go on, and it is tried again until it works", error)
                self._failing = str(error)
                await self._pause(pause)
                pause = min(2 * pause, RETRY_S[1])
            except Exception as error:  # noqa: BLE001  without this task nothing would be written any more
                self._note_fault(error, "the lease was not renewed, or what is too old not deleted")
            else:
                if self._failing:
                    logger.info("records of calls are written again; lost meanwhile: {}", self._queue.lost)
                self._failing, pause = None, RETRY_S[0]

    async def _renew_lease(self, store: Store) -> None:
        told_before = store.to_tell
        if await self._run(self._writing, store.renew_lease):
            self._queue.add_calls_under_way(self._wall())
        if store.to_tell > told_before:
            self._on_lost()

    async def _write_batch(self, store: Store) -> None:
        batch = self._queue.take()
        self._begun += 1
        try:
            await self._run(self._writing, store.write, batch)
        except RecordsUnavailable:
            self._queue.put_back(batch)
            self._begun -= 1
            raise
        except Exception as error:  # noqa: BLE001
            # The batch is not tried again: it would fail again, and everything would wait behind it.
            self._note_fault(error, f"{counted(len(batch), 'row')} could not be written")
        self._done = self._begun
        done, self._written = self._written, asyncio.Event()
        done.set()

    def _note_fault(self, error: Exception, what: str) -> None:
        """Tell of an error that nobody has foreseen. What failed is tried again at its next time."""
        logger.opt(exception=error).error("records of calls: {}", what)
        self._loss = self._wall(), f"records of calls: {what}, by an internal error: see the log"

    async def _delete_old(self, store: Store) -> bool:
        """Delete some of the calls that are too old, or if there are none the recordings. Says whether that was all."""
        assert self._config.keep_days is not None
        before = self._wall() - self._config.keep_days * DAY_S
        if await self._run(self._writing, store.delete_calls, before):
            return False
        try:
            deletion = self._deleting.submit(delete_recordings, recordings_folder(self._config), before)
        except BlockingIOError:
            logger.warning("recordings: the old ones of yesterday are still being deleted")
        else:  # not waited for: the lease is renewed meanwhile
            deletion.add_done_callback(_log_failure)
        return True

    async def _wait_for_work(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, min(seconds, DAY_S))):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _pause(self, seconds: float) -> None:
        """Wait this long, whatever is queued meanwhile, but not beyond `close`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._closed and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await self._wait_for_work(left)
            self._wake.clear()


def _log_failure(deletion: asyncio.Future[int]) -> None:
    if not deletion.cancelled() and (error := deletion.exception()) is not None:
        logger.opt(exception=error).error("recordings: old ones could not be deleted")


def _open(config: GatewayConfig, name: str) -> Store:
    """Open the database, in the writing thread."""
    from piopiy_pipeline.gateway.records.store import Store  # SQLAlchemy takes half a second to import

    return Store(config, name)
