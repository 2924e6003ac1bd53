"""Numbers, days and times are found in words as people say them."""

import pytest

from piopiy_pipeline.services.playbook.days import find_days
from piopiy_pipeline.services.playbook.relative_values import added, count_people
from piopiy_pipeline.services.playbook.values import Value, find_numbers, find_times, spoken_time
from piopiy_pipeline.services.playbook.words import number_words, read_words


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("at seven", "19:00"),
        ("half past seven", "19:30"),
        ("half a past seven", "19:30"),  # so recognisers write it
        ("half eight", "20:30"),
        ("quarter to eight", "19:45"),
        ("a quarter past twelve", "12:15"),
        ("ten to nine", "20:50"),
        ("seven thirty", "19:30"),
        ("six oh five", "18:05"),
        ("nine in the morning", "09:00"),
        ("nine a m", "09:00"),
        ("seven p m", "19:00"),
        ("eight o'clock", "20:00"),
        ("noon", "12:00"),
        ("midnight", "00:00"),
        ("twenty fifteen", "20:15"),
    ],
)
def test_finds_a_time(words: str, value: str) -> None:
    assert [found.value for found in find_times(read_words(f"please {words} for us")) if found.sure] == [
        value
    ]


def test_a_bare_hour_is_not_sure_to_be_a_time() -> None:
    assert [found.sure for found in find_times(read_words("for seven please"))] == [False]


def test_reads_an_hour_as_the_slot_assumes() -> None:
    assert find_times(read_words("at nine"), assume="am")[0].value == "09:00"


def test_the_largest_number_and_one_more_person_is_a_number_too() -> None:
    (both,) = [added(value, Value(9_999, "", 0, 0)) for value in count_people(read_words("one more person"))]
    assert (both.value, both.spoken) == (10_000, "ten thousand")
    assert number_words(120_345) == "one hundred twenty thousand three hundred forty five"


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("on friday", "Friday"),
        ("next monday please", "next Monday"),
        ("tomorrow evening", "tomorrow"),
        ("the day after tomorrow", "the day after tomorrow"),
        ("this evening", "tonight"),
        ("on the fifth of march", "March fifth"),
        ("june twenty second", "June twenty second"),
    ],
)
def test_finds_a_day(words: str, day: str) -> None:
    assert [found.value for found in find_days(read_words(words))] == [day]


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("the first monday in march", []),
        ("the last friday of november please", []),
        ("at seven on the second tuesday of next month", []),
        ("a week after christmas", []),
        ("the friday before christmas", []),
        ("monday after christmas", []),
        ("the friday after next", []),
        ("on saturday in two weeks", []),
        ("monday the week after", []),
        ("not the first monday but tuesday", ["Tuesday"]),
        ("the first monday in march or rather on the fifth of may", ["May fifth"]),
        ("first thing monday", ["Monday"]),
        ("on friday after lunch", ["Friday"]),
        ("on monday in the evening", ["Monday"]),
        ("monday after seven", ["Monday"]),
        ("friday in this place", ["Friday"]),
        ("the friday of this week", []),
        ("friday in the next hour or so", ["Friday"]),
        ("the twelfth friday at eight", ["Friday"]),
        ("in two weeks", ["in two weeks"]),
        ("for two the day after tomorrow", ["the day after tomorrow"]),
    ],
)
def test_a_day_from_which_another_one_is_counted_is_not_meant(words: str, days: list[str]) -> None:
    assert [found.value for found in find_days(read_words(words))] == days


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("for twenty five people", [25]),
        ("a couple of us", [2]),
        ("one moment please", []),
        ("that one", []),
        ("four no five", [4, 5]),
    ],
)
def test_finds_numbers(words: str, numbers: list[int]) -> None:
    assert [found.value for found in find_numbers(read_words(words))] == numbers


@pytest.mark.parametrize(
    ("value", "spoken"),
    [
        ("19:00", "seven"),
        ("19:30", "half past seven"),
        ("19:45", "quarter to eight"),
        ("12:00", "noon"),
        ("12:45", "quarter to one"),
        ("09:05", "nine oh five in the morning"),
    ],
)
def test_says_a_time(value: str, spoken: str) -> None:
    assert spoken_time(value) == spoken
