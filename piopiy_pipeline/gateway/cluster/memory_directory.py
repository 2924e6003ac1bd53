"""`MemoryDirectory`: a directory for several gateways of one process, whose faults are made by hand: for tests.

It takes its time, loses what it is told to lose, and can be split: all by the event loop's clock, which may be virtual.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from piopiy_pipeline.gateway.cluster.console_messages import CallChanges, RelayedAnswer, RelayedRequest
from piopiy_pipeline.gateway.cluster.directory import DirectoryMember, GatewayGone
from piopiy_pipeline.gateway.cluster.directory_messages import (
    DirectoryAnswer,
    DirectorySearch,
    GatewayNotice,
    GatewayPresence,
)
from piopiy_pipeline.gateway.cluster.phone_records import FIND_S, PhoneRecord, rewritten
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone

__all__ = ["MemoryBroker", "MemoryDirectory", "MemoryPhones"]


class MemoryBroker:
    """What stands between the gateways.

    Args:
        latency_s: Returns how long the next message takes, in seconds.
        rng: Chooses who is asked.
    """

    def __init__(
        self, latency_s: Callable[[], float] = lambda: 0.0, rng: random.Random | None = None
    ) -> None:
        self.latency_s = latency_s
        self.members: dict[str, MemoryDirectory] = {}
        self.sides: dict[str, int] = {}
        """On which side of a split each gateway is. Those that stand on no side hear nobody."""
        self.down = False
        self.loses: Callable[[], bool] = lambda: False
        """Returns whether the next message on calls is lost."""
        self.phone_records: dict[str, PhoneRecord] = {}
        """The registered phones by user, as in a store that all gateways share."""
        self._rng = rng or random.Random(0)

    def reaches(self, name: str) -> bool:
        """Return whether a gateway is connected."""
        return not self.down

    def others_of(self, name: str) -> list[MemoryDirectory]:
        """Return the gateways that hear this one, itself among them; none hears one that is gone."""
        if not self.reaches(name) or name not in self.members:
            return []
        side = self.sides.get(name, 0)
        return [one for other, one in self.members.items() if self.sides.get(other, 0) == side]

    def who_serves(self, agent_id: str, asker: str, *, room: bool = False) -> MemoryDirectory | None:
        """Return one of the gateways that have a place; or one of those that have room."""
        others = self.others_of(asker)
        serving = [one for one in others if agent_id in (one.with_room if room else one.served)]
        return self._rng.choice(serving) if serving else None


class MemoryDirectory:
    """The directory of one gateway. It is a `ClusterDirectory`.

    Args:
        broker: What it shares with the others.
        name: The gateway's name.
    """

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.served: set[str] = set()
        self.with_room: set[str] = set()
        self._broker = broker
        self._name = name
        self.member: DirectoryMember | None = None

    @property
    def problem(self) -> str:
        return "" if self._broker.reaches(self._name) else "the directory is down"

    @property
    def cause(self) -> str:
        return self.problem

    @property
    def store_problems(self) -> list[str]:
        return []

    @property
    def unsent(self) -> list[str]:
        return []

    async def open(self, member: DirectoryMember) -> None:
        self.member = member
        self._broker.members[self._name] = self

    async def close(self) -> None:
        self.leave()

    def leave(self) -> None:
        """Be gone, as if the process had been killed."""
        self._broker.members.pop(self._name, None)
        self.member = None

    async def search(self, search: DirectorySearch, timeout_s: float) -> DirectoryAnswer | None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._broker.latency_s())
                room = search.most_busy is not None
                other = self._broker.who_serves(search.agent_id, self._name, room=room)
                if other is None or other.member is None:
                    return None
                answer = other.member.on_search(search)
                await asyncio.sleep(self._broker.latency_s())
                return answer
        except TimeoutError:
            return None

    async def request(self, request: RelayedRequest, timeout_s: float) -> RelayedAnswer | None:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self._broker.latency_s())
                for other in self._broker.others_of(self._name):
                    if other._name == request.gateway and other.member is not None:
                        answer = await other.member.on_request(request)
                        await asyncio.sleep(self._broker.latency_s())
                        return answer
                if self._broker.reaches(self._name) and request.gateway not in self._broker.members:
                    raise GatewayGone
                await asyncio.sleep(timeout_s)  # it is beyond a split
                return None
        except TimeoutError:
            return None

    async def find_call(self, call_id: str, timeout_s: float) -> str | None:
        await asyncio.sleep(self._broker.latency_s())
        for other in self._broker.others_of(self._name):
            if other is not self and other.member is not None and other.member.has_call(call_id):
                return other._name
        await asyncio.sleep(timeout_s)
        return None

    def publish_changes(self, changes: CallChanges) -> None:
        for other in self._broker.others_of(self._name):
            if other is not self and not self._broker.loses():
                self._later(other, lambda member: member.on_call_changes(changes))

    def serve(self, agent_id: str, *, on: bool, room: bool = False) -> None:
        (self.served.add if on else self.served.discard)(agent_id)
        (self.with_room.add if room else self.with_room.discard)(agent_id)

    def notify(self, gateway: str, notice: GatewayNotice) -> None:
        for other in self._broker.others_of(self._name):
            if other._name == gateway:
                self._later(other, lambda member: member.on_notice(notice))

    def announce(self, presence: GatewayPresence) -> None:
        for other in self._broker.others_of(self._name):
            if other is not self:
                self._later(other, lambda member: member.on_presence(presence))

    def _later(self, other: MemoryDirectory, deliver: Callable[[DirectoryMember], None]) -> None:
        def now() -> None:
            if other.member is not None:
                deliver(other.member)

        asyncio.get_running_loop().call_later(self._broker.latency_s(), now)


class MemoryPhones:
    """The records of phones, for the gateways of one process. It is a `PhoneStore`.

    Args:
        broker: What it shares with the others. While it is down, nothing is found, and what is written waits.
        wall: The time in seconds, of all gateways alike.
    """

    def __init__(self, broker: MemoryBroker, wall: Callable[[], float]) -> None:
        self._broker = broker
        self._wall = wall
        self._waiting: dict[str, tuple[str, Sequence[RegisteredPhone]]] = {}

    def keep(self, user: str, gateway: str, phones: Sequence[RegisteredPhone]) -> None:
        self._waiting[user] = gateway, tuple(phones)
        asyncio.get_running_loop().call_later(self._broker.latency_s(), self.write)

    def write(self) -> None:
        """Write what waits, unless the broker is down."""
        if not self._broker.down:
            for user, (gateway, phones) in self._waiting.items():
                before = self._broker.phone_records.get(user)
                record = rewritten(before, user, gateway, phones, self._wall())
                self._broker.phone_records[user] = record
            self._waiting.clear()

    async def find(self, user: str) -> PhoneRecord | None:
        await asyncio.sleep(min(2 * self._broker.latency_s(), FIND_S))
        return None if self._broker.down else self._broker.phone_records.get(user)
