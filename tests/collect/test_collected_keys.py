"""Values that callers press, in part or whole. Whole calls in virtual time."""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.testing import Caller, CallerLine
from tests.support.collected_kinds import KINDS
from tests.support.collecting import collected_in, says, value_of

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
    caller = caller.until(kind.prompt).press("4157").until("Is that right").press("#").pause(4)
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
