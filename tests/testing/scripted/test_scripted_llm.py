"""The scripted LLM as a stage: its words, their pace, and what a fault leaves of them."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import (
    FunctionCallInProgressFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    LLMUpdateSettingsFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import LLMSettings

from piopiy_pipeline.testing.scripted.faults import Disconnects, Stalls
from piopiy_pipeline.testing.scripted.reply_script import Tool
from piopiy_pipeline.testing.scripted.scripted_llm import Replies, ScriptedLLM
from piopiy_pipeline.testing.stage.run_stage import At, Wait, run_stage
from tests.support.services import ScriptedLLM as PlainLLM


def question(text: str = "Hello?") -> LLMContextFrame:
    return LLMContextFrame(LLMContext([{"role": "user", "content": text}]))


def test_the_reply_comes_word_by_word_between_a_start_and_an_end() -> None:
    run = run_stage(ScriptedLLM(Replies("Good day to you.")), [question()])
    run.assert_order(LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)
    assert [frame.text for frame in run.of(LLMTextFrame)] == ["Good ", "day ", "to ", "you."]


def test_words_come_at_their_pace_behind_the_latency() -> None:
    run = run_stage(
        ScriptedLLM(Replies("Good day to you.", latency=0.4, words_per_s=10)), [question()], end_s=20
    )
    first, *_, last = run.of(LLMTextFrame)
    assert run.at(first) == pytest.approx(0.4)
    assert run.at(last) == pytest.approx(0.7)


def test_an_interruption_cuts_the_words_off() -> None:
    script = Replies("one two three four five six", words_per_s=1)
    run = run_stage(ScriptedLLM(script), [question(), At(2.5, InterruptionFrame()), Wait(3)])
    assert [frame.text for frame in run.of(LLMTextFrame)] == ["one ", "two ", "three "]


def test_a_connection_that_breaks_off_leaves_half_the_words_and_an_error() -> None:
    script = Replies("one two three four", faults={1: Disconnects(after=0.5)})
    run = run_stage(ScriptedLLM(script), [question()])
    assert [frame.text for frame in run.of(LLMTextFrame)] == ["one ", "two "]
    assert "closed in the middle" in run.errors[0].error
    run.assert_order(LLMFullResponseEndFrame)


def test_a_stall_ends_with_an_interruption_and_not_before() -> None:
    script = Replies("one two three four", faults={1: Stalls(after=0.5)})
    run = run_stage(ScriptedLLM(script), [question(), At(30, InterruptionFrame())])
    assert run.errors == []
    assert run.at(LLMFullResponseEndFrame) == pytest.approx(30, abs=0.1)


def test_a_tool_of_the_service_that_it_stands_for_is_called_with_the_arguments() -> None:
    called: list[Any] = []

    async def book(params: FunctionCallParams) -> None:
        called.append(dict(params.arguments))
        await params.result_callback("done")

    original = PlainLLM([])
    original.register_function("book", book)
    run = run_stage(ScriptedLLM(Replies(Tool("book", people=4)), original=original), [question(), Wait(1)])
    assert called == [{"people": 4}]
    run.assert_order(FunctionCallInProgressFrame)


def test_settings_meant_for_the_service_that_it_stands_for_reach_it() -> None:
    original = PlainLLM([])
    stand_in = ScriptedLLM(Replies("Yes."), original=original)
    update = LLMUpdateSettingsFrame(delta=LLMSettings(temperature=0.7), service=original)
    run_stage(stand_in, [update]).assert_no_errors()
    assert stand_in.settings.given_fields()["temperature"] == 0.7


def test_what_is_no_script_is_named() -> None:
    with pytest.raises(ValueError, match="words_per_s"):
        Replies("Yes.", words_per_s=0)
    with pytest.raises(TypeError, match="a reply is text"):
        Replies(None)  # type: ignore[arg-type]  # the mistake that is tested
