"""What callers take back within one answer, and what they say beside a value."""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.collect.collection import Doing
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.remarks import self_repair, waits
from piopiy_pipeline.collect.value_reader import Reading
from piopiy_pipeline.testing import Caller
from tests.collect.test_collection import collection
from tests.support.collecting import collected_in, says, value_of


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("four one five seven, no wait, four one five nine", "4159"),
        ("four one five seven no sorry nine not seven", "4159"),
        ("um four one... no wait, four two five seven", "4257"),
        ("um, wait, four one five seven", "4157"),
        ("four one five seven, sorry", "4157"),
        ("vier eins fünf sieben, nein Moment, vier eins fünf neun", "4159"),
    ],
)
def test_what_is_taken_back_is_no_part_of_a_number(said: str, digits: str) -> None:
    reader = DigitsReader("de" if "vier" in said else "en", least=1, most=32)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == digits


@pytest.mark.parametrize(
    "said", ["four one five seven, I mean eight", "four one five seven, sorry, five eight"]
)
def test_what_is_not_certain_is_no_number(said: str) -> None:
    reader = DigitsReader("en", least=1, most=32)
    assert reader.hear(said) is Reading.NOTHING


@pytest.mark.parametrize(
    "said", ["one moment please", "the one that I am calling from", "einen Moment bitte"]
)
def test_one_is_not_always_a_digit(said: str) -> None:
    reader = DigitsReader("de" if "bitte" in said else "en", least=1, most=32)
    assert reader.hear(said) is Reading.NOTHING
    assert reader.hear("the one five seven" if "bitte" not in said else "eins fünf sieben") is Reading.WHOLE
    assert reader.value == "157"


def test_oh_and_double_stand_beside_each_other() -> None:
    reader = PhoneNumberReader("en", region="GB")
    reader.hear("oh double seven double oh eight hundred one two three")
    assert reader.state()[0] == "07700800123"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("john dot smith at gmail dot com, all lower case", "john.smith@gmail.com"),
        ("john dot smith at gmail dot com, with a capital J", "john.smith@gmail.com"),
        ("john smith one word at gmail dot com", "johnsmith@gmail.com"),
        ("it's john dot smith, that's j o h n, at gmail dot com", "john.smith@gmail.com"),
        ("smith, spelled s m y t h, at gmail dot com", "smyth@gmail.com"),
        ("j-o-h-n at gmail.com", "john@gmail.com"),
        ("john dot smith at hotmail dot com, no wait, gmail dot com", "john.smith@gmail.com"),
        ("john.smith@gmail.com, sorry, jon.smith@gmail.com", "jon.smith@gmail.com"),
        ("small dot letters at example dot com", "small.letters@example.com"),
    ],
)
def test_how_an_address_is_written_is_no_part_of_it(said: str, address: str) -> None:
    reader = EmailReader("en")
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == address


def test_of_an_address_that_is_taken_back_in_the_middle_nothing_is_taken() -> None:
    reader = EmailReader("en")
    assert reader.hear("john dot smith, I mean smyth, at gmail dot com") is Reading.NOTHING
    assert reader.state() == ["", False]


@pytest.mark.parametrize(
    ("first", "correction", "address"),
    [
        ("j o n dot smith at gmail dot com", "no, j o h n not j o n", "john.smith@gmail.com"),
        ("john dot smith at gmail dot com", "no, n as in nancy, not m", "john.snith@gmail.com"),
        ("john dot smith at hotmail dot com", "no, gmail dot com", "john.smith@gmail.com"),
    ],
)
def test_an_address_is_corrected_by_letters_and_by_its_host(
    first: str, correction: str, address: str
) -> None:
    reader = EmailReader("en")
    reader.hear(first)
    assert reader.hear(correction, checking=True) is Reading.WHOLE
    assert reader.value == address


@pytest.mark.parametrize("kind", ["digits", "phone_number", "email", "address", "confirm"])
@pytest.mark.parametrize("said", ["One moment, please.", "hold on a second", "let me check"])
def test_who_needs_a_moment_is_waited_for(kind: str, said: str) -> None:
    form = collection(kind)
    form.begin()
    before = form.state() | {"counts": []}
    assert form.hear(said).doing is Doing.WAIT
    assert form.state() | {"counts": []} == before
    assert form.attempts == 0


def test_a_wait_is_bounded() -> None:
    form = collection()
    steps = [form.hear("hold on").doing for _ in range(50)]
    assert steps[-1] is Doing.FAIL


def test_a_moment_with_an_answer_is_an_answer() -> None:
    assert not waits("wait 4 1 5 7")
    assert not waits("let me see it is four")
    assert self_repair("no wait, nine") is None, "it takes back what was said before"


def test_nothing_is_said_to_a_caller_who_looks_for_the_number() -> None:
    caller = says(Caller(), "one moment please").pause(3)
    outcomes, call = collected_in(
        lambda call: collect_digits(call, prompt="What is your code?", length=4),
        says(caller, "four one five seven"),
    )
    assert value_of(outcomes) == "4157"
    assert call.said.count("code") == 1
