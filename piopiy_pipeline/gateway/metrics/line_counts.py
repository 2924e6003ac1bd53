"""What was measured on the lines of calls: packets as counters that only grow, and the worst line now. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.metrics.voice_quality import mos_estimate

__all__ = ["LineCounts", "mos_of"]

LEAST_PACKETS = 50
"""A line of which fewer packets came, a second of audio, says nothing about its quality yet."""


def mos_of(line: Mapping[str, Any]) -> float | None:
    """Return the estimated opinion score of a line, by its `Leg.line_quality`; None if that is not enough."""
    received, missed = _packets(line)
    if received + missed < LEAST_PACKETS:
        return None
    return mos_estimate(
        loss=missed / (received + missed),
        jitter_s=_number(line, "jitter_ms") / 1000,
        round_trip_s=_number(line, "round_trip_ms") / 1000,
    )


class LineCounts:
    """Counts the packets of all lines, those under way too.

    Args:
        registry: Where they are counted.
    """

    def __init__(self, registry: MetricRegistry) -> None:
        self._registry = registry
        self._seen: dict[str, tuple[float, float]] = {}  # of calls under way: packets received and missed

    def look(self, calls: Iterable[CallSnapshot]) -> None:
        """Count what has come since the last look.

        Args:
            calls: All calls under way.
        """
        jitters: dict[tuple[str, ...], float] = {}
        scores: dict[tuple[str, ...], float] = {}
        for call in calls:
            if not call.line:
                continue
            self._count(call)
            kind = (call.kind,)
            jitters[kind] = max(jitters.get(kind, 0.0), _number(call.line, "jitter_ms") / 1000)
            if (score := mos_of(call.line)) is not None:
                scores[kind] = min(scores.get(kind, 5.0), score)
        self._registry.set_all("piopiy_gateway_line_jitter_worst_seconds", jitters)
        self._registry.set_all("piopiy_gateway_line_mos_worst", scores)

    def ended(self, call: CallSnapshot) -> None:
        """Count what is left of a call that has ended."""
        if call.line:
            self._count(call)
            self._registry.observe(
                "piopiy_gateway_line_jitter_seconds", _number(call.line, "jitter_ms") / 1000, kind=call.kind
            )
            if (score := mos_of(call.line)) is not None:
                self._registry.observe("piopiy_gateway_line_mos", score, kind=call.kind)
        self._seen.pop(call.call_id, None)

    def _count(self, call: CallSnapshot) -> None:
        now, before = _packets(call.line), self._seen.get(call.call_id, (0.0, 0.0))
        names = ("piopiy_gateway_rtp_packets_received_total", "piopiy_gateway_rtp_packets_lost_total")
        for name, new, old in zip(names, now, before, strict=True):
            self._registry.inc(name, max(0.0, new - old), kind=call.kind)
        # Packets that count as missing may come after all: the counter waits until there are more than it has.
        self._seen[call.call_id] = (max(now[0], before[0]), max(now[1], before[1]))


def _packets(line: Mapping[str, Any]) -> tuple[float, float]:
    """Return how many packets came, and how many were not heard, by the line's own counts."""
    late = _number(line, "packets_late")
    return max(0.0, _number(line, "packets_received") - late), max(0.0, _number(line, "packets_lost")) + late


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0
