"""What a metric is, and the bounds of histograms. docs/metrics.md has a table of all, made from these values.

Names follow Prometheus: base units (`_seconds`), `_total` for counters, one prefix a program (`piopiy_gateway_`,
`piopiy_agent_`), because an agent and a gateway both see a call and nobody may add them up by mistake. Where
OpenTelemetry's semantic conventions for generative AI have a metric, it has their name, as exporters for Prometheus
write it: ``gen_ai.client.token.usage`` is `gen_ai_client_token_usage`.
Source: https://prometheus.io/docs/practices/naming/,
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ANSWERS", "CALLS", "DELAYS", "LAGS", "REQUESTS", "TOKENS", "MetricFamily", "MetricKind"]

MetricKind = Literal["counter", "gauge", "histogram"]

ANSWERS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
"""Seconds that a caller waits for an answer: fine where people begin to notice (0.5 to 1.5 s)."""
REQUESTS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds of a provider's work: the bounds that OpenTelemetry asks for of ``gen_ai.client.operation.duration``."""
TOKENS = (
    1,
    4,
    16,
    64,
    256,
    1024,
    4096,
    16_384,
    65_536,
    262_144,
    1_048_576,
    4_194_304,
    16_777_216,
    67_108_864,
)
"""Tokens of one request: the bounds that OpenTelemetry asks for of ``gen_ai.client.token.usage``."""
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds that an event loop comes too late: a frame of audio is 0.02 s."""
DELAYS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
"""Seconds of jitter on a line, and of gaps in what a caller hears."""
CALLS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
"""Seconds that calls last."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric.

    Attributes:
        name: The name, as Prometheus has it.
        kind: What it is.
        help: What it counts, a sentence without its full stop.
        labels: What it is told apart by. Never a call, a number or free text.
        buckets: Of a histogram: the upper bounds, rising.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
