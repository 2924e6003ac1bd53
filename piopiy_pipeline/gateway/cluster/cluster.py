"""`Cluster`: a gateway's part in a cluster: it is the core's `Summoner`, and the directory's member.

A thin shell around `Summonses` (calls here that want an instance of another gateway) and `Reservations` (places here
for calls of others), with their timer. The questions that are under way are in `InstanceSearches`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection

from loguru import logger

from piopiy_pipeline.gateway.cluster.announcements import Announcements
from piopiy_pipeline.gateway.cluster.cluster_calls import ClusterCalls
from piopiy_pipeline.gateway.cluster.cluster_conflicts import ClusterConflicts
from piopiy_pipeline.gateway.cluster.console_messages import (
    CallChanges,
    RelayedAnswer,
    RelayedRequest,
    SendCalls,
    WatchCall,
    WatchedReport,
)
from piopiy_pipeline.gateway.cluster.directory import ClusterDirectory
from piopiy_pipeline.gateway.cluster.directory_messages import (
    DirectoryAnswer,
    DirectorySearch,
    GatewayNotice,
    GatewayPresence,
    InstanceNews,
    NotComing,
    OtherVersion,
    PlacesWanted,
)
from piopiy_pipeline.gateway.cluster.gone_records import GoneRecords
from piopiy_pipeline.gateway.cluster.instance_searches import InstanceSearches
from piopiy_pipeline.gateway.cluster.other_gateways import OtherGateways
from piopiy_pipeline.gateway.cluster.others_watch import OthersWatch
from piopiy_pipeline.gateway.cluster.outages import Outages
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.cluster.reservations import Reservation, Reservations
from piopiy_pipeline.gateway.cluster.summonses import COME_S, Summons, Summonses
from piopiy_pipeline.gateway.core.detour import detour_limit
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied, Roam, Roaming, RoamRefused, RoamResult
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer

__all__ = ["Cluster"]


class Cluster:
    """One gateway among others. Use it in one event loop: `open`, then `close`.

    Args:
        name: The gateway's name, which no other one has.
        url: Where instances of other gateways reach this one.
        switchboard: The gateway's calls and instances. It has this cluster as its `Summoner` from now on.
        directory: Finds instances of other gateways.
        health: What this gateway says of itself to operators.
        keys: Digests of what all gateways should have alike, by what it is called.
    """

    def __init__(
        self,
        name: str,
        url: str,
        switchboard: Switchboard,
        directory: ClusterDirectory,
        health: OwnHealth | None = None,
        keys: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.health = health or OwnHealth(name, url, switchboard)
        """What this gateway says of itself to operators."""
        self._switchboard = switchboard
        self._directory = directory
        self._summonses = Summonses()
        self.summoned = self._summonses.outcomes
        self._reservations = Reservations(switchboard.instances)
        self.others = OtherGateways()
        """The other gateways, as they have said last."""
        process = secrets.token_hex(4)
        own = self.health.presence(process, keys or {})
        self.conflicts = ClusterConflicts(own, self.others)
        """What is wrong between the gateways."""
        self._process = process
        self._announcements = Announcements(
            own, switchboard, self._reservations, directory, lambda: self.calls.looking
        )
        self.calls = ClusterCalls(
            switchboard, directory, self.others, self.health, self._announcements.announce, process
        )
        """The calls of all gateways."""
        self._loop = asyncio.get_running_loop()
        self.gone_records = GoneRecords(self.health.records, self.others, self._loop.time())
        """Whose calls were lost with their gateway."""
        self.searches = InstanceSearches(name, url, directory, self.expects, self._answered)
        """The questions for instances of other gateways."""
        self._timer = ProtocolTimer(self._loop, wake_at=self._wake_at, tick=self._on_timer)
        self._dirty: set[str] = set()
        self._watch = OthersWatch(self.others, lambda: not self._problem)
        self._problem = ""
        self._outages = Outages()
        self.at_close: list[Callable[[], None]] = []
        """Called when this gateway leaves."""
        self._closed = False
        switchboard.resources.summoner = self
        switchboard.drain.other_gateways = lambda: [one.url for one in self.others.there(self._loop.time())]

    async def open(self) -> None:
        """Join the cluster. One whose directory cannot be reached now is joined later.

        Raises:
            GatewayError: It never can be.
        """
        await self._directory.open(self)
        self.on_connection()
        self._announcements.announce(hello=True)
        self.calls.open()
        self._watch.start()

    async def close(self) -> None:
        """Leave it."""
        self._closed = True
        for act in self.at_close:
            act()
        self._watch.close()
        self._timer.close()
        await self.searches.close()
        await self.calls.close()
        self._announcements.close()
        await self._directory.close()

    @property
    def problem(self) -> str:
        """What is wrong with the cluster, a sentence for operators; empty if nothing is."""
        return self._problem

    @property
    def cause(self) -> str:
        """Why that is so, in a few words without an address."""
        return self._directory.cause if self._problem else ""

    @property
    def store_problems(self) -> list[str]:
        """Why not everything is kept that other gateways would need, a sentence for each cause."""
        return self._directory.store_problems

    @property
    def unsent(self) -> list[str]:
        """What other gateways were not told although it should have been, a sentence for each cause."""
        return self._directory.unsent

    @property
    def at_odds(self) -> list[str]:
        """What is wrong between the gateways, a sentence for each cause."""
        return self.conflicts.problems(self._loop.time())

    # ------------------------------------------------------------------ the core's side

    def summon(
        self,
        call_id: str,
        agent_id: str,
        without: Collection[str],
        now: float,
        *,
        takeover: bool,
        apart: bool,
        most_busy: float | None = None,
    ) -> None:
        if self._closed or self._problem or self.searches.full:
            return
        summons = self._summonses.begin(call_id, agent_id, without, now)
        if summons is None:
            return
        self.searches.begin(summons, takeover=takeover, apart=apart, most_busy=most_busy)
        self._timer.arm()

    def detour(self, agent_id: str, here: float) -> float | None:
        if self._closed or self._problem or self.searches.in_vain(agent_id):
            return None
        return detour_limit(here)

    def expects(self, call_id: str) -> bool:
        return self._summonses.expects(call_id)

    def why_nobody(self, call_id: str) -> str:
        return self._problem or self._summonses.why(call_id)

    def forget(self, call_id: str) -> None:
        unused = self._summonses.forget(call_id)
        if unused is not None:
            self._send_back(unused)

    def elsewhere(self, agent_id: str) -> int:
        return self.others.instances(agent_id, self._loop.time())

    def has_place(self, agent_id: str) -> bool:
        return self.others.has_place(agent_id, self._loop.time())

    def receive(self, instance: Instance, message: Roaming | RoamResult, now: float) -> None:
        if isinstance(message, RoamResult):
            self._settled(instance, message, now)
        elif instance.roaming:
            self._arrived(instance, message, now)

    def changed(self, agent_id: str) -> None:
        if not self._dirty and not self._closed:
            self._loop.call_soon(self._tell_places)
        self._dirty.add(agent_id)

    def pass_on(self, agent_id: str, news: InstanceDied | Blocked) -> None:
        died, blocked = (news, None) if isinstance(news, InstanceDied) else (None, news)
        notice = GatewayNotice(notice=InstanceNews(agent_id=agent_id, died=died, blocked=blocked))
        for other in self.others.there(self._loop.time()):
            self._directory.notify(other.gateway, notice)

    def lost(self, instance: Instance) -> None:
        for one in self._reservations.lose(instance):
            self._not_coming(one, "the connection to the agent was lost")

    # ------------------------------------------------------------------ calls here

    def agent_of(self, ticket: str) -> str | None:
        """Return whose instance may connect with this ticket; None: nobody's."""
        return self._summonses.agent_of(ticket, self._loop.time())

    def _answered(self, summons: Summons, instance_id: str | None, for_less_busy: bool) -> None:
        now = self._loop.time()
        if self._summonses.answered(summons, instance_id, now):
            if for_less_busy:  # the call has a place here, and may want any instance a little later
                self._summonses.forget(summons.call_id)
                self.searches.note_in_vain(summons.agent_id)
            self._ask(summons.call_id, now)
        self._timer.arm()

    def _arrived(self, instance: Instance, message: Roaming, now: float) -> None:
        call = self._switchboard.call(message.call_id)
        if not self._summonses.arrive(instance, message.call_id, message.ticket, now) or call is None:
            detail = "the call is over, or did not wait so long"
            instance.link.send(RoamRefused(call_id=message.call_id, detail=detail))
            return
        self._timer.arm()
        self._ask(message.call_id, now)
        if call.phase in (Phase.SETUP, Phase.LIVE):
            self._switchboard.silences.look_again(now)

    def _ask(self, call_id: str, now: float) -> None:
        """Have a call that is with nobody ask, because somebody has come for it, or nobody does."""
        call = self._switchboard.call(call_id)
        if call is not None and call.phase is Phase.OFFERING and call.agent.assignment.offer is None:
            call.agent.ask_next(now)

    def _send_back(self, summons: Summons) -> None:
        if summons.instance is not None:
            detail = "the call is over, or another instance has it"
            summons.instance.link.send(RoamRefused(call_id=summons.call_id, detail=detail))

    # ------------------------------------------------------------------ instances that are at home here

    def on_search(self, search: DirectorySearch) -> DirectoryAnswer:
        now = self._loop.time()
        instance = None
        if search.gateway != self.name and not self._closed:
            instance = self._reservations.reserve(search, now)
        if instance is None:
            self.changed(search.agent_id)
            return DirectoryAnswer(gateway=self.name)
        order = Roam(
            call_id=search.call_id, url=search.url, ticket=search.ticket, deadline_ms=search.deadline_ms
        )
        instance.link.send(order)
        self.changed(search.agent_id)
        self._timer.arm()
        return DirectoryAnswer(gateway=self.name, instance_id=instance.instance_id)

    def _settled(self, instance: Instance, result: RoamResult, now: float) -> None:
        kept = self._reservations.settle(instance, result.call_id)
        if kept is None:
            return
        if not result.taken:
            self._not_coming(kept, result.detail)
        self._place_free(instance.agent_id, now)

    def _not_coming(self, kept: Reservation, detail: str) -> None:
        logger.bind(call_id=kept.call_id).debug(
            "instance {} does not take a call of gateway {}: {}",
            kept.instance.instance_id,
            kept.gateway,
            detail,
        )
        notice = NotComing(call_id=kept.call_id, instance_id=kept.instance.instance_id, detail=detail[:500])
        self._directory.notify(kept.gateway, GatewayNotice(notice=notice))

    def _place_free(self, agent_id: str, now: float) -> None:
        self.changed(agent_id)
        self._switchboard.resources.waiting.look_again(agent_id, now)

    def _tell_places(self) -> None:
        """Say for which agents there are places here. Once for all that has changed in one turn of the loop."""
        dirty, self._dirty = self._dirty, set()
        news = False
        for agent_id in dirty:
            places = self._reservations.places(agent_id)
            self._directory.serve(
                agent_id,
                on=self._reservations.takes_any(agent_id),
                room=self._reservations.has_room(agent_id),
            )
            news = self._announcements.is_news(agent_id, places) or news
        if news:
            self._announcements.announce_soon()

    # ------------------------------------------------------------------ the directory's side

    def on_notice(self, notice: GatewayNotice) -> None:
        now = self._loop.time()
        match notice.notice:
            case NotComing(call_id=call_id, instance_id=instance_id, detail=detail):
                logger.bind(call_id=call_id).info(
                    "instance {} does not come from another gateway to {}: {}", instance_id, self.url, detail
                )
                if detail.startswith(self.url):
                    self.conflicts.not_reached(detail, now)
                if self._summonses.not_coming(call_id, instance_id, detail, now):
                    self._ask(call_id, now)
            case InstanceNews(agent_id=agent_id, died=InstanceDied() as died):
                self._switchboard.instance_died(agent_id, died, now)
            case InstanceNews(blocked=Blocked() as blocked):
                self._switchboard.silences.blocked(blocked, now)
            case PlacesWanted(gateway=gateway):
                self._announcements.introduce_to(gateway)
            case GatewayPresence() as presence:
                self.on_presence(presence)
            case SendCalls() | WatchCall() | WatchedReport() as about_calls:
                self.calls.on_notice(about_calls)

    def on_call_changes(self, changes: CallChanges) -> None:
        self.calls.on_changes(changes)

    def has_call(self, call_id: str) -> bool:
        return self.calls.has_call(call_id)

    async def on_request(self, request: RelayedRequest) -> RelayedAnswer:
        if self.calls.host is None or self._closed:
            return RelayedAnswer(status=503, body='{"error": "this gateway is closing, or has no API"}')
        return await self.calls.host.carry_out(request)

    async def request(self, request: RelayedRequest, timeout_s: float) -> RelayedAnswer | None:
        """Have another gateway carry out a request; None: it does not answer within `timeout_s` seconds."""
        return await self._directory.request(request, timeout_s)

    def on_presence(self, presence: GatewayPresence) -> None:
        now = self._loop.time()
        if presence.process != self._process and not presence.leaving:
            self.conflicts.hear(presence, self._switchboard.event_bus.wall(), now)
        if presence.gateway == self.name:
            self.conflicts.look(now)
            return
        if self.others.left_out(presence.gateway, presence.process, now):
            return
        if presence.hello:  # one that is new is to know this one at once
            self._announcements.introduce_to(presence.gateway)
        if presence.leaving:
            self.calls.lost(presence.gateway)
        if self.others.heard(presence, now):
            self._directory.notify(presence.gateway, GatewayNotice(notice=PlacesWanted(gateway=self.name)))

    def on_other_version(self, one: OtherVersion, protocol: str) -> None:
        if not one.leaving:
            self.conflicts.hear_other(one, protocol, self._loop.time())

    def on_connection(self) -> None:
        before, self._problem = self._problem, self._directory.problem
        self._outages.note(self._problem)
        self.gone_records.note(cut_off=bool(self._problem), now=self._loop.time())
        if before and not self._problem:
            self._announcements.announce()

    # ------------------------------------------------------------------ time

    def _wake_at(self) -> float | None:
        times = (self._summonses.wake_at, self._reservations.wake_at)
        return min((at for at in times if at is not None), default=None)

    def _on_timer(self, now: float) -> None:
        missed, unused = self._summonses.tick(now)
        for summons in unused:
            self._send_back(summons)
        for summons in missed:
            logger.bind(call_id=summons.call_id).info(
                "instance {} did not come from another gateway to {} within {:g} s",
                summons.instance_id,
                self.url,
                COME_S,
            )
            self._ask(summons.call_id, now)
        for one in self._reservations.tick(now):
            self._place_free(one.instance.agent_id, now)
