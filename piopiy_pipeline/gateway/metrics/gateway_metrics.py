"""`GatewayMetrics`: everything that a gateway counts, and what it looks up when it is asked for it.

What happens is counted as it happens, by the event bus. What is there (calls by state, free places, registrations) is
read at each request, so that it costs nothing in between.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, cast, get_args

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.core.dialling import DialFailure, NoDialler
from piopiy_pipeline.gateway.core.snapshots import InstanceSnapshot, Snapshot
from piopiy_pipeline.gateway.core.summons import SummonsOutcome
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.metrics.call_metrics import CallMetrics
from piopiy_pipeline.gateway.metrics.gateway_families import GATEWAY_FAMILIES
from piopiy_pipeline.gateway.metrics.line_counts import LineCounts
from piopiy_pipeline.metrics.loop_lag import LoopLag
from piopiy_pipeline.metrics.registry import MetricRegistry

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPool
    from piopiy_pipeline.gateway.phones.phones import Phones
    from piopiy_pipeline.gateway.recordings.recorder import GatewayRecorder
    from piopiy_pipeline.gateway.records import Records
    from piopiy_pipeline.gateway.webhooks.sender import Webhooks

__all__ = ["GatewayMetrics"]

_P = "piopiy_gateway_"


class GatewayMetrics:
    """The metrics of one gateway.

    Args:
        switchboard: Its calls and instances, and its event bus.
        records: Its records, if it keeps any.
        recorder: Its recordings.
        webhooks: Its webhooks, if it sends any.
        process: Whether processor time, memory and open files of this process are among them.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        *,
        records: Records | None = None,
        recorder: GatewayRecorder | None = None,
        webhooks: Webhooks | None = None,
        process: bool = True,
    ) -> None:
        self.registry = MetricRegistry(GATEWAY_FAMILIES, process=process)
        self._switchboard = switchboard
        self._records = records
        self._recorder = recorder
        self._webhooks = webhooks
        self._lines = LineCounts(self.registry)
        self._lag: LoopLag | None = None
        self.leg_pools: list[LegPool] = []
        """The leg processes whose restarts are counted."""
        switchboard.event_bus.subscribe(CallMetrics(self.registry, self._lines).on_event)

    def start(self) -> None:
        """Begin to measure the running event loop."""
        self._lag = LoopLag(lambda lag_s: self.registry.observe(f"{_P}loop_lag_seconds", lag_s))

    def close(self) -> None:
        """Measure no more."""
        if self._lag is not None:
            self._lag.close()

    def render(self) -> bytes:
        """Return everything as it is now, in Prometheus' text format."""
        self.refresh()
        return self.registry.render()

    def refresh(self) -> None:
        """Read what is not counted as it happens."""
        snapshot = self._switchboard.snapshot()
        self.registry.set(f"{_P}info", 1, version=__version__)
        self._look_at_calls(snapshot)
        self._look_at_instances(snapshot.instances)
        self._lines.look(snapshot.calls)
        self._look_at_phones()
        for pool in self.leg_pools:
            self.registry.count_to(f"{_P}leg_process_restarts_total", pool.restarts, process=pool.name)
        self._look_at_cluster()
        self._look_at_keeping()

    def _look_at_calls(self, snapshot: Snapshot) -> None:
        calls = Counter((call.kind, call.phase.value) for call in snapshot.calls)
        self.registry.set_all(f"{_P}calls", {labels: float(number) for labels, number in calls.items()})
        self.registry.set(f"{_P}draining", int(self._switchboard.drain.on))
        self.registry.set(f"{_P}calls_limit", self._switchboard.max_calls)

    def _look_at_instances(self, instances: tuple[InstanceSnapshot, ...]) -> None:
        states: Counter[tuple[str, ...]] = Counter()
        capacity: Counter[tuple[str, ...]] = Counter()
        active: Counter[tuple[str, ...]] = Counter()
        free: Counter[tuple[str, ...]] = Counter()
        busy: dict[tuple[str, ...], float] = {}
        lag_s: dict[tuple[str, ...], float] = {}
        for one in instances:
            state = _state_of(one)
            agent = (one.agent_id,)
            states[one.agent_id, state] += 1
            capacity[agent] += one.capacity
            active[agent] += one.active
            free[agent] += max(0, one.capacity - one.active) if state == "serving" else 0
            if one.load is not None:
                busy[agent] = max(busy.get(agent, 0.0), one.load.busy)
                lag_s[agent] = max(lag_s.get(agent, 0.0), one.load.lag_p95_ms / 1e3)
        for name, counts in (
            ("instances", states),
            ("agent_capacity_calls", capacity),
            ("agent_active_calls", active),
            ("agent_free_calls", free),
        ):
            self.registry.set_all(f"{_P}{name}", {labels: float(count) for labels, count in counts.items()})
        self.registry.set_all(f"{_P}agent_busy_ratio", busy)
        self.registry.set_all(f"{_P}agent_loop_lag_seconds", lag_s)
        self.registry.count_to(f"{_P}instances_silent_total", self._switchboard.silences.count)

    def _look_at_phones(self) -> None:
        dialler = self._switchboard.resources.dialler
        if isinstance(dialler, NoDialler):
            return
        phones = cast("Phones", dialler)
        for trunk in phones.config.trunks:
            for outcome in ("answered", *get_args(DialFailure)):
                number = phones.trunk_outcomes[trunk, outcome]
                self.registry.count_to(f"{_P}trunk_calls_total", number, trunk=trunk, outcome=outcome)
        endpoint = phones.endpoint
        if endpoint is None:
            return
        users = phones.config.users
        self.registry.set(f"{_P}phones_configured", len(users))
        self.registry.set(f"{_P}phones_registered", sum(endpoint.registered(user) for user in users))
        self.registry.set_all(
            f"{_P}trunk_registered", {(name,): float(known) for name, known in endpoint.registrations.items()}
        )
        for event, number in asdict(endpoint.stats).items():
            self.registry.count_to(f"{_P}sip_total", number, event=event)

    def _look_at_cluster(self) -> None:
        summoner, registry = self._switchboard.resources.summoner, self.registry
        if summoner.summoned is None:
            return
        registry.set(f"{_P}cluster_cut_off", bool(summoner.problem))
        registry.set(f"{_P}cluster_gateways", len(self._switchboard.drain.other_gateways()))
        registry.set(f"{_P}cluster_store_failing", bool(summoner.store_problems))
        registry.set(f"{_P}cluster_conflicts", len(summoner.at_odds))
        registry.set(f"{_P}cluster_messages_left_out", len(summoner.unsent))
        for outcome in get_args(SummonsOutcome):
            registry.count_to(f"{_P}summonses_total", summoner.summoned.get(outcome, 0), outcome=outcome)

    def _look_at_keeping(self) -> None:
        registry = self.registry
        if self._records is not None:
            registry.set(f"{_P}records_failing", bool(self._records.problem))
            registry.set(f"{_P}records_waiting", self._records.waiting)
            registry.count_to(f"{_P}records_lost_total", self._records.lost)
        if self._recorder is not None:
            registry.set(f"{_P}recordings_failing", bool(self._recorder.problem))
        if self._webhooks is not None:
            counts = self._webhooks.counts()
            registry.set_all(f"{_P}webhooks_waiting", {(one.name,): float(one.waiting) for one in counts})
            for one in counts:
                registry.count_to(f"{_P}webhooks_delivered_total", one.delivered, receiver=one.name)
                registry.count_to(f"{_P}webhook_failures_total", one.failures, receiver=one.name)
                registry.count_to(f"{_P}webhooks_lost_total", one.lost, receiver=one.name)


def _state_of(instance: InstanceSnapshot) -> str:
    if instance.silent:
        return "silent"
    if instance.draining and not instance.has_its_call:
        return "draining"
    return "serving" if instance.load is None or instance.load.takes == "all" else "overloaded"
