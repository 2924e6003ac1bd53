"""Spans of a call: one trace from the gateway to the requests of providers, with ids that follow from the call's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from piopiy_pipeline.trace_ids import root_span_id, trace_id_of

CALL = "0b0f9f4e-1c2d-4e5f-8a9b-0c1d2e3f4a5b"


def test_a_trace_id_is_the_call_id_with_its_halves_exchanged() -> None:
    assert trace_id_of(CALL) == "8a9b0c1d2e3f4a5b0b0f9f4e1c2d4e5f"
    assert len(trace_id_of("no uuid")) == 32
    assert trace_id_of("no uuid") != trace_id_of("another")
    assert len(root_span_id(CALL)) == 16


PROGRAM = """
import asyncio, json
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from piopiy_pipeline.tracing import set_up_tracing

exporter = InMemorySpanExporter()
set_up_tracing("test", exporter)

from tests.support.bots import voice
from tests.support.calls import house

async def bot(call):
    agent = await voice(call, greeting="Good day.", texts=["Hello."], replies=["What can I do for you?"])
    await agent.start()

async def story():
    async with house(bot) as place:
        await place.call("booking/01-people.wav", hangup_after_s=3.0)
        await asyncio.sleep(0.5)
        return place.ended()[0].call_id

call_id = asyncio.run(story())
spans = [
    {
        "name": span.name,
        "trace": format(span.context.trace_id, "032x"),
        "id": format(span.context.span_id, "016x"),
        "parent": None if span.parent is None else format(span.parent.span_id, "016x"),
        "attributes": dict(span.attributes),
        "events": [event.name for event in span.events],
        "service": span.resource.attributes["service.name"],
        "ended": span.end_time is not None and span.end_time >= span.start_time,
    }
    for span in exporter.get_finished_spans()
]
print(json.dumps({"call_id": call_id, "spans": spans}))
"""


@pytest.mark.realtime
def test_a_call_is_one_trace_from_the_gateway_to_the_provider() -> None:
    """Against the clock of the wall, with a real gateway, in a process of its own: OpenTelemetry's provider is one a
    process."""

    pytest.importorskip("opentelemetry.sdk")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    spans: list[dict[str, Any]] = told["spans"]
    names = [span["name"] for span in spans]
    assert {span["trace"] for span in spans} == {trace_id_of(told["call_id"])}, names
    of = {span["name"]: span for span in spans}
    assert {"call", "agent call", "conversation", "turn", "llm"} <= set(names)
    assert of["call"]["id"] == root_span_id(told["call_id"])
    assert of["call"]["parent"] is None
    assert of["call"]["events"][-1] == "ended"
    assert of["call"]["attributes"]["call.end_reason"] == "caller_hangup"
    assert of["agent call"]["parent"] == of["call"]["id"]
    assert of["conversation"]["parent"] == of["agent call"]["id"]
    assert of["turn"]["parent"] == of["conversation"]["id"]
    turns = {span["id"] for span in spans if span["name"] == "turn"}
    assert {span["parent"] for span in spans if span["name"] == "llm"} <= turns | {of["conversation"]["id"]}
    assert of["llm"]["attributes"]["gen_ai.operation.name"] == "chat"
    assert all(span["ended"] for span in spans)


def test_without_an_address_for_spans_the_sdk_is_not_loaded() -> None:
    program = (
        "import sys, piopiy_pipeline.agent.agent, piopiy_pipeline.gateway.server\n"
        "from piopiy_pipeline.tracing import set_up_tracing, is_tracing\n"
        "set_up_tracing('x'); assert not is_tracing()\n"
        "from piopiy_pipeline.metrics import agent_counts\n"
        "assert 'opentelemetry.exporter' not in sys.modules"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], timeout=120, check=True, env=clean)


def test_an_address_without_the_extra_is_a_warning_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from piopiy_pipeline import tracing

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    tracing.set_up_tracing("x")
    assert not tracing.is_tracing()
