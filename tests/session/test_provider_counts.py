"""What an agent counts of providers that fail: errors, hangs and failovers, each by its provider. In virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, Replies, SimulatedCall, Transcripts, Voice, simulate
from piopiy_pipeline.testing.scripted.faults import Fault, Refused, Stalls
from piopiy_pipeline.testing.scripted.scripted_llm import ScriptedLLM as Model
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT as Ears
from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS as Mouth
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.calls import AUDIO
from tests.support.metrics import value_of

ANSWER = "For which day would you like it?"


class CheapLLMService(Model):
    """The first model."""


class GoodLLMService(Model):
    """The one that stands by."""


class FirstTTSService(Mouth):
    """The first voice."""


class SecondTTSService(Mouth):
    """The one that stands by."""


@pytest.fixture
def counted() -> Iterator[MetricRegistry]:
    registry = MetricRegistry(AGENT_FAMILIES, process=False)
    COUNTS.sink = registry
    yield registry
    COUNTS.sink = None


def called(
    *, llm: dict[int, Fault] | None = None, tts: dict[int, Fault] | None = None, alone: bool = False
) -> SimulatedCall:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        cheap = CheapLLMService(Replies(otherwise=ANSWER, faults=llm or {}))
        models = [cheap, GoodLLMService(Replies(otherwise=ANSWER))]
        voices = [FirstTTSService(Voice(faults=tts or {})), SecondTTSService(Voice())]
        ears = Ears(Transcripts(texts=["A table for four."] * 9))
        await agent.Action(stt=ears, llm=cheap if alone else models, tts=voices, eager=False)
        await agent.start()

    caller = Caller().say(AUDIO / "booking/01-people.wav", text="A table for four.").pause(12).hangup()
    return simulate(bot, caller)


def test_a_model_that_fails_and_the_one_that_takes_its_place_are_counted(counted: MetricRegistry) -> None:
    call = called(llm={1: Refused(500)})
    assert ANSWER in call.said, call.timeline()
    labels = {"service": "llm", "provider": "cheap"}
    assert value_of(counted, "piopiy_agent_provider_errors_total", **labels) == 1
    assert value_of(counted, "piopiy_agent_provider_failovers_total", **labels) == 1
    other = {"service": "llm", "provider": "good"}
    assert value_of(counted, "piopiy_agent_provider_failovers_total", **other) == 0
    assert value_of(counted, "piopiy_agent_provider_first_result_seconds_count", **other) >= 1


def test_a_voice_that_fails_is_counted_apart_from_models(counted: MetricRegistry) -> None:
    call = called(tts={0: Refused(500), 1: Refused(500)})
    labels = {"service": "tts", "provider": "first"}
    assert value_of(counted, "piopiy_agent_provider_errors_total", **labels) >= 1, call.timeline()
    assert value_of(counted, "piopiy_agent_provider_failovers_total", **labels) == 1


def test_a_model_that_hangs_without_an_error_is_counted_as_failing(counted: MetricRegistry) -> None:
    call = called(llm={1: Stalls()}, alone=True)
    labels = {"service": "llm", "provider": "cheap"}
    assert value_of(counted, "piopiy_agent_provider_errors_total", **labels) == 1, call.timeline()


def test_a_call_without_failures_has_counters_at_zero(counted: MetricRegistry) -> None:
    called()
    text = counted.render().decode()
    assert 'piopiy_agent_provider_errors_total{provider="cheap",service="llm"} 0.0' in text
    assert value_of(text, "piopiy_agent_provider_errors_total", service="stt", provider="scripted") == 0


def test_a_transcript_that_comes_before_the_speech_is_over_is_no_warning(counted: MetricRegistry) -> None:
    with logged() as lines:
        called()
    assert [text for _, text in lines if text.startswith("WARNING")] == []
