"""Values that are collected in whole calls, in virtual time: each kind right, wrong, corrected, cut off, and lost."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.collect import NotCollected, NoValueReason, collect_digits
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Caller, CallerLine
from tests.support.collected_kinds import EACH, KINDS, Kind
from tests.support.collecting import VOICE, collected_in, say, value_of

pytestmark = pytest.mark.usefixtures("either_bot")


# ---------------------------------------------------------------------- by voice


@EACH
def test_a_right_answer_is_the_value(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, say(*kind.right))
    assert value_of(outcomes) == kind.value
    assert outcomes[0].how == "speech"
    assert outcomes[0].attempts == 0
    assert [event.data["outcome"] for event in call.of("collection")] == ["begun", "collected"]


@EACH
def test_a_wrong_answer_is_asked_for_again(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, say(kind.wrong, *kind.right))
    assert value_of(outcomes) == kind.value
    assert call.said.count(kind.prompt) >= 1 + (kind.wrong != "anna dot smith at gmail dot")


@EACH
def test_a_correction_counts(kind: Kind) -> None:
    outcomes, _ = collected_in(kind.form, say(*kind.corrected))
    assert value_of(outcomes) == kind.value


@EACH
def test_a_prompt_may_be_cut_off_and_repeated_and_nothing_said(kind: Kind) -> None:
    async def caller(line: CallerLine) -> None:
        await line.speech(after=0.3)
        await line.say(VOICE, text="what was that?")  # over the prompt
        await line.my_turn()
        await line.pause(10)  # and then nothing
        await line.my_turn()
        for text in kind.right:
            await line.my_turn()
            await line.say(VOICE, text=text)
        await line.my_turn()
        await line.pause(3)

    outcomes, call = collected_in(kind.form, caller)
    assert value_of(outcomes) == kind.value
    call.assert_said("I did not hear anything")
    assert outcomes[0].attempts == 0


@EACH
def test_who_does_not_want_to_say_it_is_left_alone(kind: Kind) -> None:
    if kind is KINDS["confirm"]:
        return  # "never mind" is no clear yes, and no clear no
    outcomes, call = collected_in(kind.form, say("never mind"))
    assert outcomes[0].why is NoValueReason.REFUSED
    assert call.of("collection")[-1].data["outcome"] == "refused"


@EACH
def test_three_wrong_answers_are_enough(kind: Kind) -> None:
    wrong = "no no no" if kind is not KINDS["confirm"] else "blue"
    outcomes, _ = collected_in(kind.form, say(wrong, wrong, wrong, wrong))
    assert isinstance(outcomes[0], NotCollected)
    assert outcomes[0].why is NoValueReason.ATTEMPTS


@EACH
def test_who_says_nothing_is_asked_three_times(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, Caller().pause(60))
    assert outcomes[0].why is NoValueReason.SILENCE
    assert call.said.count(kind.prompt) == 4


@EACH
def test_a_hang_up_ends_it(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, Caller().until(kind.prompt).hangup())
    call.assert_ended("caller_hangup")
    assert not outcomes or outcomes[0].why is NoValueReason.HANGUP


@EACH
def test_another_question_goes_to_the_model_and_then_it_goes_on(kind: Kind) -> None:
    asked: list[Any] = []

    def model(context: LLMContext) -> str:
        asked.append(context.get_messages()[-1])
        return "We are open from nine to five."

    outcomes, call = collected_in(kind.form, say("When are you open?", *kind.right), otherwise=model)
    assert value_of(outcomes) == kind.value
    call.assert_said("from nine to five")
    assert len(asked) == 1  # and about nothing else
    assert call.said.count(kind.prompt) == 2


@EACH
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lost_agent_goes_on_in_the_same_step(kind: Kind, number: int) -> None:
    async def form(call: Call) -> tuple[Any, Any]:
        first = await collect_digits(call, prompt="What is your PIN?", length=4)
        return first.value, (await kind.form(call)).value

    turns = 1 + len(kind.right)
    outcomes, call = collected_in(
        form,
        say("one two three four", *kind.right),
        losses=[AgentLoss("user_turn", 0.05, number=min(number, turns))],
    )
    assert outcomes[-1] == ("1234", kind.value)
    assert call.of("agent_lost")
    assert call.said.count("What is your PIN") == 1  # what was there is not asked for again


@EACH
def test_an_agent_that_is_lost_while_it_speaks_asks_again(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, say(*kind.right), losses=[AgentLoss("bot_audio", 0.4)])
    assert value_of(outcomes) == kind.value
    assert call.of("agent_lost")


# ---------------------------------------------------------------------- in a text chat


@EACH
def test_a_value_is_typed_in_a_text_chat(kind: Kind) -> None:
    outcomes, call = collected_in(kind.form, say(*kind.corrected), by="text")
    assert value_of(outcomes) == kind.value
    assert outcomes[0].how == "text"
    if kind is KINDS["email"]:
        call.assert_said("I have anna.smith@gmail.com. Is that right?")
