"""Dates: which day is meant, and what is no day."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect.calendar_days import day_of_keys, find_date
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.value_reader import Reading

TODAY = date(2026, 11, 29)  # a Sunday


@pytest.mark.parametrize(
    ("language", "text", "to_come", "has_been"),
    [
        ("en", "tomorrow", "2026-11-30", "2026-11-30"),
        ("en", "yes, next Tuesday please", "2026-12-01", "2026-11-24"),
        ("en", "Sunday", "2026-12-06", "2026-11-22"),
        ("en", "on the fifth of May", "2027-05-05", "2026-05-05"),
        ("en", "December twenty fourth", "2026-12-24", "2025-12-24"),
        ("en", "May fifth nineteen eighty four", "1984-05-05", "1984-05-05"),
        ("en", "May 5, 1984", "1984-05-05", "1984-05-05"),
        ("en", "the twenty first of June two thousand and one", "2001-06-21", "2001-06-21"),
        ("en", "in two weeks", "2026-12-13", "2026-12-13"),
        ("en", "the day after tomorrow", "2026-12-01", "2026-12-01"),
        ("en", "a week from Monday", "2026-12-07", "2026-12-07"),
        ("en", "I think it is the 12th", "2026-12-12", "2026-11-12"),
        ("en", "No, the twenty-three.", "2026-12-23", "2026-11-23"),
        ("en", "Friday the thirteenth", "2027-08-13", "2026-11-13"),
        ("en", "February 29th", "2028-02-29", "2024-02-29"),
        ("en", "Christmas Eve", "2026-12-24", "2025-12-24"),
        ("en", "no, not Friday, Saturday", "2026-12-05", "2026-11-28"),
        ("en", "12.3.1984", "1984-03-12", "1984-03-12"),
        ("en", "2027-01-05", "2027-01-05", "2027-01-05"),
        ("en", "03/04/84", "2084-04-03", "1984-04-03"),
        ("de", "morgen", "2026-11-30", "2026-11-30"),
        ("de", "am nächsten Freitag", "2026-12-04", "2026-11-27"),
        ("de", "am fünften Mai neunzehnhundertvierundachtzig", "1984-05-05", "1984-05-05"),
        ("de", "in zwei Wochen", "2026-12-13", "2026-12-13"),
        ("de", "Freitag, der vierte Dezember", "2026-12-04", "2025-12-04"),
        ("fr", "le cinq mai", "2027-05-05", "2026-05-05"),
        ("fr", "vendredi", "2026-12-04", "2026-11-27"),
        ("es", "el cinco de mayo", "2027-05-05", "2026-05-05"),
    ],
)
def test_a_date_is_read(language: str, text: str, to_come: str, has_been: str) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    found = [find_date(text, language, today=TODAY, past=past) for past in (False, True)]
    assert [str(one) for one in found] == [to_come, has_been]


@pytest.mark.parametrize(
    "text",
    [
        "the first Monday in March",
        "the last Friday of November",
        "a week after Christmas",
        "the Friday after next",
    ],
)
def test_a_day_from_which_another_is_counted_is_not_taken_for_it(text: str) -> None:
    assert find_date(text, "en", today=TODAY) is None


@pytest.mark.parametrize(
    "text", ["a table for four", "in May", "the thirty first of February", "I don't know", ""]
)
def test_what_names_no_day_is_no_date(text: str) -> None:
    assert find_date(text, "en", today=TODAY) is None


def test_a_month_alone_is_no_date_in_german_either() -> None:
    pytest.importorskip("dateparser")
    assert find_date("irgendwann im Mai", "de", today=TODAY) is None


def test_numbers_are_read_in_the_order_of_the_country() -> None:
    assert find_date("3/4/2027", "en", today=TODAY, day_first=False) == date(2027, 3, 4)
    assert find_date("13/4/2027", "en", today=TODAY, day_first=False) == date(2027, 4, 13)
    assert day_of_keys("03041984", today=TODAY, past=True, day_first=True) == date(1984, 4, 3)
    assert day_of_keys("0304", today=TODAY, past=False, day_first=False) == date(2027, 3, 4)
    assert day_of_keys("9999", today=TODAY, past=False, day_first=True) is None


def test_a_date_out_of_range_is_refused_with_a_sentence() -> None:
    reader = DateReader("en", today=lambda: TODAY, past=False, day_first=True, earliest=date(2026, 12, 1))
    assert reader.hear("tomorrow") is Reading.INVALID
    assert reader.fault({"date_too_early": "{value} is too early."}.__getitem__) == "{value} is too early."
    assert reader.spoken() == "Monday, November 30, 2026"
    assert reader.hear("Friday") is Reading.WHOLE


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "do you have Friday?"),
        ("en", "have you got anything on Friday?"),
        ("en", "do you still have a slot left on Friday morning?"),
        ("en", "maybe Friday?"),
        ("en", "the doctor told me Friday"),
        ("en", "I was told it would be Friday"),
        ("de", "haben Sie am Freitag noch etwas frei?"),
        ("de", "wie wäre es mit Freitag?"),
        ("de", "der Arzt hat Freitag gesagt"),
        ("fr", "avez-vous quelque chose vendredi ?"),
        ("es", "¿tienen algo el viernes?"),
    ],
)
def test_who_asks_for_one_day_or_tells_who_has_named_it_has_named_it(language: str, text: str) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    assert find_date(text, language, today=date(2026, 11, 30)) == date(2026, 12, 4)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "what do you have on Friday?"),
        ("en", "do you have parking on Friday?"),
        ("en", "do you have Friday or Saturday?"),
        ("en", "is it Friday today?"),
        ("en", "they told me Friday that it was done"),
        ("de", "was haben Sie am Freitag?"),
        ("de", "haben Sie am Freitag offen?"),
        ("fr", "quand fermez-vous vendredi ?"),
        ("es", "¿tienen wifi el viernes?"),
    ],
)
def test_a_question_about_something_else_on_a_day_names_none(language: str, text: str) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    assert find_date(text, language, today=date(2026, 11, 30)) is None
