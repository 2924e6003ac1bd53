"""`Reservations`: places of instances at home here that are kept for calls of other gateways. No I/O.

A place is kept from the moment in which the instance is sent (`Instance.reserved`), so that nobody else is offered it,
until the instance says what became of it: then its own status counts the call, or the place is free. An instance that
says nothing has it back after a while. Every `now` is in seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces, DirectorySearch
from piopiy_pipeline.gateway.core.detour import ROOM
from piopiy_pipeline.gateway.core.instances import Instance, Instances

__all__ = ["Reservation", "Reservations"]

GRACE_S = 1.0
"""So much longer than the instance may take a place is kept: it tells of its own deadline itself."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A place that is kept."""

    instance: Instance
    call_id: str
    gateway: str
    """For whom."""
    until: float


class Reservations:
    """All places that are kept.

    Args:
        instances: All instances that are connected to this gateway.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._kept: dict[tuple[str, str], Reservation] = {}  # by gateway and call

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None: not at all."""
        return min((one.until for one in self._kept.values()), default=None)

    def reserve(self, search: DirectorySearch, now: float) -> Instance | None:
        """Keep a place for a call. Returns whose; None if nobody has one."""
        key = search.gateway, search.call_id
        if key in self._kept:
            return None  # it was sent somebody a moment ago
        without = {
            one
            for one in self._instances.of(search.agent_id)
            if one.roaming or not one.roams or one.instance_id in search.without
        }
        instance = self._instances.pick(
            search.agent_id, without=without, now=now, takeover=search.takeover, apart=search.apart
        )
        if instance is None or (search.most_busy is not None and instance.busy > search.most_busy):
            return None
        instance.reserved.add(search.call_id)
        until = now + search.deadline_ms / 1000 + GRACE_S
        self._kept[key] = Reservation(instance, search.call_id, search.gateway, until)
        return instance

    def settle(self, instance: Instance, call_id: str) -> Reservation | None:
        """Keep a place no more, because the instance has said what became of it. Returns what it was."""
        for key, one in self._kept.items():
            if one.instance is instance and one.call_id == call_id:
                del self._kept[key]
                instance.reserved.discard(call_id)
                return one
        return None

    def lose(self, instance: Instance) -> list[Reservation]:
        """Forget an instance that is gone. Returns what was kept."""
        return self._drop([one for one in self._kept.values() if one.instance is instance])

    def tick(self, now: float) -> list[Reservation]:
        """Free the places that were kept too long. Returns them."""
        return self._drop([one for one in self._kept.values() if one.until <= now])

    def takes_any(self, agent_id: str) -> bool:
        """Return whether an instance at home here takes a call of another gateway, be it only one in progress."""
        return any(one.takes_takeovers and one.roams for one in self._instances.of(agent_id))

    def has_room(self, agent_id: str) -> bool:
        """Return whether an instance at home here is so little busy that new calls of other gateways may be better off
        with it than where they are.
        """
        return any(
            one.takes_calls and one.roams and one.load is not None and one.busy < ROOM
            for one in self._instances.of(agent_id)
        )

    def places(self, agent_id: str) -> AgentPlaces:
        """Count the instances of an agent that are at home here, their calls, and their free places for new calls of
        other gateways: those of an instance that has too much to do are none, however many it takes at most.
        """
        at_home = [one for one in self._instances.of(agent_id) if not one.roaming]
        return AgentPlaces(
            instances=len(at_home),
            active=sum(one.active for one in at_home),
            places=sum(one.capacity - one.active for one in at_home if one.takes_calls and one.roams),
        )

    def _drop(self, gone: list[Reservation]) -> list[Reservation]:
        for one in gone:
            del self._kept[one.gateway, one.call_id]
            one.instance.reserved.discard(one.call_id)
        return gone
