"""The ids of a call's trace, which follow from the call's own id. Without OpenTelemetry, so that everybody knows them.

A gateway and the agents that a call is with one after another need not tell each other: all write into one trace,
whoever of them exports spans. A trace id is a call id, a UUID, with its halves exchanged. The second half of a trace id
is what OpenTelemetry's samplers decide by, and of a UUID only the first half begins at random (RFC 9562, section 5.4).
"""

from __future__ import annotations

import hashlib
import os
import uuid

__all__ = ["root_span_id", "trace_id_of", "tracing_wanted"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables of OpenTelemetry: where spans are sent."""


def tracing_wanted() -> bool:
    """Return whether the environment says where spans are sent."""
    return any(os.environ.get(name) for name in ENDPOINTS)


def trace_id_of(call_id: str) -> str:
    """Return the trace id of a call, 32 hexadecimal digits. Of an id that is no UUID, it is made of its hash."""
    try:
        digits = uuid.UUID(call_id).hex
    except ValueError:
        digits = hashlib.sha256(call_id.encode()).hexdigest()[:32]
    return digits[16:] + digits[:16]


def root_span_id(call_id: str) -> str:
    """Return the id of the span of a call at its gateway, 16 hexadecimal digits: the parent of all others."""
    return hashlib.sha256(f"span of {call_id}".encode()).hexdigest()[:16]
