"""Values that callers press, in part or whole. Whole calls in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.collect import NotCollected, collect_digits, confirm
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Caller, CallerLine
from tests.support.collected_kinds import KINDS
from tests.support.collecting import VOICE, Form, collected_in, says, value_of

pytestmark = pytest.mark.usefixtures("either_bot")


# ---------------------------------------------------------------------- by keys


@pytest.mark.parametrize(
    ("name", "keys"),
    [("digits", "4157#"), ("phone_number", "030123456#"), ("date", "04122026"), ("confirm", "1")],
)
def test_by_keys(name: str, keys: str) -> None:
    kind = KINDS[name]
    agrees = [] if name == "confirm" else ["#1"]
    caller = says(Caller().until(kind.prompt), f"#{keys}")
    caller = caller.until("Is that right") if agrees else caller
    outcomes, _ = collected_in(kind.form, says(caller.pause(1), *agrees).pause(4))
    assert value_of(outcomes) == kind.value
    assert outcomes[0].how == "keys"


@pytest.mark.parametrize("name", ["digits", "phone_number"])
def test_half_is_said_and_half_is_pressed(name: str) -> None:
    said, pressed = {"digits": ("four one", "57"), "phone_number": ("zero three zero one two", "3456#")}[name]
    caller = says(Caller(), said).until("so far|Is that right").pause(1)
    caller = says(caller, f"#{pressed}").until("Is that right").pause(1)
    outcomes, _ = collected_in(KINDS[name].form, says(caller, "yes"))
    assert value_of(outcomes) == KINDS[name].value
    assert outcomes[0].how == "both"


def test_wrong_keys_are_taken_back_with_a_star_or_denied_with_a_two() -> None:
    kind = KINDS["digits"]
    caller = Caller().until(kind.prompt).press("99*4156").until("Is that right").press("2").pause(3)
    caller = caller.until(kind.prompt).press("4157").until("Is that right").pause(2).press("#").pause(4)
    outcomes, _ = collected_in(kind.form, caller)
    assert value_of(outcomes) == "4157"
    assert outcomes[0].attempts == 1


def test_the_first_key_cuts_the_prompt_off() -> None:
    long = "Please tell me the code that we have sent to you, which has four digits, or press the keys."

    async def caller(line: CallerLine) -> None:
        await line.speech(after=0.5)
        await line.press("4157")
        await line.pause(6)

    outcomes, call = collected_in(lambda call: collect_digits(call, prompt=long, length=4), caller)
    assert value_of(outcomes) == "4157"
    assert "press the keys" not in call.said


def test_keys_that_are_turns_elsewhere_are_no_turns_here() -> None:
    caller = Caller().until("code").press("41").pause(5).press("57").pause(5)
    outcomes, call = collected_in(
        lambda call: collect_digits(call, prompt="What is your code?", length=4), caller, dtmf="text"
    )
    assert value_of(outcomes) == "4157"
    assert not call.of("user_turn")


@pytest.mark.parametrize(("pause_s", "turns"), [(0.5, 0), (1.5, 0), (2.8, 0), (4.0, 1)])
def test_the_hash_behind_a_whole_value_is_no_turn_where_keys_are_turns(pause_s: float, turns: int) -> None:
    caller = Caller().until("code").pause(0.5).press("4157").pause(pause_s).press("#").pause(4)
    outcomes, call = collected_in(
        lambda call: collect_digits(call, prompt="What is your code?", length=4), caller, dtmf="text"
    )
    assert value_of(outcomes) == "4157"
    assert len(call.of("user_turn")) == turns


# ---------------------------------------------------------------------- more keys than the value has


def two_codes(pause_s: float) -> Form:
    async def form(call: Call) -> tuple[str, str]:
        number = await collect_digits(call, prompt="Your customer number?", length=4)
        await asyncio.sleep(pause_s)
        pin = await collect_digits(call, prompt="And your PIN?", length=4)
        return number.value, pin.value

    return form


@pytest.mark.parametrize("keys", ["41579876", "4157#9876#"])
@pytest.mark.parametrize("pause_s", [0.0, 0.5])
@pytest.mark.parametrize("at_once", [False, True])
def test_keys_behind_a_whole_value_answer_the_next_question(keys: str, pause_s: float, at_once: bool) -> None:
    async def caller(line: CallerLine) -> None:
        await line.until("number")
        await line.pause(0.5)
        if at_once:  # as a client's application sends them
            vars(line)["_end"].press(keys)
        else:
            await line.press(keys)
        await line.pause(5)

    outcomes, call = collected_in(two_codes(pause_s), caller)
    assert outcomes == [("4157", "9876")]
    assert "PIN" not in call.said, "who has answered it need not hear it"
    assert "sorry" not in call.said


def test_keys_that_are_a_part_of_the_next_value_are_its_beginning() -> None:
    caller = Caller().until("number").pause(0.5).press("415798").until("PIN").pause(0.5).press("76").pause(5)
    outcomes, _ = collected_in(two_codes(0.5), caller)
    assert outcomes == [("4157", "9876")]


def test_keys_that_nobody_asks_for_within_a_second_are_forgotten() -> None:
    caller = (
        Caller().until("number").pause(0.5).press("41579876").until("PIN").pause(0.5).press("1234").pause(5)
    )
    outcomes, _ = collected_in(two_codes(3), caller)
    assert outcomes == [("4157", "1234")]


async def three_values(call: Call) -> tuple[str, str, str]:
    number = await collect_digits(call, prompt="Your customer number?", length=4)
    kind = await collect_digits(call, prompt="One for orders, two for bills?", length=1)
    await asyncio.sleep(0.5)
    pin = await collect_digits(call, prompt="And your PIN?", length=4)
    return number.value, kind.value, pin.value


def test_keys_behind_two_values_in_quick_succession_are_kept_once() -> None:
    caller = Caller().until("number").pause(0.5).press("415719876").pause(5)
    outcomes, call = collected_in(three_values, caller)
    assert outcomes == [("4157", "1", "9876")]
    assert "PIN" not in call.said


# ---------------------------------------------------------------------- keys that belong to what is over


async def code_and_transfer(call: Call) -> tuple[str, object]:
    code = await collect_digits(call, prompt="Your code?", length=4)
    try:
        return code.value, (await confirm(call, "Shall I transfer one thousand euros?")).value
    except NotCollected as error:
        return code.value, error.why


@pytest.mark.parametrize("pause_s", [0.0, 1.0])
@pytest.mark.parametrize("key", ["1", "2"])
def test_nobody_agrees_to_a_question_that_they_have_not_heard(key: str, pause_s: float) -> None:
    caller = Caller().until("code").pause(0.5).press("4157").pause(pause_s).press(key)
    outcomes, call = collected_in(
        code_and_transfer, caller.until("thousand euros").pause(2).press("1").pause(2)
    )
    assert outcomes == [("4157", True)]
    assert call.said.count("Shall I transfer one thousand euros?") == 1, "nothing is said of it"
    outcomes, _ = collected_in(code_and_transfer, caller.pause(4))
    assert outcomes == [("4157", "hangup")]


def test_a_question_that_was_cut_off_is_asked_again_when_a_key_is_pressed() -> None:
    async def caller(line: CallerLine) -> None:
        await line.until("one")
        await line.say(VOICE, text="well")
        await line.until("transfer one thousand euros")
        await line.pause(1)
        await line.press("1")
        await line.pause(3)

    outcomes, _ = collected_in(lambda call: confirm(call, "Shall I transfer one thousand euros?"), caller)
    assert value_of(outcomes) is True


@pytest.mark.parametrize("pause_s", [0.0, 0.3, 0.7])
def test_a_yes_that_is_pressed_twice_is_one_yes(pause_s: float) -> None:
    caller = Caller().until("code").press("4157").until("Is that right").pause(0.5)
    outcomes, _ = collected_in(KINDS["digits"].form, caller.press("1").pause(pause_s).press("1").pause(4))
    assert value_of(outcomes) == "4157"


def test_a_yes_that_is_pressed_twice_does_not_begin_the_next_value() -> None:
    async def form(call: Call) -> tuple[bool, str]:
        agreed = await confirm(call, "Shall I book it?")
        return agreed.value, (await collect_digits(call, prompt="Your code?", length=4)).value

    caller = Caller().until("book it").pause(1).press("1").pause(0.4).press("1").until("code").press("4157")
    outcomes, _ = collected_in(form, caller.pause(3))
    assert outcomes == [(True, "4157")]


@pytest.mark.parametrize(("pause_s", "apologies"), [(0.2, 0), (1.5, 0), (2.5, 0), (4.0, 1)])
def test_the_hash_behind_a_whole_value_is_no_answer(pause_s: float, apologies: int) -> None:
    caller = Caller().until("number").pause(0.5).press("4157").pause(pause_s).press("#").pause(4)
    outcomes, call = collected_in(two_codes(0), caller.press("9876").pause(3))
    assert outcomes == [("4157", "9876")]
    assert call.said.count("sorry") == apologies


@pytest.mark.parametrize(("pause_s", "apologies"), [(1.2, 0), (6.0, 1)])
def test_the_hash_is_no_answer_either_if_the_agent_was_lost_between_the_two(
    pause_s: float, apologies: int
) -> None:
    caller = Caller().until("number").pause(0.5).press("4157").pause(pause_s).press("#").pause(4)
    losses = [AgentLoss("collection", 0.1, number=2)]
    outcomes, call = collected_in(two_codes(0), caller.press("9876").pause(3), losses=losses)
    assert outcomes == [("4157", "9876")]
    assert call.said.count("sorry") == apologies
    assert len(call.of("agent_lost")) == 1


async def nothing_asked(_: Call) -> None: ...


@pytest.mark.parametrize(("pause_s", "turns"), [(1.2, 1), (6.0, 2)])
def test_nor_is_it_a_turn_if_it_comes_late_behind_keys_that_are_turns(pause_s: float, turns: int) -> None:
    caller = Caller().pause(0.5).press("4157").pause(2.6 + pause_s).press("#").pause(4)
    losses = [AgentLoss("user_turn", 0.1)]
    _, call = collected_in(nothing_asked, caller, dtmf="text", losses=losses, otherwise="I see.")
    assert not call.of("error")
    assert len(call.of("agent_lost")) == 1
    assert len(call.of("user_turn")) == turns
