"""What providers were given out is the same in an agent's metrics, on records, in webhooks and in a gateway's metrics.

The calls run in virtual time, with scripted providers; what these are given and give is counted at the providers
themselves, below everything that is tested here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat.side_requests import ask_beside
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.metrics.call_metrics import CallMetrics
from piopiy_pipeline.gateway.metrics.gateway_families import GATEWAY_FAMILIES
from piopiy_pipeline.gateway.metrics.line_counts import LineCounts
from piopiy_pipeline.gateway.records.models import CallUsage
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.records.write_queue import WriteQueue
from piopiy_pipeline.gateway.webhooks.webhook_messages import CONVERSATION_LIMIT, WebhookMessages
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.session.providers.provider_clients import close_clients
from piopiy_pipeline.testing import (
    Caller,
    Providers,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.call_events import CallEvents
from tests.support.calls import AUDIO
from tests.support.metrics import samples_of
from tests.support.openai_server import Answer, endpoint
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

ANSWERS = ("For which day would you like it?", (Tool("book", people=4), "It is booked."), "Goodbye then.")


class GivenOut:
    """What the scripted providers were given and have given."""

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = self.characters = 0
        self.seconds = 0.0


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> GivenOut:
    out = GivenOut()
    count_audio = STTService._record_stt_audio_usage

    async def tokens(self: FrameProcessor, used: LLMTokenUsage) -> None:
        out.input_tokens += used.prompt_tokens
        out.output_tokens += used.completion_tokens
        await llm(self, used)

    async def characters(self: FrameProcessor, text: str) -> None:
        out.characters += len(text)
        await tts(self, text)

    def audio(self: STTService, pcm: bytes) -> None:
        out.seconds += len(pcm) / (self.sample_rate * 2)
        count_audio(self, pcm)

    llm, tts = FrameProcessor.start_llm_usage_metrics, FrameProcessor.start_tts_usage_metrics
    monkeypatch.setattr(FrameProcessor, "start_llm_usage_metrics", tokens)
    monkeypatch.setattr(FrameProcessor, "start_tts_usage_metrics", characters)
    monkeypatch.setattr(STTService, "_record_stt_audio_usage", audio)
    return out


@pytest.fixture
def counted() -> Iterator[MetricRegistry]:
    registry = MetricRegistry(AGENT_FAMILIES, process=False)
    COUNTS.sink = registry
    yield registry
    COUNTS.sink = None


async def bot(call: Call) -> None:
    async def book(params: Any, people: int) -> None:
        """Book a table."""
        await params.result_callback({"booked": people})

    agent = VoiceAgent(
        instructions="Be brief.", greeting="Good day. How can I help?", call=call, tools=[book]
    )
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
    call.on("bot_turn", lambda turn: call.hangup() if "Goodbye" in turn.text else None)
    await agent.start()


def simulated(callback: Any = bot) -> SimulatedCall:
    caller = Caller()
    for name, text in (
        ("01-people", "A table for four."),
        ("02-friday", "On Friday."),
        ("01-people", "Bye."),
    ):
        file = next(iter(sorted((AUDIO / "booking").glob(f"{name[:2]}*.wav"))))
        caller = caller.say(file, text=text).pause(4)
    providers = Providers(stt=Transcripts(), llm=Replies(*ANSWERS), tts=Voice())
    call = simulate(callback, caller.pause(10).hangup(), providers=providers)
    call.assert_ended("agent_hangup")
    return call


def told(call: SimulatedCall) -> list[dict[str, Any]]:
    return [dict(event.data) for event in call.events if event.kind == "usage"]


def test_sums_in_metrics_records_and_webhooks_are_what_providers_gave_out(
    given: GivenOut, counted: MetricRegistry, tmp_path: Path
) -> None:
    call = simulated()
    assert min(given.input_tokens, given.output_tokens, given.characters, given.seconds) > 0

    # the agent's own metrics
    mine: dict[str, float] = {}
    for (name, labels), value in samples_of(counted.render().decode()).items():
        kind = dict(labels).get("gen_ai_token_type", "")
        mine[f"{name} {kind}".strip()] = mine.get(f"{name} {kind}".strip(), 0.0) + value
    assert mine["gen_ai_client_token_usage_sum input"] == given.input_tokens
    assert mine["gen_ai_client_token_usage_sum output"] == given.output_tokens
    assert mine["piopiy_agent_tts_characters_total"] == given.characters
    assert mine["piopiy_agent_stt_audio_seconds_total"] == pytest.approx(given.seconds, abs=1e-6)

    # what a gateway makes of the events
    config = GatewayConfig(data_folder=tmp_path)
    queue, store = WriteQueue(), Store(config, "one:7860")
    registry = MetricRegistry(GATEWAY_FAMILIES, process=False)
    metrics, webhooks = CallMetrics(registry, LineCounts(registry)), WebhookMessages(["call.ended"])
    made = CallEvents()
    bus: list[BusEvent] = [
        made.placed(),
        made.answered(101.0),
        *(made.event("usage", 2.0, **data) for data in told(call)),
    ]
    bus.append(made.ended(160.0))
    messages = []
    for event in bus:
        queue.add(event)
        metrics.on_event(event)
        messages += webhooks.messages_for(event)
    store.write(queue.take())
    detail = store.detail("call-1")
    store.close()
    assert detail is not None
    assert detail.usage.input_tokens == given.input_tokens
    assert detail.usage.output_tokens == given.output_tokens
    assert detail.usage.tts_characters == given.characters
    assert detail.usage.stt_seconds == pytest.approx(given.seconds, abs=1e-6)
    [message] = messages
    assert CallUsage.model_validate(json.loads(message.body)["data"]["usage"]) == detail.usage
    theirs = samples_of(registry.render().decode())

    def of(name: str, **labels: str) -> float:
        return theirs["piopiy_gateway_" + name, tuple(sorted({"agent_id": "front-desk", **labels}.items()))]

    assert of("tokens_total", type="input") == given.input_tokens
    assert of("tokens_total", type="output") == given.output_tokens
    assert of("tts_characters_total") == given.characters
    assert of("stt_audio_seconds_total") == pytest.approx(given.seconds, abs=1e-6)


def test_a_webhook_without_room_for_events_still_has_the_whole_sum() -> None:
    made, webhooks = CallEvents(), WebhookMessages(["call.ended"])
    events: list[BusEvent] = [made.placed(), made.answered(101.0)]
    events += [
        made.event("user_turn", 2.0, text="x" * 50_000) for _ in range(CONVERSATION_LIMIT // 50_000 + 1)
    ]
    events += [made.event("usage", 3.0, service="llm", input_tokens=7, output_tokens=2) for _ in range(3)]
    [message] = [one for event in (*events, made.ended(120.0)) for one in webhooks.messages_for(event)]
    data = json.loads(message.body)["data"]
    assert data["events_left_out"] > 0
    assert (data["usage"]["input_tokens"], data["usage"]["output_tokens"]) == (21, 6)


def test_measuring_puts_no_frames_into_a_pipeline_that_did_not_ask_for_them() -> None:
    seen: list[str] = []

    def watching(*, asked: bool) -> Any:
        async def watched(call: Call) -> None:
            agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call)
            await agent.Action(
                stt=ScriptedSTT([]),
                llm=ScriptedLLM([]),
                tts=ToneTTS(),
                enable_metrics=asked,
                enable_usage_metrics=asked,
            )
            end = agent.pipeline["assistant_context"]
            end.add_event_handler(
                "on_before_process_frame", lambda _, frame: seen.append(type(frame).__name__)
            )
            call.on("bot_turn", lambda turn: call.hangup() if "Goodbye" in turn.text else None)
            await agent.start()

        return watched

    call = simulated(watching(asked=False))
    assert told(call), "it is measured all the same"
    assert "MetricsFrame" not in seen
    assert "AggregatedTextFrame" in seen
    simulated(watching(asked=True))
    assert "MetricsFrame" in seen


def test_a_call_reports_a_few_events_of_what_was_used_and_not_one_for_each_sentence() -> None:
    call = simulated()
    assert len(told(call)) <= 3 * (len(ANSWERS) + 2)
    for data in told(call):
        assert data["service"] in ("stt", "llm", "tts")
        assert data["provider"]


def test_what_openais_client_returns_beside_the_conversation_says_what_it_took() -> None:
    async def ask() -> tuple[str | None, LLMTokenUsage | None]:
        async with endpoint(Answer("fine", "They talked.")) as served:
            model = OpenAILLMService(
                api_key="k", base_url=served.url, settings=OpenAILLMService.Settings(model="m")
            )
            context = LLMContext([{"role": "user", "content": "Sum it up."}])
            first = await ask_beside(model, context, max_tokens=9)
            assert first == await ask_beside(model, context, max_tokens=9)
            assert served.asked[-1]["max_completion_tokens"] == 9
            await close_clients([model])
            return first

    text, used = asyncio.run(ask())
    assert text == "They talked."
    assert used is not None
    assert (used.prompt_tokens, used.completion_tokens) == (40, 2)


class Writer(ScriptedLLM):
    """Asks its client for summaries, as services of a provider do."""

    def __init__(self, written: list[str]) -> None:
        super().__init__(["So many words. " * 40] * 9)

        async def create(**_: Any) -> Any:
            written.append("They talked.")
            used = SimpleNamespace(input_tokens=70_000, output_tokens=3)
            return SimpleNamespace(text=written[-1], usage=used)

        self._client = SimpleNamespace(responses=SimpleNamespace(create=create))

    async def run_inference(self, context: LLMContext, *_: Any, **__: Any) -> str | None:
        return str((await self._client.responses.create()).text)


@pytest.mark.parametrize("of_another", [False, True])
def test_a_summary_is_counted_with_its_model(of_another: bool) -> None:
    written: list[str] = []
    how = Summaries(after_tokens=100, keep_messages=2, model=Writer(written) if of_another else None)

    async def summing(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call, summarise_after=how)
        await agent.Action(stt=ScriptedSTT([]), llm=Writer(written), tts=ToneTTS())
        await agent.start()

    call = simulate(summing, Caller().say("One").say("Two").say("Three").pause(20), by="text")
    given = sum(each["input_tokens"] for each in told(call) if each["service"] == "llm")
    assert written
    assert given // 70_000 == len(written)
