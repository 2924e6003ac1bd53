"""The connected instances of agents: how many calls each takes, and which one is asked first. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

from piopiy_pipeline.gateway.core.snapshots import InstanceSnapshot
from piopiy_pipeline.signaling.instance_messages import Load, WorkerKind
from piopiy_pipeline.signaling.messages import GatewayMessage, InstanceDied, Register, Status

__all__ = ["LATE_S", "RING_S", "AgentLink", "Instance", "Instances"]

RING_S = 2.0
"""While no instance of their agent is connected, callers ring for so many seconds, unless the configuration says
otherwise: one that lost its gateway is back by then."""

LATE_S = 0.5
"""An instance of which nothing was heard for so many seconds, two heartbeats, may be about to be silent: it is asked
when nobody else is left. On a busy machine most are late now and then, so nothing is taken from it."""

CALL_SHARE = 0.02
"""What a new call may take of its process."""
KNOWN_FROM = 10
"""With so many calls its load says what one takes: with fewer, much of it is what a process takes without any."""
MOST_HELD_BACK = 1000
"""So many instances are remembered that operators have drained: one that connects again is drained still."""
BUSY_STEPS = 10
"""Instances are equally busy within a tenth: what is measured wavers by less, and all new calls would go to one."""


class AgentLink(Protocol):
    """The signaling connection of an agent, as the switchboard uses it."""

    def send(self, message: GatewayMessage) -> None:
        """Queue a message, without waiting. A message for a connection that is lost is dropped."""

    def replace(self) -> None:
        """Close this connection, because a newer one registered as the same instance; tell the agent so."""

    def shutdown(self) -> None:
        """Close the connection, because the gateway shuts down; tell the agent so."""


@dataclass(eq=False)
class Instance:
    """One connected process of an agent. Instances are compared by identity: a reconnect is another instance."""

    agent_id: str
    instance_id: str
    capacity: int
    link: AgentLink
    heard_at: float
    """When something was heard of it last, in seconds."""
    version: str = ""
    worker: WorkerKind | None = None
    """What kind of call worker it is, if it is one."""
    death: InstanceDied | None = None
    """What the agent says of its death, if that comes before its connection is seen to be lost."""
    reported: int = 0
    """Calls under way, as the agent said last."""
    load: Load | None = None
    """How busy its process is, as the agent said last. An older agent does not say it."""
    draining: bool = False
    held_back: bool = False
    """Whether an operator has it take no new calls. Its calls in progress go on."""
    heartbeats: bool = False
    """Whether it sends heartbeats. An older agent sends none."""
    silent: str = ""
    """Why nothing is offered to it: nothing is heard of it, or its event loop is blocked. Empty while all is well."""
    blocked: Literal["", "perhaps", "surely"] = ""
    """Whether its watchdog says that its event loop does not turn: perhaps it only waits for a processor."""
    blocker: str | None = None
    """The call whose code blocks it, or may, as the watchdog says; None if that is not known."""
    slow_until: float = 0.0
    """Until then its heartbeats say nothing, because its watchdog says that it turns, but too slowly."""
    returned: int = 0
    """Heartbeats in a row since it was silent."""
    calls: set[str] = field(default_factory=set)
    """Calls that this gateway has there, offers included: what the agent reports lags behind."""
    roaming: bool = False
    """Whether it is at home at another gateway, and takes only calls for which it was summoned."""
    roams: bool = False
    """Whether it takes calls at other gateways."""
    reads_text: bool = True
    """Whether it can read the offer of a text chat. An older one ends its connection over it, and all of its calls."""
    summoned: set[str] = field(default_factory=set)
    """Of a roaming instance: the calls that it can be offered."""
    reserved: set[str] = field(default_factory=set)
    """Calls at other gateways for which a place is kept, until the instance says what became of them."""
    away: int = 0
    """Its calls at other gateways, as it said last."""
    asked: int = 0
    """The number of the latest offer to it: among equals, whoever waited longest is next."""

    @property
    def active(self) -> int:
        return max(self.reported, len(self.calls) + self.away) + len(self.reserved)

    @property
    def has_one_call(self) -> bool:
        """Whether a call that is here is the only one, those at other gateways included."""
        elsewhere = max(self.reported - 1, 0) if self.roaming else self.away + len(self.reserved)
        return len(self.calls) + elsewhere == 1

    @property
    def busy(self) -> float:
        """How busy it is: the share that its agent said last and what calls may take that it has got since, or the
        share of its capacity if the agent does not say it. 0 to 1.
        """
        if self.load is None:
            return min(1.0, self.active / self.capacity)
        unknown = max(0, self.active - self.reported)
        more = unknown * max(CALL_SHARE, self.load.busy / max(KNOWN_FROM, self.reported))
        return min(1.0, self.load.busy + more)

    @property
    def takes_calls(self) -> bool:
        """Whether it takes new calls."""
        return self.takes_takeovers and (self.load is None or self.load.takes == "all")

    @property
    def takes_takeovers(self) -> bool:
        """Whether it takes calls in progress, which another instance has lost or gives back."""
        able = bool(self.summoned) if self.roaming else self.active < self.capacity
        if self.draining or self.held_back or self.silent or not able:
            return False
        return self.load is None or self.load.takes != "none"

    def takes(self, call_id: str, *, takeover: bool) -> bool:
        """Return whether it takes this call. One that roams takes only that for which it was summoned."""
        able = self.takes_takeovers if takeover else self.takes_calls
        return able and (not self.roaming or call_id in self.summoned)

    @property
    def supervisor_id(self) -> str:
        """What hangs, or is cut off, together: the supervisor that its id begins with, if it is a call worker."""
        return self.instance_id if self.worker is None else self.instance_id.rpartition("-w")[0]

    def late(self, now: float) -> bool:
        """Return whether heartbeats of it are missing."""
        return self.heartbeats and now - self.heard_at >= LATE_S

    def snapshot(self) -> InstanceSnapshot:
        """Return it as a console shows it."""
        return InstanceSnapshot(
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            version=self.version,
            capacity=self.capacity,
            active=self.active,
            draining=self.draining or self.held_back,
            silent=self.silent,
            has_its_call=self.worker in ("call", "apart") and self.active > 0,
            load=self.load,
        )

    def update(self, status: Status) -> None:
        """Take over the status that the agent reports."""
        self.reported = status.active
        self.away = status.away or 0
        self.capacity = status.capacity
        self.load = status.load
        self.draining = status.state == "draining"


class Instances:
    """All connected instances, grouped by agent.

    Args:
        ring_s: How long a caller rings while none of their agent takes calls, or will, in seconds.
    """

    def __init__(self, ring_s: float = RING_S) -> None:
        self._ring_s = ring_s
        self._expected: dict[str, float] = {}
        self._by_agent: dict[str, dict[tuple[str, bool], Instance]] = {}  # by id, roaming ones apart
        self._asked = 0
        self._held_back: dict[tuple[str, str], None] = {}  # by agent and supervisor

    def add(
        self, registration: Register, link: AgentLink, now: float, *, roaming: bool = False
    ) -> tuple[Instance, Instance | None]:
        """Add an instance, now. Returns it, and the older connection of the same instance that it replaces, if any.

        The newer connection wins: an agent whose network broke comes back before its old
        connection is known to be dead.
        """
        instance = Instance(
            agent_id=registration.agent_id,
            instance_id=registration.instance_id,
            capacity=registration.capacity,
            version=registration.version,
            worker=registration.worker,
            link=link,
            heard_at=now,
            roaming=roaming,
            roams=bool(registration.roams) and not roaming,
            reads_text=registration.roams is not None,  # text chats are newer than that
        )
        siblings = self._by_agent.setdefault(instance.agent_id, {})
        instance.held_back = (instance.agent_id, instance.supervisor_id) in self._held_back
        replaced = siblings.get((instance.instance_id, roaming))
        siblings[instance.instance_id, roaming] = instance
        return instance, replaced

    def remove(self, instance: Instance) -> None:
        """Remove an instance. Nothing happens if it was replaced already."""
        siblings = self._by_agent.get(instance.agent_id, {})
        if siblings.get((instance.instance_id, instance.roaming)) is instance:
            del siblings[instance.instance_id, instance.roaming]
            if not siblings:
                del self._by_agent[instance.agent_id]

    def hold_back(self, agent_id: str, *, on: bool, instance_id: str | None = None) -> list[Instance] | None:
        """Let instances of an agent that are at home here take no new calls, or take them again. Call workers of one
        supervisor do it together, and those that it starts later as well. That it is over counts for those, too, that
        are not connected just now.

        Args:
            agent_id: Whose instances.
            on: Whether they take none.
            instance_id: Which one, or its supervisor; None: all.

        Returns:
            Those that are meant, and are connected; None if no such instance is known.
        """
        at_home = [one for one in self.of(agent_id) if not one.roaming]
        supervisors = {
            one.supervisor_id for one in at_home if instance_id in (None, one.instance_id, one.supervisor_id)
        }
        if not on:
            names = None if instance_id is None else (instance_id, instance_id.rpartition("-w")[0])
            supervisors |= {
                supervisor
                for agent, supervisor in self._held_back
                if agent == agent_id and (names is None or supervisor in names)
            }
        for supervisor in supervisors:
            self._held_back.pop((agent_id, supervisor), None)
            if on:
                self._held_back[agent_id, supervisor] = None
        for key in list(self._held_back)[:-MOST_HELD_BACK]:
            del self._held_back[key]
        meant = [one for one in at_home if one.supervisor_id in supervisors]
        for one in meant:
            one.held_back = on
        return meant if supervisors else None

    def expect(self, agent_id: str, ring_s: float | None) -> None:
        """Let callers of an agent ring for so many seconds at most, because an instance of it is being started; None:
        it has started, or failed to.
        """
        if ring_s is None:
            self._expected.pop(agent_id, None)
        else:
            self._expected[agent_id] = ring_s

    def expected_s(self, agent_id: str) -> float:
        """Return for how many seconds at most an instance that is being started is waited for; 0: none is."""
        return self._expected.get(agent_id, 0.0)

    def ring_s(self, agent_id: str) -> float | None:
        """Return how long a caller rings, in seconds, because no instance is there that stays; None: one is."""
        if any(not one.draining for one in self.of(agent_id)):
            return None
        return self._expected.get(agent_id, self._ring_s)

    def of(self, agent_id: str) -> list[Instance]:
        """Return the instances of one agent."""
        return list(self._by_agent.get(agent_id, {}).values())

    @property
    def agent_ids(self) -> tuple[str, ...]:
        """The agents that have a connected instance."""
        return tuple(self._by_agent)

    def all(self) -> list[Instance]:
        """Return every instance of every agent."""
        return [instance for siblings in self._by_agent.values() for instance in siblings.values()]

    def any_free(
        self,
        agent_id: str,
        *,
        without: Collection[Instance] = (),
        apart: bool = False,
        takeover: bool = False,
        call_id: str = "",
    ) -> bool:
        """Return whether `pick` would find one."""
        return bool(self._able(agent_id, without, apart, takeover, call_id))

    def least_busy(self, agent_id: str, *, call_id: str = "") -> float | None:
        """Return how busy the least busy instance is that takes this new call, 0 to 1; None if none takes it, or if one
        of those does not say how busy it is.
        """
        able = self._able(agent_id, (), apart=False, takeover=False, call_id=call_id)
        if not able or any(one.load is None for one in able):
            return None
        return min(one.busy for one in able)

    def any_heard(
        self, agent_id: str, *, without: Collection[Instance], now: float, call_id: str = ""
    ) -> bool:
        """Return whether `pick` would find one that is not late."""
        able = self._able(agent_id, without, apart=False, takeover=True, call_id=call_id)
        return any(not one.late(now) for one in able)

    def any_silent(self, agent_id: str) -> bool:
        """Return whether one has gone silent, and may come back and take calls: its connection is not given up."""
        return any(one.silent and not one.draining for one in self.of(agent_id))

    def find(self, agent_id: str, instance_id: str) -> list[Instance]:
        """Return the connected instance with this id: twice if it is at home here, and roams here as well."""
        siblings = self._by_agent.get(agent_id, {})
        return [one for roaming in (False, True) if (one := siblings.get((instance_id, roaming))) is not None]

    def pick(
        self,
        agent_id: str,
        *,
        without: Collection[Instance],
        now: float,
        apart: bool = False,
        takeover: bool = False,
        call_id: str = "",
        fewest: bool = False,
    ) -> Instance | None:
        """Return the least busy instance that takes calls; of equal ones, the one with the most places left, and then
        the one that was asked longest ago. Those that are late come last, and behind them those that are late beside a
        silent one of their supervisor.

        Args:
            agent_id: Whose instances are looked at.
            without: Those that are not.
            now: The time.
            apart: Whether to look at call workers that are apart from others, and at no other instance.
            takeover: Whether it is for a call in progress, which another instance has lost or gives back.
            call_id: For which call, because one that roams takes only that for which it was summoned.
            fewest: Whether the number of its calls comes before how busy it is, because the call may end the instance.
        """
        able = self._able(agent_id, without, apart, takeover, call_id)
        if not able:
            return None
        suspected = {one.supervisor_id for one in self.of(agent_id) if one.silent}

        def order(one: Instance) -> tuple[int, int, int, float, int]:
            late = one.late(now)
            suspect = late + (late and one.supervisor_id in suspected)
            calls = one.active if fewest else 0
            return suspect, calls, int(BUSY_STEPS * one.busy), one.active / one.capacity, one.asked

        best = min(able, key=order)
        self._asked += 1
        best.asked = self._asked
        return best

    def _able(
        self, agent_id: str, without: Collection[Instance], apart: bool, takeover: bool, call_id: str
    ) -> list[Instance]:
        return [
            one
            for one in self.of(agent_id)
            if one.takes(call_id, takeover=takeover)
            and one not in without
            and (one.worker == "apart") is apart
        ]
