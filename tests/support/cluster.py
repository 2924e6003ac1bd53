"""Gateways of one cluster with their real switchboards, and agents that answer messages: all in one event loop, whose
clock is virtual, with a directory in memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker, MemoryDirectory
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.instance_messages import Load
from piopiy_pipeline.signaling.messages import (
    Accept,
    AgentMessage,
    Answer,
    Cancel,
    Confirm,
    Ended,
    GatewayMessage,
    Hangup,
    Offer,
    Register,
    Reject,
    Roam,
    Roaming,
    RoamRefused,
    RoamResult,
    Status,
)
from tests.support.switchboard import NotedLeg, NotedMedia

__all__ = ["ModelAgent", "ModelCluster", "ModelGateway"]

AGENT_ID = "desk"
LIMITS = CallLimits(offer_s=0.4, setup_s=10, max_duration_s=600)


class ModelLink:
    """The signaling connection of an agent to one gateway, from both sides."""

    def __init__(self, agent: ModelAgent, gateway: ModelGateway, *, roaming: bool) -> None:
        self.agent = agent
        self.gateway = gateway
        self.open = True
        self.expected: dict[str, Roam] = {}
        registration = Register(
            agent_id=agent.agent_id, instance_id=agent.name, capacity=agent.capacity, roams=True
        )
        self.instance: Instance = gateway.board.register(registration, self, gateway.now, roaming=roaming)

    def send(self, message: GatewayMessage) -> None:
        self.gateway.house.note_sent(self, message)
        self._later(lambda: self.agent.hear(self, message))

    def replace(self) -> None:
        self.open = False

    def shutdown(self) -> None:
        self.open = False

    def say(self, message: AgentMessage) -> None:
        def arrive() -> None:
            if self.gateway.alive:
                self.gateway.house.note_heard(self, message)
                self.gateway.board.receive(self.instance, message, self.gateway.now)

        self._later(arrive)

    def lose(self) -> None:
        """Be lost, as if one of the processes had been killed."""
        if self.open:
            self.open = False
            if self.gateway.alive:
                self.gateway.house.note_lost(self)
                self.gateway.board.lose(self.instance, self.gateway.now, "killed")

    def _later(self, act: object) -> None:
        """Deliver in order: on one connection, nothing overtakes."""

        def deliver() -> None:
            if self.open:
                act()  # type: ignore[operator]

        self.gateway.house.deliver_in_order(self, deliver)


class ModelAgent:
    """One instance. It does what `Agent` does with these messages, without sound."""

    def __init__(self, house: ModelCluster, name: str, capacity: int, agent_id: str = AGENT_ID) -> None:
        self.house = house
        self.name = name
        self.agent_id = agent_id
        self.capacity = capacity
        self.home: ModelLink | None = None
        self.elsewhere: dict[str, ModelLink] = {}
        self.calls: dict[str, tuple[ModelLink, str]] = {}  # by offer: where, and which call
        self.pending: dict[str, asyncio.TimerHandle] = {}
        self.media: dict[str, NotedMedia] = {}
        self.refused_full = 0
        self._changes: list[
            tuple[float, bool]
        ] = []  # when calls came or went, and whether it had a free place then
        self.alive = True
        self.busy: float | None = None
        """How busy it says that it is, beside its calls; None: it is of an older version, and does not say it."""

    def register(self, gateway: ModelGateway) -> None:
        self.home = ModelLink(self, gateway, roaming=False)
        self.report()

    def report(self) -> None:
        active = len(self.calls)
        self._changes.append((asyncio.get_running_loop().time(), active < self.capacity))
        load = None
        if self.busy is not None:
            busy = min(1.0, self.busy + 0.01 * active)
            load = Load(busy=busy, lag_p95_ms=1, core=busy, takes="all")
        if self.home is not None and self.home.open:
            away = sum(link is not self.home for link, _ in self.calls.values())
            self.home.say(Status(active=active, capacity=self.capacity, away=away or None, load=load))
        for link in self.elsewhere.values():
            link.say(Status(active=active, capacity=self.capacity, load=load))

    def hear(self, link: ModelLink, message: GatewayMessage) -> None:
        if not self.alive:
            return
        match message:
            case Roam():
                self._roam(message)
            case RoamRefused(call_id=call_id, detail=detail):
                self._settle(call_id, taken=False, detail=detail)
            case Offer():
                self._offered(link, message)
            case Confirm(call_id=call_id, offer_id=offer_id):
                self._talk(link, call_id, offer_id)
            case Cancel(offer_id=offer_id):
                self._done(offer_id)
            case Ended(call_id=call_id):
                for offer_id in [key for key, one in self.calls.items() if one == (link, call_id)]:
                    self._done(offer_id)
            case _:
                pass

    def kill(self) -> None:
        self.alive = False
        for timer in self.pending.values():
            timer.cancel()
        for link in [self.home, *self.elsewhere.values()]:
            if link is not None:
                link.lose()
        self.calls.clear()

    def lost(self, gateway: ModelGateway) -> None:
        """Lose a gateway, and register with another one if it was the one at home."""
        for offer_id, (link, _) in list(self.calls.items()):
            if link.gateway is gateway:
                del self.calls[offer_id]
        self.elsewhere.pop(gateway.url, None)
        if self.home is not None and self.home.gateway is gateway:
            self.home.open = False
            self.register(self.house.rng.choice([one for one in self.house.gateways.values() if one.alive]))
        else:
            self.report()

    def _roam(self, order: Roam) -> None:
        loop = asyncio.get_running_loop()
        self.house.sent.set()
        self.pending[order.call_id] = loop.call_later(
            order.deadline_ms / 1000, lambda: self._settle(order.call_id, taken=False, detail="late")
        )
        link = self.elsewhere.get(order.url)
        if link is not None and link.open:
            link.say(Roaming(call_id=order.call_id, ticket=order.ticket))
        else:
            loop.call_later(3 * self.house.latency_s(), self._connect, order)

    def _connect(self, order: Roam) -> None:
        gateway = self.house.gateways[order.url]
        if not self.alive or order.call_id not in self.pending:
            return
        if not gateway.alive or gateway.cluster.agent_of(order.ticket) is None:
            self._settle(order.call_id, taken=False, detail="unreachable")
            return
        link = self.elsewhere.get(order.url)
        if link is None or not link.open:
            link = self.elsewhere[order.url] = ModelLink(self, gateway, roaming=True)
            self.report()
        link.say(Roaming(call_id=order.call_id, ticket=order.ticket))

    def _offered(self, link: ModelLink, offer: Offer) -> None:
        if len(self.calls) >= self.capacity:
            self.refused_full += 1
            link.say(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason="full"))
            self._settle(offer.call_id, taken=False, detail="full")
            return
        self.calls[offer.offer_id] = link, offer.call_id
        if len(self.calls) > self.capacity:
            self.house.wrong.append(f"{self.name} has {len(self.calls)} calls")
        self.report()
        self._settle(offer.call_id, taken=True)
        call = link.gateway.board.call(offer.call_id)
        if call is not None and call.agent.redeem(offer.media_token):
            media = self.media[offer.offer_id] = NotedMedia()
            call.agent.media_opened(media)
        link.say(Accept(call_id=offer.call_id, offer_id=offer.offer_id))

    def _talk(self, link: ModelLink, call_id: str, offer_id: str) -> None:
        if offer_id in self.media:
            self.media[offer_id].started = True
        link.say(Answer(call_id=call_id))
        talk_s = self.house.rng.expovariate(1 / self.house.talk_s)

        def hang_up() -> None:
            if self.alive and offer_id in self.calls:
                link.say(Hangup(call_id=call_id, reason=EndReason.AGENT_HANGUP))
                self._done(offer_id)

        asyncio.get_running_loop().call_later(talk_s, hang_up)

    def _settle(self, call_id: str, *, taken: bool, detail: str = "") -> None:
        timer = self.pending.pop(call_id, None)
        if timer is None:
            return
        timer.cancel()
        if self.home is not None and self.home.open:
            self.home.say(RoamResult(call_id=call_id, taken=taken, detail=detail))

    def longest_unused_s(self, since: float, until: float) -> float:
        """Return for how long it had a free place between these two moments, while no call came or went, in seconds."""
        stretches = pairwise([*self._changes, (until, False)])
        return max(min(end, until) - max(begin, since) for (begin, room), (end, _) in stretches if room)

    def _done(self, offer_id: str) -> None:
        self.media.pop(offer_id, None)
        if self.calls.pop(offer_id, None) is not None:
            self.report()


class ModelGateway:
    """A gateway without sockets."""

    make_directory: Callable[[MemoryBroker, str], MemoryDirectory] = MemoryDirectory

    def __init__(self, house: ModelCluster, name: str) -> None:
        self.house = house
        self.name = name
        self.url = f"ws://{name}:7860"
        self.alive = True
        self._timer: asyncio.TimerHandle | None = None
        self.board = Switchboard(limits=LIMITS, max_calls=10_000, on_change=self._on_change)
        self.directory = type(self).make_directory(house.broker, name)
        health = OwnHealth(name, self.url, self.board, records=f"records of {name}")
        self.cluster = Cluster(name, self.url, self.board, self.directory, health)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def place(self, call_id: str, agent_id: str = AGENT_ID) -> tuple[GatewayCall, NotedLeg]:
        leg = NotedLeg()
        call = self.board.place(CallInfo(agent_id=agent_id, call_id=call_id), leg, self.now)
        return call, leg

    def kill(self) -> None:
        """End without a word. Agents notice."""
        self.alive = False
        self.directory.leave()
        if self._timer is not None:
            self._timer.cancel()
        self.cluster.searches.cancel()
        self.house.note_gateway_lost(self)
        for agent in self.house.agents:
            if agent.alive:
                agent.lost(self)

    def _on_change(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wake_at = self.board.wake_at
        loop = asyncio.get_running_loop()
        self._timer = None if wake_at is None or not self.alive else loop.call_at(wake_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.board.tick(self.now + 0.001)
        self._on_change()


@dataclass
class ModelCluster:
    """All of them, and what must never happen."""

    rng: random.Random
    talk_s: float = 5.0
    slow_s: float = 0.02
    gateways: dict[str, ModelGateway] = field(default_factory=dict)
    agents: list[ModelAgent] = field(default_factory=list)
    confirmed: dict[str, ModelLink] = field(default_factory=dict)
    """Who has each call, as its gateway said."""
    served: set[str] = field(default_factory=set)
    results: list[RoamResult] = field(default_factory=list)
    """What became of the agents that were sent to other gateways, as they said at home."""
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.latency_s, self.rng)
        self._last: dict[int, float] = {}
        self.sent = asyncio.Event()
        """Set when an agent is on its way to another gateway."""

    def latency_s(self) -> float:
        return self.rng.uniform(0.0001, self.slow_s)

    async def open(self, gateways: int, agents: int, capacity: int) -> None:
        for number in range(gateways):
            gateway = ModelGateway(self, f"gateway-{number}")
            self.gateways[gateway.url] = gateway
            await gateway.cluster.open()
        for number in range(agents):
            self.agents.append(ModelAgent(self, f"agent-{number}", capacity))
            self.agents[-1].register(self.rng.choice(list(self.gateways.values())))
        await asyncio.sleep(1)

    async def close(self) -> None:
        for gateway in self.gateways.values():
            if gateway.alive:
                await gateway.cluster.close()
                gateway.board.shutdown(gateway.now)
                gateway.alive = False
            if gateway._timer is not None:
                gateway._timer.cancel()

    def deliver_in_order(self, link: ModelLink, deliver: object) -> None:
        loop = asyncio.get_running_loop()
        at = max(self._last.get(id(link), 0.0) + 1e-6, loop.time() + self.latency_s())
        self._last[id(link)] = at
        loop.call_at(at, deliver)  # type: ignore[arg-type]

    def note_sent(self, link: ModelLink, message: GatewayMessage) -> None:
        if isinstance(message, Confirm):
            if message.call_id in self.confirmed:
                self.wrong.append(f"{message.call_id} has two agents")
            self.confirmed[message.call_id] = link
            self.served.add(message.call_id)
        elif isinstance(message, Ended) and self.confirmed.get(message.call_id) is link:
            del self.confirmed[message.call_id]

    def note_heard(self, link: ModelLink, message: AgentMessage) -> None:
        if isinstance(message, RoamResult):
            self.results.append(message)
        elif isinstance(message, Hangup) and self.confirmed.get(message.call_id) is link:
            del self.confirmed[message.call_id]

    def note_lost(self, link: ModelLink) -> None:
        self.confirmed = {call_id: one for call_id, one in self.confirmed.items() if one is not link}

    def note_gateway_lost(self, gateway: ModelGateway) -> None:
        self.confirmed = {
            call_id: one for call_id, one in self.confirmed.items() if one.gateway is not gateway
        }

    def under_way(self) -> int:
        return sum(
            call.phase is not Phase.ENDED
            for gateway in self.gateways.values()
            if gateway.alive
            for call in list(gateway.board._calls.values())
        )

    def kept(self) -> int:
        """Count the places that are kept, and the summonses that are not over."""
        alive = [one for one in self.gateways.values() if one.alive]
        reserved = sum(len(i.reserved) + len(i.summoned) for one in alive for i in one.board.instances.all())
        return reserved + sum(len(one.cluster._reservations) + len(one.cluster._summonses) for one in alive)
