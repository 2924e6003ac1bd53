"""Answers ahead by several models, and the models and pipelines that have none.

In virtual time, but for one HTTP client. The default is what is tested: `eager=` is given by few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pipecat.frames.frames import Frame, LLMContextFrame, LLMServiceMetadataFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from piopiy_pipeline.services.failover.circuit_breaker import CircuitBreaker
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.testing import CallerLine, Refused, Replies, SimulatedCall, Tool, Transcripts, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.turns.eager_budget import EagerBudget
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_watching import Watcher
from tests.support.calls import house
from tests.support.openai_server import Answer, endpoint
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, YES, info, texts
from tests.turns.test_eager_turns import CountingLLM, in_parts

FIRST = "The first one says: a table for four. On which day?"
SECOND = "The second one says: a table for four. On which day?"


class OtherLLM(CountingLLM):
    """Another class, and so another provider with a breaker of its own."""


class Bot:
    """A bot with these models, and what it has seen when the call is over."""

    def __init__(
        self,
        *models: Any,
        hears: tuple[str, ...] = ("four people", "on Friday"),
        stt: ScriptedSTT | None = None,
        stage: tuple[str, FrameProcessor] | None = None,
        tools: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        self.models = models
        self.stt = stt or ScriptedSTT(Transcripts(texts=hears))
        self.stage = stage
        self.tools = tools
        self.options = options
        self.errors: list[CallError] = []
        self.live: LLMContext | None = None
        self.context: list[Any] = []
        self.budget = EagerBudget()
        self.breakers: list[CircuitBreaker] = []

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, tools=list(self.tools), idle=False)
        agent.on("error", self.errors.append)
        llm = list(self.models) if len(self.models) > 1 else self.models[0]
        pipeline = await agent.Action(stt=self.stt, llm=llm, tts=ToneTTS(), **self.options)
        if self.stage is not None:
            name, stage = self.stage
            pipeline.insert(name, stage, before="llm", wants_audio=False)
        if len(self.models) > 1:
            switch: Any = pipeline["llm"]
            self.breakers = [switch._breaker(model) for model in self.models]
        self.live = agent.context
        await agent.start()
        assert agent.context is not None
        assert pipeline.eager is not None
        self.context = agent.context.get_messages()
        self.budget = pipeline.eager.budget

    def said(self) -> list[str]:
        return [m["content"] for m in self.context if m["role"] == "assistant" and m.get("content")]


def called(bot: Bot, caller: Callable[[CallerLine], Any] | None = None) -> SimulatedCall:
    return simulate(bot, caller or in_parts(PEOPLE), info=info())


def failures(breaker: CircuitBreaker) -> int:
    return len(breaker._failed_at)


def model(
    says: str, *, kind: type[CountingLLM] = CountingLLM, latency: float = 0.1, **script: Any
) -> CountingLLM:
    return kind(Replies(says, otherwise="Anything else?", latency=latency, **script))


def test_by_default_answers_are_begun_ahead() -> None:
    bot = Bot(model(FIRST))
    watcher = Watcher(bot)
    simulate(watcher, in_parts(PEOPLE), info=info())
    assert (bot.budget.begun, bot.budget.used) == (1, 1)
    (latency,) = watcher.of("latency")
    assert latency["eager"]
    assert latency["eager_begun"] == 1
    assert latency["eager_saved_s"] == pytest.approx(0.1, abs=0.03), "the model's time"
    assert watcher.of("eager_dropped") == []


@pytest.mark.parametrize("turns", ["smart", 0.8])
def test_false_turns_it_off(turns: Any) -> None:
    bot = Bot(model(FIRST), eager=False, turns=turns)
    called(bot)
    assert bot.budget.begun == 0


def test_an_answer_that_is_dropped_is_on_the_record_with_its_reason() -> None:
    watcher = Watcher(Bot(model(FIRST)))
    simulate(watcher, in_parts(PEOPLE, YES, pause_s=0.1), info=info())
    assert watcher.of("eager_dropped") == [{"reason": "the caller goes on", "wasted": 1}]
    assert [answer["eager_begun"] for answer in watcher.of("latency")] == [2]


# ---------------------------------------------------------------------- several models


def test_the_next_model_answers_ahead_in_the_place_of_one_that_fails_and_it_counts_once() -> None:
    a = model(FIRST, faults={1: Refused(503, times=9)})
    b = model(SECOND, kind=OtherLLM)
    bot = Bot(a, b)
    call = called(bot)
    assert (len(a.asked), len(b.asked)) == (1, 1)
    assert bot.said() == texts(call, "bot") == [SECOND]
    assert (bot.budget.begun, bot.budget.used) == (1, 1)
    assert [failures(breaker) for breaker in bot.breakers] == [1, 0]
    messages = [str(error.data["message"]) for error in call.of("error")]
    assert sum("503" in message and "answers" not in message for message in messages) == 1, messages
    assert len(bot.errors) == len(messages)


def test_a_model_that_fails_for_an_answer_that_is_dropped_is_heard_of_by_nobody() -> None:
    a = model(FIRST, faults={1: Refused(503, times=1)})
    b = model(SECOND, kind=OtherLLM, latency=0.5)
    bot = Bot(a, b)
    call = called(bot, in_parts(PEOPLE, YES, pause_s=0.1))
    assert bot.budget.wasted == 1
    assert not call.of("error")
    assert not bot.errors
    assert [failures(breaker) for breaker in bot.breakers] == [0, 0], "it has answered since, in time"
    assert len(bot.said()) == 1


def test_an_answer_ahead_that_every_model_fails_at_is_asked_for_again_and_heard_of_by_nobody() -> None:
    a = model(FIRST, faults={1: Refused(503, times=1)})
    b = model(SECOND, kind=OtherLLM, faults={1: Refused(503, times=1)})
    bot = Bot(a, b)
    call = called(bot)
    assert bot.said() == texts(call, "bot") == [FIRST]
    assert (bot.budget.begun, bot.budget.wasted) == (1, 1)
    assert not call.of("error")
    assert [failures(breaker) for breaker in bot.breakers] == [0, 1]
    assert (len(a.asked), len(b.asked)) == (2, 1)


def test_a_model_whose_answer_the_caller_has_cut_short_has_not_failed() -> None:
    a, b = model(FIRST, latency=1.0), model(SECOND, kind=OtherLLM, latency=1.0)
    bot = Bot(a, b, llm_first_token_secs=0.05)
    called(bot, in_parts(PEOPLE, YES, pause_s=0.1))
    assert bot.budget.wasted == 1
    assert failures(bot.breakers[1]) == 0
    assert len(bot.said()) == 1


def test_two_models_that_are_asked_ahead_use_a_tool_once_and_when_the_turn_is_over() -> None:
    used: list[str] = []

    async def book(params: Any, who: str) -> str:
        """Book a table."""
        used.append(f"{who} {params.context.get_messages()[-1]['content']}")
        return "booked"

    models = [
        kind(Replies((Tool("book", who=kind.__name__), "It is booked."), otherwise="What else?", latency=0.3))
        for kind in (CountingLLM, OtherLLM)
    ]
    bot = Bot(*models, tools=(book,), llm_first_token_secs=0.1)
    call = called(bot)
    assert len(used) == 1
    assert used[0].endswith(" four people")
    assert len(call.of("tool")) == 1
    assert texts(call, "bot") == ["It is booked."]


# ---------------------------------------------------------------------- who is not asked ahead


class RealtimeLLM(CountingLLM):
    """A speech-to-speech service, as pipecat's say what they are."""

    def service_metadata_frame(self) -> LLMServiceMetadataFrame:
        return LLMServiceMetadataFrame(service_name=self.name, is_realtime_service=True)


class OwnTurnsLLM(CountingLLM):
    """A service that says when turns end."""

    def service_metadata_frame(self) -> LLMServiceMetadataFrame:
        strategies = ExternalUserTurnStrategies(enable_interruptions=False)
        return LLMServiceMetadataFrame(service_name=self.name, user_turn_strategies=strategies)


class LocalLLM(CountingLLM):
    """A model that answers at once."""

    runs_locally = True


@pytest.mark.parametrize("eager", [None, True])
@pytest.mark.parametrize("kind", [RealtimeLLM, OwnTurnsLLM, LocalLLM])
def test_such_a_model_is_never_asked_ahead(kind: type[CountingLLM], eager: bool | None) -> None:
    bot = Bot(model(FIRST, kind=kind), eager=eager)
    called(bot)
    assert bot.budget.begun == 0


class Notes(FrameProcessor):
    """An author's stage that keeps the questions that pass it."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame) and direction is FrameDirection.DOWNSTREAM:
            messages: list[Any] = frame.context.get_messages()
            self.questions.append(messages[-1]["content"])
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("eager", [None, True])
def test_a_stage_of_the_authors_sees_no_question_that_is_taken_back_unless_it_was_asked_for(
    eager: bool | None,
) -> None:
    notes = Notes()
    bot = Bot(model(FIRST), stage=("notes", notes), eager=eager)
    called(bot, in_parts(PEOPLE, YES, pause_s=0.1))
    taken_back = ["four people"] if eager else []
    assert notes.questions == [*taken_back, "four people on Friday"]


def test_an_answer_to_a_conversation_that_has_changed_is_dropped() -> None:
    bot = Bot(model(FIRST, latency=0.05))

    async def changes(line: CallerLine) -> None:
        await line.pause(0.5)
        await line.say(PEOPLE)
        await line.pause(0.05)
        assert bot.models[0].asked, "the answer is begun"
        assert bot.live is not None
        bot.live.set_messages([{"role": "system", "content": "Be polite."}, *bot.live.get_messages()[1:]])
        await line.pause(8)

    call = simulate(bot, changes, info=info())
    asked = bot.models[0].asked
    assert [messages[0]["content"] for messages in asked] == ["Be brief.", "Be polite."]
    assert bot.said() == texts(call, "bot") == [FIRST]


# ---------------------------------------------------------------------- a real client


@pytest.mark.realtime
def test_an_answer_that_is_dropped_closes_the_stream_of_a_real_client(tmp_path: Path) -> None:
    """pipecat's OpenAI service against an HTTP server, of which the first answer never ends: the call is real time."""
    parts = [soundfile.read(part, dtype="int16") for part in (PEOPLE, YES)]
    rate = parts[0][1]
    speech = np.concatenate([parts[0][0], np.zeros(rate // 10, np.int16), parts[1][0]])
    soundfile.write(tmp_path / "halves.wav", speech, rate)

    async def scenario() -> None:
        async with endpoint(Answer("stuck", "One moment"), Answer("fine", "A table for four.")) as server:
            bot = Bot(
                OpenAILLMService(
                    api_key="none", base_url=server.url, settings=OpenAILLMService.Settings(model="test")
                ),
                turns=1.5,
            )
            async with house(bot) as place:
                await place.call(str(tmp_path / "halves.wav"), limit_s=30.0)
            assert [asked["messages"][-1]["content"] for asked in server.asked] == [
                "four people",
                "four people on Friday",
            ]
            assert server.given_up == [1], "the client has closed the one that was dropped"
            assert bot.said() == ["A table for four."]
            assert bot.budget.wasted == 1

    asyncio.run(scenario())
