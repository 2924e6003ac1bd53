"""A fleet of gateways and agents in virtual time, for `benchmarks/fleet.py`.

The gateways are real: their switchboards, calls, directories' members (`Cluster`), summonses and reservations. Agents
wait as `GatewayConnection` does before they look for another home. The sound, the sockets and the NATS server are not
there: a broker in memory counts what it would carry, and takes as long as the real one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from piopiy_pipeline.agent.roaming_connections import IDLE_S
from piopiy_pipeline.gateway.cluster.directory_messages import (
    DirectoryAnswer,
    DirectorySearch,
    GatewayNotice,
    GatewayPresence,
)
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker, MemoryDirectory
from piopiy_pipeline.signaling.agent_protocol import Backoff
from piopiy_pipeline.signaling.json_messages import Message, dump
from piopiy_pipeline.signaling.messages import Confirm, GatewayMessage, Roam
from tests.support.cluster import ModelAgent, ModelCluster, ModelGateway, ModelLink

__all__ = ["Carried", "Fleet", "FleetBroker"]

SUBJECT_BYTES = 57
"""Of a line of NATS' protocol before its payload: PUB or MSG, a subject with a hash in it, an id, a length."""
INBOX_BYTES = 48
"""And of a question, where the answer goes."""
INTEREST_BYTES = 64
"""Of a line that says that a gateway listens to the questions for an agent, or no more."""
SLOT_S = 0.1
"""What is carried is counted by so many seconds."""


@dataclass(slots=True)
class Carried:
    """What the broker took in and gave out."""

    messages: int = 0
    """Taken in."""
    deliveries: int = 0
    """Given out."""
    octets: int = 0
    """Both, in bytes."""

    def add(self, octets: int, receivers: int) -> None:
        self.messages += 1
        self.deliveries += receivers
        self.octets += octets * (1 + receivers)


class FleetBroker(MemoryBroker):
    """Counts what it carries, by kind and time. Gateways can be cut off one by one."""

    def __init__(self, latency_s: float, rng: random.Random) -> None:
        super().__init__(lambda: latency_s, rng)
        self.cut: set[str] = set()
        self.carried: dict[tuple[int, str], Carried] = {}
        self.heard: Counter[str] = Counter()
        """How many messages each gateway was given."""
        self._lengths: dict[int, tuple[Message, int]] = {}

    def reaches(self, name: str) -> bool:
        return not self.down and name not in self.cut

    def count(self, kind: str, octets: int, receivers: int) -> None:
        slot = int(asyncio.get_running_loop().time() / SLOT_S), kind
        carried = self.carried.get(slot)
        if carried is None:
            carried = self.carried[slot] = Carried()
        carried.add(octets, receivers)

    def between(self, begin_s: float, end_s: float) -> dict[str, Carried]:
        """Sum up what was carried in this time, by kind."""
        sums: dict[str, Carried] = {}
        for (slot, kind), one in self.carried.items():
            if begin_s <= slot * SLOT_S < end_s:
                total = sums.setdefault(kind, Carried())
                total.messages += one.messages
                total.deliveries += one.deliveries
                total.octets += one.octets
        return sums


class FleetDirectory(MemoryDirectory):
    """The directory of one gateway, whose messages are counted."""

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        super().__init__(broker, name)
        assert isinstance(broker, FleetBroker)
        self._fleet = broker

    async def search(self, search: DirectorySearch, timeout_s: float) -> DirectoryAnswer | None:
        if not self._fleet.reaches(self._name):
            return None
        asked = len(dump(search).encode()) + SUBJECT_BYTES + INBOX_BYTES
        answer = await super().search(search, timeout_s)
        self._fleet.count("question", asked, 1)
        answered = 0 if answer is None else len(dump(answer).encode())
        self._fleet.count("answer", answered + SUBJECT_BYTES, 1)
        return answer

    def serve(self, agent_id: str, *, on: bool, room: bool = False) -> None:
        changed = (on != (agent_id in self.served)) + (room != (agent_id in self.with_room))
        super().serve(agent_id, on=on, room=room)
        for _ in range(changed):
            if self._fleet.reaches(self._name):
                self._fleet.count("interest", INTEREST_BYTES, 0)

    def notify(self, gateway: str, notice: GatewayNotice) -> None:
        other = self._fleet.members.get(gateway)
        if other is not None and self._fleet.reaches(self._name) and self._fleet.reaches(gateway):
            kind = type(notice.notice).__name__
            self._fleet.count(kind, len(dump(notice).encode()) + SUBJECT_BYTES, 1)
            self._later(other, lambda member: member.on_notice(notice))

    def announce(self, presence: GatewayPresence) -> None:
        if self.member is None or not self._fleet.reaches(self._name):  # it was killed, or is cut off
            return
        others = [
            one for name, one in self._fleet.members.items() if one is not self and self._fleet.reaches(name)
        ]
        octets = len(dump(presence).encode()) + SUBJECT_BYTES
        self._fleet.count("presence", octets, len(others) + 1)  # NATS gives it to who sent it, too

        def deliver() -> None:
            for other in others:
                if other.member is not None:
                    other.member.on_presence(presence)

        asyncio.get_running_loop().call_later(self._fleet.latency_s(), deliver)

    def come_back(self) -> None:
        """Say again what is listened to, as NATS' client does when it has connected."""
        for _ in range(len(self.served) + len(self.with_room) + 2):
            self._fleet.count("interest", INTEREST_BYTES, 0)


class FleetGateway(ModelGateway):
    """A gateway that takes registrations one after another."""

    make_directory = FleetDirectory

    def __init__(self, house: ModelCluster, name: str) -> None:
        super().__init__(house, name)
        self._busy_until = 0.0

    def queue_s(self, cost_s: float) -> float:
        """Return how long work of so many seconds of CPU takes that comes now, with what waits before it."""
        self._busy_until = max(self._busy_until, self.now) + cost_s
        return self._busy_until - self.now


class FleetAgent(ModelAgent):
    """An instance that looks for a home as `GatewayConnection` does."""

    def __init__(self, fleet: Fleet, name: str, capacity: int, agent_id: str) -> None:
        super().__init__(fleet, name, capacity, agent_id)
        self.fleet = fleet
        self._backoff = Backoff()
        self._idle: dict[ModelLink, asyncio.TimerHandle] = {}

    def lost(self, gateway: ModelGateway) -> None:
        for offer_id, (link, _) in list(self.calls.items()):
            if link.gateway is gateway:
                del self.calls[offer_id]
        self.elsewhere.pop(gateway.url, None)
        if self.home is not None and self.home.gateway is gateway:
            self.home.open = False
            self.fleet.homeless[self.name] = gateway.now
            self._wait(self._backoff.wait(self.fleet.rng.random()))
        else:
            self.report()

    def _wait(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._try)

    def _try(self) -> None:
        """Try one gateway, chosen by chance: those that are dead refuse the connection."""
        gateways = list(self.fleet.gateways.values())
        gateway = self.fleet.rng.choice(gateways)
        assert isinstance(gateway, FleetGateway)
        loop, round_trip_s = asyncio.get_running_loop(), 2 * self.fleet.latency_s()
        if not gateway.alive:
            loop.call_later(round_trip_s, self._try)
            return
        took_s = 3 * round_trip_s + gateway.queue_s(self.fleet.registration_s)
        loop.call_later(took_s, self._at_home, gateway)

    def _at_home(self, gateway: ModelGateway) -> None:
        if not gateway.alive:
            self._wait(self._backoff.wait(self.fleet.rng.random()))
            return
        self._backoff.reset()
        self.register(gateway)
        began = self.fleet.homeless.pop(self.name, None)
        if began is not None:
            self.fleet.home_after_s.append(gateway.now - began)

    def _roam(self, order: Roam) -> None:
        self.fleet.roams += 1
        super()._roam(order)

    def _done(self, offer_id: str) -> None:
        link = self.calls.get(offer_id, (None, ""))[0]
        super()._done(offer_id)
        if (
            link is not None
            and link is not self.home
            and not any(one is link for one, _ in self.calls.values())
        ):
            if (timer := self._idle.pop(link, None)) is not None:
                timer.cancel()
            self._idle[link] = asyncio.get_running_loop().call_later(IDLE_S, self._leave, link)

    def _leave(self, link: ModelLink) -> None:
        self._idle.pop(link, None)
        url = link.gateway.url
        busy = any(one is link for one, _ in self.calls.values()) or bool(self.pending)
        if not busy and self.elsewhere.get(url) is link:
            del self.elsewhere[url]
            link.lose()


@dataclass
class Fleet(ModelCluster):
    """All of them.

    Attributes:
        registration_s: What it takes of a gateway's CPU to take an agent, in seconds.
        broker_s: How long a message takes over the broker, in seconds.
        wire_s: How long one takes between an agent and a gateway.
    """

    registration_s: float = 0.002
    broker_s: float = 0.0001
    wire_s: float = 0.0005
    homeless: dict[str, float] = field(default_factory=dict)
    home_after_s: list[float] = field(default_factory=list)
    roams: int = 0
    placed_at: dict[str, float] = field(default_factory=dict)
    accept_s: list[float] = field(default_factory=list)
    """From a call's beginning to the gateway's confirmation of its agent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fleet_broker = FleetBroker(self.broker_s, self.rng)
        self.broker = self.fleet_broker

    def latency_s(self) -> float:
        return self.rng.uniform(0.5, 1.5) * self.wire_s

    async def begin(self, gateways: int, agents: int, capacity: int, agent_ids: int) -> None:
        """Start the gateways within two seconds, and then the agents within two."""
        for number in range(gateways):
            gateway = FleetGateway(self, f"gateway-{number:03}")
            self.gateways[gateway.url] = gateway
            await gateway.cluster.open()
            await asyncio.sleep(2.0 / gateways)
        homes = list(self.gateways.values())
        for number in range(agents):
            agent = FleetAgent(self, f"agent-{number:04}", capacity, f"desk-{number % agent_ids:04}")
            self.agents.append(agent)
            agent.register(self.rng.choice(homes))
            if number % 50 == 49:
                await asyncio.sleep(2.0 * 50 / agents)
        await asyncio.sleep(1)

    def place(self, call_id: str, agent_id: str) -> None:
        """Have a caller come to a gateway by chance."""
        gateway = self.rng.choice(self.there)
        self.placed_at[call_id] = gateway.now
        gateway.place(call_id, agent_id)

    @property
    def there(self) -> list[ModelGateway]:
        """The gateways that are alive."""
        return [one for one in self.gateways.values() if one.alive]

    def note_sent(self, link: ModelLink, message: GatewayMessage) -> None:
        super().note_sent(link, message)
        if isinstance(message, Confirm) and (at := self.placed_at.pop(message.call_id, None)) is not None:
            self.accept_s.append(asyncio.get_running_loop().time() - at)

    def note_lost(self, link: ModelLink) -> None:
        for call_id in link.instance.calls:  # not all 100,000 that there are
            if self.confirmed.get(call_id) is link:
                del self.confirmed[call_id]

    def roaming_links(self) -> int:
        """Count the connections of agents to gateways at which they are not at home."""
        return sum(one.roaming for gateway in self.there for one in gateway.board.instances.all())
