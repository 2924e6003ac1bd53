"""Answers that are begun ahead, in whole calls: sooner, said once, and dropped without a trace. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipecat.frames.frames import Frame, LLMContextFrame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    CallerLine,
    Refused,
    Replies,
    ScriptedLLM,
    SimulatedCall,
    Tool,
    Transcripts,
    simulate,
)
from piopiy_pipeline.testing.scripted.reply_script import Reply
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.turns.eager_budget import EagerBudget, EagerLimits
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ToneTTS
from tests.support.virtual import PEOPLE, YES, info, texts

ANSWER = "A table for four. On which day should that be?"


class CountingLLM(ScriptedLLM):
    """Keeps what it was asked."""

    def __init__(self, script: Replies) -> None:
        super().__init__(script)
        self.asked: list[list[Any]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame):
            self.asked.append(list(frame.context.get_messages()))
        await super().process_frame(frame, direction)


@dataclass
class Seen:
    """What a call has shown."""

    call: SimulatedCall
    asked: list[list[Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    context: list[Any] = field(default_factory=list)
    budget: EagerBudget = field(default_factory=EagerBudget)

    def messages(self, role: str) -> list[str]:
        return [m["content"] for m in self.context if m["role"] == role and m.get("content")]

    @property
    def waits_s(self) -> list[float]:
        """How long the caller waited for each answer."""
        return [turn.voice_to_voice for turn in self.call.turns if turn.voice_to_voice is not None]


def in_parts(*parts: Path, pause_s: float = 0.4, after_s: float = 8) -> Callable[[CallerLine], Any]:
    """Return a caller who says these one after the other, whatever the bot does."""

    async def caller(line: CallerLine) -> None:
        await line.pause(0.5)
        for number, part in enumerate(parts):
            if number:
                await line.pause(pause_s)
            await line.say(part)
        await line.pause(after_s)

    return caller


def call_with(
    caller: Callable[[CallerLine], Any],
    *hears: str,
    replies: tuple[Reply, ...] = (ANSWER,),
    latency: float = 0.7,
    words_per_s: float | None = None,
    stt: Transcripts | None = None,
    eager: bool | EagerLimits = True,
    tools: tuple[Any, ...] = (),
    faults: dict[int, Any] | None = None,
    says: str = "",
    says_at: float = 0.0,
    **options: Any,
) -> Seen:
    script = Replies(
        *replies, otherwise="Anything else?", latency=latency, words_per_s=words_per_s, faults=faults
    )
    llm = CountingLLM(script)
    tts = ToneTTS()
    seen: list[Seen] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, tools=list(tools), idle=False)
        heard = ScriptedSTT(stt or Transcripts(texts=hears))
        await agent.Action(stt=heard, llm=llm, tts=tts, eager=eager, **options)
        if says:

            async def say(_: object) -> None:
                await asyncio.sleep(says_at)
                await agent.say(says)

            agent.on("answered", say)
        await agent.start()
        assert agent.context is not None
        assert agent.pipeline.eager is not None
        budget = agent.pipeline.eager.budget
        seen.append(Seen(None, llm.asked, tts.said, agent.context.get_messages(), budget))  # type: ignore[arg-type]

    call = simulate(bot, caller, info=info())
    seen[0].call = call
    return seen[0]


def test_an_answer_ahead_is_heard_sooner_and_is_said_once() -> None:
    caller = in_parts(PEOPLE)
    ahead, after = (call_with(caller, "four people", eager=eager) for eager in (True, False))
    assert len(ahead.asked) == len(after.asked) == 1
    assert ahead.context == after.context
    assert ahead.messages("user") == ["four people"]
    assert ahead.messages("assistant") == [ANSWER]
    assert texts(ahead.call, "bot") == [ANSWER]
    assert (ahead.budget.used, after.budget.used) == (1, 0)
    assert 0.3 < after.waits_s[0] - ahead.waits_s[0] < 0.7


def test_an_answer_to_half_a_sentence_is_dropped_when_the_caller_goes_on() -> None:
    seen = call_with(in_parts(PEOPLE, YES, pause_s=0.1), "four people", "on Friday", latency=0.1)
    assert len(seen.asked) == 2
    assert (seen.budget.begun, seen.budget.used, seen.budget.wasted) == (2, 1, 1)
    assert seen.messages("user") == ["four people on Friday"]
    assert seen.messages("assistant") == texts(seen.call, "bot") == [ANSWER]


def test_both_halves_are_one_turn_when_the_bot_has_begun_to_speak() -> None:
    seen = call_with(in_parts(PEOPLE, YES, pause_s=0.4), "four people", "on Friday", latency=0.1)
    assert seen.messages("user") == ["four people on Friday"]
    assert seen.asked[-1][-1]["content"] == "four people on Friday"
    assert seen.messages("assistant") == texts(seen.call, "bot") == ["A", ANSWER]


def test_both_halves_are_one_turn_when_the_model_has_not_answered_yet() -> None:
    seen = call_with(in_parts(PEOPLE, YES, pause_s=0.6), "four people", "on Friday", latency=2.0)
    assert seen.messages("user") == ["four people on Friday"]
    assert seen.messages("assistant") == texts(seen.call, "bot") == [ANSWER]


def test_a_second_turn_stays_one_of_its_own() -> None:
    seen = call_with(in_parts(PEOPLE, YES, pause_s=2.5), "four people", "on Friday", latency=0.1)
    assert seen.messages("user") == ["four people", "on Friday"]


def test_only_the_first_sentence_is_made_ahead() -> None:
    seen = call_with(in_parts(PEOPLE, YES, pause_s=0.1), "four people", "on Friday", latency=0.02)
    assert seen.said == ["A table for four.", "A table for four.", "On which day should that be?"]


def test_a_tool_waits_until_the_turn_is_over_and_runs_once() -> None:
    used: list[Any] = []

    async def book(params: Any, people: int) -> str:
        """Book a table.

        Args:
            people: How many.
        """
        used.append(params.context.get_messages()[-1]["content"])
        return "booked"

    seen = call_with(
        in_parts(PEOPLE, YES, pause_s=0.1),
        "four people",
        "on Friday",
        replies=((Tool("book", people=4), "It is booked."),),
        latency=0.05,
        tools=(book,),
    )
    assert len(used) == 1
    assert texts(seen.call, "bot") == ["It is booked."]
    assert len(seen.call.of("tool")) == 1
    assert seen.messages("user") == ["four people on Friday"]
    assert seen.messages("tool") == ['"booked"']


def test_the_budget_bounds_what_is_wasted() -> None:
    seen = call_with(in_parts(*4 * (YES,), pause_s=0.1), "one", "two", "three", "four", latency=0.1)
    assert len(seen.asked) == 3  # two for nothing, and the one at the end
    assert seen.messages("user") == ["one two three four"]
    assert (seen.budget.begun, seen.budget.wasted) == (2, 2)


def test_an_answer_to_other_words_than_the_final_ones_is_dropped() -> None:
    stt = Transcripts(texts=("four people", "on Friday"), latency=0.3)
    seen = call_with(in_parts(PEOPLE, YES, pause_s=0.1), stt=stt, latency=0.1)
    assert seen.messages("user") == ["four people on Friday"]
    assert seen.messages("assistant") == [ANSWER]


def test_an_error_of_a_model_ahead_is_heard_of_by_nobody() -> None:
    faults = {1: Refused(500, times=1)}
    seen = call_with(in_parts(PEOPLE), "four people", latency=0.1, faults=faults)
    assert len(seen.asked) == 2
    assert texts(seen.call, "bot") == [ANSWER]
    assert not seen.call.of("error")


def test_an_answer_ahead_gives_way_to_what_the_author_says() -> None:
    seen = call_with(in_parts(PEOPLE), "four people", latency=0.1, says="Just a second.", says_at=3.7)
    assert sorted(texts(seen.call, "bot")) == sorted(["Just a second.", ANSWER])
    assert seen.messages("user") == ["four people"]
    assert seen.said.count("On which day should that be?") == 1
