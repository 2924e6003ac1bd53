"""`ClusterCalls`: the calls of all gateways, for the console of this one, and those of this one for the other consoles.

Nothing is told as long as nobody looks. While somebody looks at all calls at any gateway, its presence says so, and the
others tell what changes among theirs, twice a second at most. One call is watched by asking its gateway for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.gateway.cluster.call_watches import MOST_WATCHED, RENEW_S, CallWatches
from piopiy_pipeline.gateway.cluster.calls_elsewhere import CallsElsewhere
from piopiy_pipeline.gateway.cluster.console_messages import (
    CallChanges,
    RelayedAnswer,
    RelayedRequest,
    ReportedEvent,
    SendCalls,
    WatchCall,
    WatchedReport,
)
from piopiy_pipeline.gateway.cluster.directory import ClusterDirectory
from piopiy_pipeline.gateway.cluster.directory_messages import GatewayNotice
from piopiy_pipeline.gateway.cluster.other_gateways import OtherGateways
from piopiy_pipeline.gateway.cluster.own_calls import OwnCalls, entry_of
from piopiy_pipeline.gateway.cluster.own_health import MOST_TOLD, OwnHealth
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["ClusterCalls", "ConsoleHost"]

TELL_S = 0.5
"""How often what has changed is told."""
HEALTH_S = 2.0
"""How often is told how this gateway is."""
MORE_S = 0.1
"""How soon the rest is told of what did not fit into one message."""
LOOK_S = 20.0
"""So long after somebody has looked at all calls they are told still."""
FIND_S = 0.4
"""How long a gateway may take to say that it has a call."""
BEGIN_S = 1.5
"""How long it may take until the events of a call at another gateway come."""
TOLD_S = 1.5
"""So long the first look waits for how the others are: they tell it half a second after they hear of it."""
MOST_EVENT_CHARS = 16_000
"""A longer event is not told to other gateways: the call's details have it."""
MOST_FOUND = 1000
"""Of so many calls it is remembered where they are."""
MOST_SEARCHED = 32
"""So many calls are looked for at a time, so that they can be watched."""


class ConsoleHost(Protocol):
    """The API of this gateway, as the cluster uses it."""

    async def carry_out(self, request: RelayedRequest) -> RelayedAnswer:
        """Carry out a request that came to another gateway."""

    def record_of(self, call_id: str) -> dict[str, Any] | None:
        """Return the record of a call that is here, or was until a while ago."""

    def watched(self) -> set[str]:
        """Return which calls that are not here are watched, some dozens at most."""

    def on_report(self, report: WatchedReport) -> None:
        """Show what has happened in a call that is watched."""

    def on_gone(self, call_id: str) -> None:
        """Show that a call that is watched is gone with its gateway."""


class ClusterCalls:
    """The calls of a cluster, as one gateway sees them. It has a timer of its own from `open` to `close`.

    Args:
        switchboard: The gateway's calls.
        directory: Carries what is told.
        others: The other gateways.
        health: Says how this gateway is.
        announce: Tells the others at once that somebody looks, or no more.
        process: Which process this gateway is, a name chosen anew with every start.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        directory: ClusterDirectory,
        others: OtherGateways,
        health: OwnHealth,
        announce: Callable[[], None],
        process: str,
    ) -> None:
        self.host: ConsoleHost | None = None
        """The API. None: a gateway without one."""
        self.elsewhere = CallsElsewhere()
        self._name = name = health.name
        self._health = health
        self._healthy_at = float("-inf")  # when it was told last how this gateway is
        self._switchboard = switchboard
        self._directory = directory
        self._others = others
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._own = OwnCalls(name, process, self.entry)
        self._news = asyncio.Event()  # something came from another gateway
        self._watches = CallWatches()
        self._watchers: set[str] = set()  # the gateways at which somebody looks at all calls
        self._refused_watchers: set[str] = set()  # those that were told nothing of a call, one too many
        self._look_until = float("-inf")
        self._found: dict[str, str] = {}  # where calls are that were looked for
        self._asked: dict[str, float] = {}  # when a watch was asked for last
        self._followed: set[str] = set()  # calls elsewhere of which something has come
        self._beginning: dict[str, asyncio.Event] = {}  # watches of which nothing has come yet
        self._tasks: set[asyncio.Task[bool]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin."""
        self._unsubscribe = self._switchboard.event_bus.subscribe(self._on_event)
        self._timer = self._loop.call_later(TELL_S, self._tick)

    async def close(self) -> None:
        """Tell nothing more."""
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def looking(self) -> bool:
        """Whether somebody here looks at all calls."""
        return self._loop.time() < self._look_until

    def look(self) -> None:
        """Note that somebody looks at all calls now: from now on they come from the others, for a while."""
        looked, self._look_until = self.looking, self._loop.time() + LOOK_S
        if not looked:
            self._announce()

    async def look_first(self) -> bool:
        """Note that somebody looks; if nobody did until now, wait for what the others say of themselves, for a moment.

        Returns:
            Whether all others have said how they are.
        """
        looked = self.looking
        self.look()
        if not looked:
            try:
                async with asyncio.timeout(TOLD_S):
                    while not self._all_well_known():
                        self._news.clear()
                        await self._news.wait()
            except TimeoutError:
                pass
        return self._all_well_known()

    def _all_well_known(self) -> bool:
        there = self._others.there(self._loop.time())
        return all(self.elsewhere.health(one.gateway) is not None for one in there)

    async def where(self, call_id: str) -> str | None:
        """Return which other gateway has a call, or had it until a while ago."""
        known = self.elsewhere.where(call_id) or self._found.get(call_id)
        if known is not None and self._is_there(known):
            return known
        self._found.pop(call_id, None)
        found = await self._directory.find_call(call_id, FIND_S)
        if found is None or found == self._name:
            return None
        if len(self._found) >= MOST_FOUND:
            self._found.clear()
        self._found[call_id] = found
        return found

    def entry(self, call: GatewayCall) -> Any:
        """Return a call that is here as the list of all calls has it."""
        return entry_of(call, self._switchboard.event_bus.wall(), self._loop.time())

    # ------------------------------------------------------------------ the directory's side

    def on_changes(self, changes: CallChanges) -> None:
        """Take what another gateway tells of its calls."""
        now = self._loop.time()
        if not self.looking or changes.gateway == self._name:
            return
        if not self._others.left_out(changes.gateway, changes.epoch, now) and self.elsewhere.take(
            changes, now
        ):
            self._ask_again(changes.gateway)
        self._news.set()

    def on_notice(self, notice: SendCalls | WatchCall | WatchedReport) -> None:
        """Take what another gateway says to this one."""
        match notice:
            case SendCalls(asker=asker):
                self._watchers.add(asker)
                self._own.begin_again()
            case WatchCall(call_id=call_id, watcher=watcher, begin=begin) if self.has_call(call_id):
                if not self._watches.watch(call_id, watcher, self._loop.time()):
                    self._refused(call_id, watcher)
                if begin:
                    self._report([watcher], WatchedReport(call_id=call_id, record=self._record(call_id)))
            case WatchedReport(call_id=call_id):
                self._followed.add(call_id)
                if (begun := self._beginning.get(call_id)) is not None:
                    begun.set()
                if self.host is not None:
                    self.host.on_report(notice)
            case _:
                pass

    def _refused(self, call_id: str, watcher: str) -> None:
        """Say once that what a console asks for is not told."""
        if watcher not in self._refused_watchers:
            self._refused_watchers.add(watcher)
            logger.bind(call_id=call_id).warning(
                "the console of gateway {} is told nothing new of this call, nor of other calls beyond the {} that are "
                "watched here at most: close some of its pages",
                watcher,
                MOST_WATCHED,
            )

    def has_call(self, call_id: str) -> bool:
        """Return whether a call is here, or was until a while ago."""
        return self._switchboard.call(call_id) is not None or self._record(call_id) is not None

    def lost(self, gateway: str) -> None:
        """Note that a gateway leaves."""
        self.elsewhere.forget(gateway)
        self._watchers.discard(gateway)
        self._refused_watchers.discard(gateway)

    # ------------------------------------------------------------------ what is told

    def _on_event(self, event: BusEvent) -> None:
        call_id = event.call.call_id if isinstance(event, CallChanged) else event.call_id
        if not len(self._watches):
            return
        now = self._loop.time()
        watchers = self._watches.watchers(call_id, now)
        if not watchers:
            return
        if isinstance(event, CallChanged):
            self._report(watchers, WatchedReport(call_id=call_id, record=self._record(call_id)))
            if event.call.ended_at is not None:
                self._watches.forget(call_id)
        elif self._watches.may_tell(call_id, now, partial=event.partial):
            reported = ReportedEvent(number=event.number, at=event.at, event=event.event, data=event.data)
            if len(str(event.data)) <= MOST_EVENT_CHARS:
                self._report(watchers, WatchedReport(call_id=call_id, event=reported))

    def _report(self, watchers: list[str], report: WatchedReport) -> None:
        notice = GatewayNotice(notice=report)
        for watcher in watchers:
            self._directory.notify(watcher, notice)

    def _record(self, call_id: str) -> dict[str, Any] | None:
        return None if self.host is None else self.host.record_of(call_id)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(
            TELL_S, self._tick
        )  # first: an error below does not end the next ones
        now = self._loop.time()
        there = self._others.there(now)
        names = [one.gateway for one in there]
        more = self._tell({one.gateway for one in there if one.watching}, now)
        if self.looking:
            self.elsewhere.keep(names)
            for gateway in self.elsewhere.ask_again(names, now):
                self._ask_again(gateway)
        else:
            self.elsewhere.keep(())
        self._renew(now)
        if more:
            self._timer.cancel()
            self._timer = self._loop.call_later(MORE_S, self._tick)

    def _tell(self, watchers: set[str], now: float) -> bool:
        """Tell what has changed, if somebody looks. Returns whether there is more."""
        if watchers - self._watchers:
            self._own.begin_again()
            self._healthy_at = float("-inf")
        self._watchers = watchers
        if not watchers:
            return False
        health = None
        if now >= self._healthy_at + HEALTH_S:
            self._healthy_at, health = now, self._health.tell(MOST_TOLD)
        changes, more = self._own.changes(self._switchboard.calls, health)
        if changes is not None:
            self._directory.publish_changes(changes)
        return more

    def _ask_again(self, gateway: str) -> None:
        self._directory.notify(gateway, GatewayNotice(notice=SendCalls(asker=self._name)))

    # ------------------------------------------------------------------ calls that are watched from here

    async def watch(self, call_ids: Collection[str]) -> None:
        """Have the events of calls at other gateways come, as long as they are `ConsoleHost.watched`. Returns when they
        do, or when it is clear that they will not.

        Args:
            call_ids: The calls: some dozens at most.
        """
        await asyncio.gather(*(self._begin_watch(call_id) for call_id in call_ids))

    async def _begin_watch(self, call_id: str) -> None:
        self._asked[call_id] = self._loop.time()
        begun = self._beginning.setdefault(call_id, asyncio.Event())
        try:
            async with asyncio.timeout(BEGIN_S):
                if await self._ask_to_watch(call_id, begin=True):
                    await begun.wait()
        except TimeoutError:
            pass
        finally:
            self._beginning.pop(call_id, None)

    def _renew(self, now: float) -> None:
        wanted = set() if self.host is None else self.host.watched()
        self._asked = {call_id: at for call_id, at in self._asked.items() if call_id in wanted}
        self._followed &= wanted
        for call_id in wanted:
            if now >= self._asked.get(call_id, float("-inf")) + RENEW_S and len(self._tasks) < MOST_SEARCHED:
                self._asked[call_id] = now
                task = self._loop.create_task(self._ask_to_watch(call_id), name=f"{call_id}::watch")
                self._tasks.add(task)
                task.add_done_callback(self._asked_to_watch)

    def _asked_to_watch(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("a call elsewhere is not watched: it is tried again")

    async def _ask_to_watch(self, call_id: str, *, begin: bool = False) -> bool:
        """Ask the gateway that has a call to tell of it. Returns whether there is one."""
        gateway = await self.where(call_id)
        if gateway is not None:
            order = WatchCall(
                call_id=call_id, watcher=self._name, begin=begin or call_id not in self._followed
            )
            self._directory.notify(gateway, GatewayNotice(notice=order))
        elif call_id in self._followed and not self._directory.problem and self.host is not None:
            self._followed.discard(call_id)
            self.host.on_gone(call_id)
        return gateway is not None

    def _is_there(self, gateway: str) -> bool:
        return any(one.gateway == gateway for one in self._others.there(self._loop.time()))
