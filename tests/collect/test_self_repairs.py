"""What callers take back within one answer, and what they say beside a value."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.collect.collection import Doing
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.postal_address import AddressReader
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


# ---------------------------------------------------------------------- addresses

FLAT = "Flat 3, 23 High Street, Oxford OX1 4AA"


def address(*said: str, region: str = "GB") -> AddressReader:
    reader = AddressReader("en", region=region)
    for n, text in enumerate(said):
        assert reader.hear(text, checking=n > 0) is Reading.WHOLE, text
    return reader


@pytest.mark.parametrize(
    ("said", "street"),
    [
        ([FLAT], "Flat 3, 23 High Street"),
        (["23 High Street, flat 3, Oxford OX1 4AA"], "23 High Street, flat 3"),
        (["flat three, twenty three High Street, Oxford, o x one four a a"], "flat 3, 23 High Street"),
        ([FLAT, "no, flat four"], "Flat 4, 23 High Street"),
        ([FLAT, "no, number 24"], "Flat 3, 24 High Street"),
        (["23 High Street, Oxford OX1 4AA", "yes, flat 4B"], "23 High Street, flat 4B"),
        (["one oh five High Street, Oxford OX1 4AA"], "105 High Street"),
        (["double five High Street, Oxford OX1 4AA"], "55 High Street"),
        (["22 High Street, no wait, 23 High Street, Oxford OX1 4AA"], "23 High Street"),
        (["23 High Street, Oxford OX1 4AA", "no wait, 32 not 23"], "32 High Street"),
    ],
)
def test_an_address_with_a_flat(said: list[str], street: str) -> None:
    value = address(*said).value
    assert (value.street, value.town, value.postal_code) == (street, "Oxford", "OX1 4AA")


def test_a_number_that_could_be_the_flats_or_the_houses_changes_nothing() -> None:
    reader = address(FLAT)
    assert reader.hear("no, 24", checking=True) is Reading.NOTHING
    assert reader.value.text == FLAT


def test_yes_and_no_are_no_street() -> None:
    assert AddressReader("en", region="US").hear("yeah no") is Reading.NOTHING


# ---------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("Friday next week", date(2026, 12, 4)),
        ("two weeks from tomorrow", date(2026, 12, 9)),
        ("a week from today", date(2026, 12, 1)),
    ],
)
def test_a_day_that_is_counted_from_now(said: str, day: date) -> None:
    reader = DateReader("en", today=lambda: date(2026, 11, 24), past=False, day_first=True)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == day


@pytest.mark.parametrize(
    ("said", "year"), [("May second nineteen oh five", 1905), ("the second of May oh five", 2005)]
)
def test_a_year_with_an_oh(said: str, year: int) -> None:
    reader = DateReader("en", today=lambda: date(2026, 11, 24), past=True, day_first=True)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == date(year, 5, 2)


@pytest.mark.parametrize("said", ["Freitag, nein Moment, Samstag", "nicht am Freitag, am Samstag"])
def test_the_last_day_counts_in_german_too(said: str) -> None:
    pytest.importorskip("dateparser")
    reader = DateReader("de", today=lambda: date(2026, 11, 27), past=False, day_first=True)
    reader.hear(said)
    assert reader.value == date(2026, 11, 28)


def test_who_agrees_with_a_but_has_not_agreed() -> None:
    code = collection()
    asks = code.hear("four one five seven")
    code.was_heard()
    assert code.hear("yes, but the one before that") == asks
    assert code.attempts == 1
    assert code.hear("yes").doing is Doing.FINISH
