"""A yes or a no that is said before the caller knows what is asked. Whole calls in virtual time."""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect import confirm
from piopiy_pipeline.collect.collection import Doing
from piopiy_pipeline.testing import AgentLoss, CallerLine, SimulatedCall
from tests.collect.test_collection import collection
from tests.support.collected_kinds import KINDS
from tests.support.collecting import VOICE, Form, collected_in

QUESTION = "Shall I transfer one thousand euros to the account of John Smith?"
MODES = pytest.mark.parametrize("interruption", ["default", "immediate", "never"])


async def transfer(call: object) -> object:
    return (await confirm(call, QUESTION)).value  # type: ignore[arg-type]


def early(
    form: Form, after: float, *answers: str, interruption: str = "default", **options: object
) -> tuple[list[object], SimulatedCall]:
    """Have a caller say the first answer so long after the question began, and each other one when they are asked."""

    async def caller(line: CallerLine) -> None:
        for text in answers[:1]:
            await line.speech(after=after)
            await line.say(VOICE, text=text)
        for text in answers[1:]:
            await line.my_turn()
            await line.say(VOICE, text=text)
        await line.pause(3)

    action = {} if interruption == "default" else {"interruption": interruption}
    return collected_in(form, caller, action=action, **options)  # type: ignore[arg-type]


@MODES
@pytest.mark.parametrize("answer", ["yes", "no"])
def test_who_has_not_heard_the_question_has_not_answered_it(interruption: str, answer: str) -> None:
    outcomes, call = early(
        transfer, 0.3, answer, "no" if answer == "yes" else "yes", interruption=interruption
    )
    assert outcomes == [answer == "no"]
    assert call.said.count(QUESTION) >= 1
    assert "sorry" not in call.said


@MODES
def test_an_answer_over_the_last_word_is_one(interruption: str) -> None:
    outcomes, call = early(transfer, 3.0, "yes", interruption=interruption)
    assert outcomes == [True]
    assert call.said.count("Shall I transfer") == 1


def test_a_yes_to_a_value_that_is_not_said_yet_is_none_and_one_behind_it_is() -> None:
    async def code(call: object) -> object:
        return (await KINDS["digits"].form(call)).value  # type: ignore[arg-type]

    for after, expected in ((0.2, ["hangup"]), (1.8, ["4157"])):

        async def caller(line: CallerLine, after: float = after) -> None:
            await line.my_turn()
            await line.say(VOICE, text="four one five seven")
            await line.speech(after=after)
            await line.say(VOICE, text="yes")
            await line.pause(1)

        outcomes, _ = collected_in(code, caller, action={"interruption": "never"})
        assert [getattr(one, "why", one) for one in outcomes] == expected, after


def test_an_agent_that_is_lost_behind_an_early_yes_asks_the_question() -> None:
    outcomes, _ = early(transfer, 0.3, "yes", "no", losses=[AgentLoss("user_turn", 0.05)])
    assert outcomes[-1] is False


def test_a_question_that_was_heard_before_needs_no_second_hearing() -> None:
    code = collection("confirm", read_back=False)
    asks = code.begin()
    assert code.hear("yes", "The") == asks, "the first word is no question"
    code.was_heard()
    code.silence()
    assert code.hear("yes", "I did").doing is Doing.FINISH


def test_the_retry_is_not_the_question_where_that_was_not_heard() -> None:
    code = collection("confirm", read_back=False, retry="Yes or no?")
    code.begin()
    assert code.hear("blue", "").text.endswith("The code?")
    code.was_heard()
    assert code.hear("blue").text.endswith("Yes or no?")
