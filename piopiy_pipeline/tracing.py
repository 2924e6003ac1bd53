"""Spans of calls, for OpenTelemetry: which process makes which, and how they become one trace.

    call               of the gateway, from the placing to the end
      agent call       of an agent, for each instance that the call was with
        conversation   pipecat's
          turn         pipecat's, a turn
            llm, stt, tts    pipecat's, or ours for services that pipecat does not trace: a request to a provider

Traces are on where OpenTelemetry's own variables say where to send spans, and off otherwise: then nothing of its SDK is
imported here. The SDK and its exporter are the extra ``tracing``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from loguru import logger

from piopiy_pipeline.trace_ids import ENDPOINTS, root_span_id, trace_id_of, tracing_wanted

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

__all__ = ["CallTrace", "flush_tracing", "is_tracing", "set_up_tracing", "trace_request", "traced_call"]

_NAME = "piopiy_pipeline"
_FLUSH_MS = 3000
_provider: TracerProvider | None = None
_ids: list[Any] = []  # the generator of ids of the provider


def is_tracing() -> bool:
    """Return whether this process makes spans."""
    return _provider is not None


def flush_tracing() -> None:
    """Send the spans that wait, for a few seconds at most. It blocks: call it in a thread."""
    if _provider is not None:
        _provider.force_flush(_FLUSH_MS)


def set_up_tracing(service: str, exporter: SpanExporter | None = None) -> None:
    """Make spans in this process from now on, if the environment asks for it.

    Args:
        service: The name of this program, unless OTEL_SERVICE_NAME has another.
        exporter: Where spans go; None: where OpenTelemetry's variables say, over HTTP.
    """
    global _provider
    if _provider is not None or (exporter is None and not tracing_wanted()):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processor: Any = BatchSpanProcessor(OTLPSpanExporter())
        else:
            processor = SimpleSpanProcessor(exporter)
    except ImportError:
        logger.warning(
            "{} is set, and no spans are sent: pip install 'piopiy-pipeline[tracing]'", " or ".join(ENDPOINTS)
        )
        return
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    resource = Resource.create(named)
    provider = TracerProvider(resource=resource, id_generator=_make_ids())
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    _provider = provider


def _make_ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class CallIds(RandomIdGenerator):
        """Gives the next span the ids that it is to have."""

        root: str | None = None

        def generate_trace_id(self) -> int:
            return super().generate_trace_id() if self.root is None else int(trace_id_of(self.root), 16)

        def generate_span_id(self) -> int:
            return super().generate_span_id() if self.root is None else int(root_span_id(self.root), 16)

    _ids.append(CallIds())
    return _ids[-1]


class CallTrace:
    """The span of a call at its gateway. All other spans of the call are below it, whoever makes them.

    Args:
        call_id: The call.
        when: When it was placed: Unix time in seconds.
        attributes: What is known of it.
    """

    def __init__(self, call_id: str, when: float, attributes: dict[str, Any]) -> None:
        from opentelemetry import context, trace

        _ids[-1].root = call_id
        try:
            self._span: Span = trace.get_tracer(_NAME).start_span(
                "call",
                context=context.Context(),
                kind=trace.SpanKind.SERVER,
                start_time=_ns(when),
                attributes={"call.id": call_id, **attributes},
            )
        finally:
            _ids[-1].root = None

    def event(self, name: str, when: float) -> None:
        """Note that something has happened to the call."""
        self._span.add_event(name, timestamp=_ns(when))

    def end(self, when: float, reason: str, *, failed: bool) -> None:
        """End the span."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("call.end_reason", reason)
        if failed:
            self._span.set_status(Status(StatusCode.ERROR, reason))
        self._span.end(_ns(when))


@contextlib.contextmanager
def traced_call(call_id: str, **attributes: str) -> Iterator[Span | None]:
    """Have all spans that are made within, and in tasks that are made within, be those of this call at an agent."""
    if _provider is None:
        yield None
        return
    from opentelemetry import trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

    parent = SpanContext(
        int(trace_id_of(call_id), 16),
        int(root_span_id(call_id), 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    tracer = trace.get_tracer(_NAME)
    with tracer.start_as_current_span(
        "agent call",
        context=trace.set_span_in_context(NonRecordingSpan(parent)),
        kind=SpanKind.CONSUMER,
        attributes={"call.id": call_id, **attributes},
    ) as span:
        yield span


def trace_request(parent: Any, service: str, provider: str, model: str, seconds: float) -> None:
    """Make the span of a request to a provider that is over now.

    Args:
        parent: The context of the turn, or None: the current span is its parent.
        service: ``stt``, ``llm`` or ``tts``.
        provider: Whose service it is.
        model: Which model.
        seconds: How long it took.
    """
    if _provider is None:
        return
    from opentelemetry import trace

    end_ns = time.time_ns()
    span = trace.get_tracer(_NAME).start_span(
        service,
        context=parent,
        kind=trace.SpanKind.CLIENT,
        start_time=end_ns - round(seconds * 1e9),
        attributes={
            "gen_ai.operation.name": "chat" if service == "llm" else service,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        },
    )
    span.end(end_ns)


def _ns(unix_s: float) -> int:
    return round(unix_s * 1e9)
