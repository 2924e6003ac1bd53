"""A day of a gateway and of its agent, in their own metrics, with planted faults, scraped every 15 seconds.

The calls go through a real `Switchboard`, which is given the time, and everything is counted by the real exporters of
gateway and agent: the series are what Prometheus would scrape, names, labels and values. What is no part of them is
played: phones, trunks, webhooks, the database and the memory of the agent are as the plan says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from loguru import logger
from prometheus_client import CollectorRegistry

from piopiy_pipeline.agent.agent_metrics import note_numbers
from piopiy_pipeline.agent.agent_numbers import AgentNumbers
from piopiy_pipeline.call import CallInfo, CallKind, EndReason
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.summons import NobodyElse, SummonsOutcome
from piopiy_pipeline.gateway.metrics.gateway_metrics import GatewayMetrics
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.webhooks.sender import ReceiverCounts
from piopiy_pipeline.latency import LatencyParts
from piopiy_pipeline.metrics.agent_counts import AgentCounts
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.signaling.messages import ConversationEvent, Hangup, Heartbeat
from tests.support.switchboard import NotedAgent, NotedLeg, Room

__all__ = ["DAY_S", "SCRAPE_S", "SHORT_DAY_S", "PlantedFault", "Series", "planted_faults", "scrape_day"]

DAY_S = 24 * 3600
SHORT_DAY_S = 8 * 3600
"""A day that goes by three times as fast: the same faults and as many calls at once, with less time between."""
SCRAPE_S = 15
FAULT_S = 180
AGENT = "desk"
LIMITS = CallLimits(offer_s=0.4, setup_s=10, max_duration_s=3600)
MB = 1e6

Series = dict[str, list[float | None]]
"""The values of each series, by its name and labels as Prometheus writes them; None where there is none."""


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """Something that goes wrong for a while, and the one alert that is to say so."""

    name: str
    at_s: int
    alert: str
    lasts_s: int = FAULT_S


FAULTS = (
    ("slow model", "PiopiySlowAnswers"),
    ("dying trunk", "PiopiyTrunkFails"),
    ("leaking agent", "PiopiyAgentLeaks"),
    ("blocked loop", "PiopiyLoopLag"),
    ("registrations lost", "PiopiyPhonesUnregistered"),
    ("no free places", "PiopiyNoFreePlaces"),
    ("webhooks undelivered", "PiopiyWebhooksUndelivered"),
    ("database refused", "PiopiyRecordsFail"),
    ("high loss", "PiopiyHighLoss"),
    ("failover storm", "PiopiyFailoverStorm"),
    ("silent instance", "PiopiyInstanceSilent"),
    ("NATS gone", "PiopiyCutOff"),
)
"""What goes wrong, in this order, and the alert that is to say so."""


def planted_faults(day_s: int = DAY_S) -> tuple[PlantedFault, ...]:
    """Return when what goes wrong: evenly over the day, at no round time, so that no fault begins with a scrape."""
    apart_s = day_s // len(FAULTS)
    return tuple(
        PlantedFault(name, apart_s * (number + 1) - 1800 + 17 * number, alert)
        for number, (name, alert) in enumerate(FAULTS)
    )


class _Line(NotedLeg):
    """A telephone's leg whose line loses packets."""

    kind: CallKind = "phone"

    def __init__(self) -> None:
        super().__init__()
        self.received = self.lost = 0.0

    def line_quality(self) -> dict[str, Any]:
        return {
            "packets_received": round(self.received),
            "packets_lost": round(self.lost),
            "packets_late": 0,
            "jitter_ms": 4.0,
            "round_trip_ms": 42.0,
        }


@dataclass(slots=True)
class _Talk:
    """A call under way: when the next turn is, and when it ends."""

    call: GatewayCall
    leg: _Line
    agent: NotedAgent
    ends_at: float
    turn_at: float
    turns: int = 0


@dataclass(slots=True)
class _Keeping:
    """What is played for records, recordings and webhooks."""

    problem: str = ""
    waiting: int = 0
    lost: int = 0
    delivered: int = 0
    failures: int = 0
    undelivered: int = 0

    def counts(self) -> list[ReceiverCounts]:
        return [ReceiverCounts("https://shop.example", self.undelivered, self.delivered, self.failures, 0)]


@dataclass(slots=True)
class _Telephones:
    """What is played for phones and trunks."""

    trunk_outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    known: int = 20
    trunk: bool = True

    @property
    def config(self) -> Any:
        return SimpleNamespace(users=[f"phone{number}" for number in range(20)], trunks={"carrier": None})

    @property
    def endpoint(self) -> Any:
        return SimpleNamespace(
            registered=lambda user: int(user.removeprefix("phone")) < self.known,
            registrations={"carrier": self.trunk},
            stats=SipStats(),
        )


class _Neighbours(NobodyElse):
    """What is played for the other gateways of a cluster: nobody comes, but it is counted as if."""

    def __init__(self) -> None:
        self.summoned: Counter[SummonsOutcome] = Counter()

    def play(self, random: Random, *, gone: bool) -> None:
        self.problem = self.cause = "the NATS servers are not reached" if gone else ""
        if not gone and random.random() < 1 / 20:
            [outcome] = random.choices(("came", "nobody", "refused", "missed"), (93, 5, 1, 1))
            self.summoned[cast(SummonsOutcome, outcome)] += 1


class SimulatedDay:
    """Makes the day, second by second.

    Args:
        day_s: How long it takes, in seconds.
        seed: Decides on everything that varies.
    """

    def __init__(self, day_s: int = DAY_S, seed: int = 1) -> None:
        self._day_s, self._planted = day_s, planted_faults(day_s)
        self._wrong: set[str] = set()
        self._random = Random(seed)
        self._room = Room(LIMITS, max_calls=200)
        self._phones, self._keeping = _Telephones(), _Keeping()
        self._room.board.resources.dialler = cast(Any, self._phones)
        self._neighbours = self._room.board.resources.summoner = _Neighbours()
        self._room.board.drain.other_gateways = lambda: (
            [] if self._neighbours.problem else ["ws://b", "ws://c"]
        )
        self._luck = Random(seed)  # of its own: what was here before stays as it was
        self.gateway = GatewayMetrics(
            self._room.board,
            records=cast(Any, self._keeping),
            recorder=cast(Any, SimpleNamespace(problem="")),
            webhooks=cast(Any, self._keeping),
            process=False,
        )
        self.agent = MetricRegistry(AGENT_FAMILIES, process=False)
        self._counts = AgentCounts()
        self._counts.sink = self.agent
        self._counts.provider_known("llm", "openai")
        self._agents = [self._room.agent(name, capacity=20) for name in ("one", "two")]
        self._talks: list[_Talk] = []
        self._begin = self._room.now
        self._memory = 400 * MB
        self._leaked = 0.0
        self._silent = False

    @property
    def second(self) -> float:
        """The seconds since midnight."""
        return self._room.now - self._begin

    def fault(self, name: str) -> bool:
        """Return whether this fault is there now."""
        return name in self._wrong

    def advance(self) -> None:
        """Let a second pass."""
        self._room.wait(1.0)
        now, random, second = self._room.now, self._random, self.second
        self._wrong = {one.name for one in self._planted if 0 <= second - one.at_s < one.lasts_s}
        for agent in self._agents:
            if not self._silent or agent is not self._agents[0]:
                self._room.board.receive(agent.instance, Heartbeat(), now)
        self._go_silent()
        # Calls by the time of day: about 3 under way at night, 12 at noon.
        load = 3 + 9 * max(0.0, math.sin(math.pi * (2 * second / self._day_s - 0.5)))
        if self.fault("no free places"):
            while self._room.board.instances.any_free(AGENT):
                self._place(lasts_s=FAULT_S + 30)
        elif random.random() < load / 90 and self._room.board.instances.any_free(AGENT):
            self._place(lasts_s=random.uniform(30, 150))
        for talk in tuple(self._talks):
            self._talk(talk, now)
        self._neighbours.play(self._luck, gone=self.fault("NATS gone"))
        self._play_phones()
        self._play_keeping()
        self._play_process()

    def _place(self, *, lasts_s: float) -> None:
        leg = _Line()
        self._room.numbers += 1
        info = CallInfo(agent_id=AGENT, call_id=f"call-{self._room.numbers}", kind="phone")
        call = self._room.board.place(info, leg, self._room.now)
        [agent] = [
            one for one in self._agents if one.sent and getattr(one.last(), "call_id", "") == info.call_id
        ]
        agent.take()
        self._talks.append(
            _Talk(call, leg, agent, self._room.now + lasts_s, self._room.now + self._random.uniform(4, 9))
        )

    def _talk(self, talk: _Talk, now: float) -> None:
        random = self._random
        loss = 0.08 if self.fault("high loss") else 0.002
        talk.leg.received += 50 * (1 - loss)
        talk.leg.lost += 50 * loss
        if now >= talk.ends_at:
            self._talks.remove(talk)
            self._counts.call_ended("phone", "caller_hangup")
            call_id = talk.call.call_id
            if random.random() < 0.5:
                talk.call.caller_hangup(now)
            else:
                talk.agent.say(Hangup(call_id=call_id, reason=EndReason.AGENT_HANGUP))
        elif now >= talk.turn_at:
            talk.turn_at = now + random.uniform(6, 11)
            self._turn(talk)

    def _turn(self, talk: _Talk) -> None:
        random = self._random
        slow = self.fault("slow model")
        llm = random.uniform(2.8, 4.5) if slow else random.uniform(0.2, 0.6)
        if self.fault("failover storm"):
            self._counts.provider_failed("llm", "openai")
            self._counts.failed_over("llm", "openai")
            llm += 0.3
        elif random.random() < 0.002:  # a provider stumbles now and then
            self._counts.provider_failed("llm", "openai")
            self._counts.failed_over("llm", "openai")
        parts = LatencyParts(
            silence=0.2, stt=0.1, turn=0.02, llm=llm, tts=random.uniform(0.1, 0.25), playout=0.02
        )
        self._say(talk, "user_turn", {"text": "a question"})
        self._say(talk, "latency", parts.event_data())
        if random.random() < 0.15:
            verdict = random.choice(("interrupt", "resume"))
            self._say(talk, "barge_in", {"verdict": verdict, "reason": "", "held_s": 0.3})
        self._say(talk, "bot_turn", {"text": "an answer", "interrupted": random.random() < 0.1})
        self._counts.first_result("llm", "openai", "gpt", llm)
        self._counts.tokens("openai", "gpt", input_tokens=800, output_tokens=60)
        self._say(talk, "usage", {"service": "llm", "input_tokens": 800, "output_tokens": 60})

    def _say(self, talk: _Talk, event: Any, data: Mapping[str, Any]) -> None:
        self._counts.conversation(AGENT, event, data)
        talk.agent.say(ConversationEvent(call_id=talk.call.call_id, at=1.0, event=event, data=dict(data)))

    def _go_silent(self) -> None:
        board, now = self._room.board, self._room.now
        if self.fault("silent instance") and not self._silent:
            self._silent = True
            instance = self._agents[0].instance
            for talk in [one for one in self._talks if one.agent is self._agents[0]]:
                talk.call.caller_hangup(now)  # none is left that could be moved
                self._talks.remove(talk)
            board.silences.silent(instance, "nothing was heard of it for 1.0 s", now)
        elif self._silent and not self.fault("silent instance"):
            self._silent = False

    def _play_phones(self) -> None:
        self._phones.known = 4 if self.fault("registrations lost") else 20 - (self._random.random() < 0.01)
        if self._random.random() < 1 / 20:
            bad = self.fault("dying trunk")
            outcome = (
                "unreachable" if bad else self._random.choice(("answered", "answered", "busy", "no_answer"))
            )
            self._phones.trunk_outcomes["carrier", outcome] += 1

    def _play_keeping(self) -> None:
        self._keeping.problem = "the database refuses connections" if self.fault("database refused") else ""
        self._keeping.waiting = 40 if self._keeping.problem else 0
        if self._random.random() < 1 / 10:
            if self.fault("webhooks undelivered"):
                self._keeping.failures += 1
                self._keeping.undelivered += 1
            else:
                self._keeping.delivered += 1 + self._keeping.undelivered
                self._keeping.undelivered = 0

    def _play_process(self) -> None:
        for _ in range(4):
            lag = self._random.expovariate(1 / 0.002)
            if self.fault("blocked loop") and self._random.random() < 0.3:
                lag += 0.4
                self._counts.loop_blocked()
            self._counts.loop_lag(lag)
        self.gateway.registry.observe("piopiy_gateway_loop_lag_seconds", self._random.expovariate(1 / 0.001))
        if self.fault("leaking agent"):
            self._leaked += 12 * MB
        calls = len(self._talks)
        wanted = 400 * MB + 14 * MB * calls + self._leaked
        self._memory += (wanted - self._memory) * (1.0 if wanted > self._memory else 0.02)
        note_numbers(self.agent, AGENT, AgentNumbers(calls, 40, False, True, (1,)))
        if round(self.second) % 10 == 0:
            self.agent.set("piopiy_agent_processes_memory_bytes", self._memory)


def scrape_day(names: set[str], *, day_s: int = DAY_S, seed: int = 1) -> Series:
    """Return what Prometheus would have scraped of the metrics with these names.

    Args:
        names: The names of samples.
        day_s: How long the day takes, in seconds.
        seed: Decides on everything that varies.
    """
    logger.disable("piopiy_pipeline")  # 2,000 calls have as many lines
    try:
        return _scrape(SimulatedDay(day_s, seed), names, day_s)
    finally:
        logger.enable("piopiy_pipeline")


def _scrape(day: SimulatedDay, names: set[str], day_s: int) -> Series:
    series: Series = {}
    sources: tuple[tuple[str, CollectorRegistry], ...] = (
        ('instance="gateway:7860",job="piopiy-gateway"', day.gateway.registry.collector),
        ('instance="agent:9464",job="piopiy-agent"', day.agent.collector),
    )
    scrapes = day_s // SCRAPE_S + 1
    for number in range(scrapes):
        day.gateway.refresh()
        for target, collector in sources:
            for name, value in _samples(collector, names, target):
                series.setdefault(name, [None] * number).append(value)
        for values in series.values():
            if len(values) <= number:
                values.append(None)
        for _ in range(SCRAPE_S):
            day.advance()
    for target, _ in sources:
        series[f"up{{{target}}}"] = [1.0] * scrapes
    return series


def _samples(collector: CollectorRegistry, names: set[str], target: str) -> Iterator[tuple[str, float]]:
    restricted: Callable[[set[str]], Any] = collector.restricted_registry
    for family in restricted(names).collect():
        for sample in family.samples:
            if sample.name in names:
                labels = ",".join([target, *(f'{key}="{value}"' for key, value in sample.labels.items())])
                yield f"{sample.name}{{{labels}}}", sample.value
