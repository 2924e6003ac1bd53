"""Odd answers, each of which was taken for a value, or for another one than was said."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.remarks import refuses
from piopiy_pipeline.collect.value_reader import Reading
from piopiy_pipeline.collect.yes_no import says_yes

TODAY = date(2026, 11, 29)  # a Sunday


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "five thousand dollars"), ("en", "4157 people"), ("de", "4157 Euro"), ("en", "not 4157"),
     ("de", "nicht 4157"), ("fr", "pas 4157"), ("nl", "niet 4157"), ("fr", "mille mercis"), ("it", "grazie mille")],
)  # fmt: skip
def test_a_number_that_counts_or_is_not_meant_is_no_code(language: str, said: str) -> None:
    assert DigitsReader(language, least=4, most=4).hear(said) is Reading.NOTHING


def test_an_article_before_each_digit_is_none_of_them() -> None:
    reader = DigitsReader("de", least=4, most=4)
    assert reader.hear("eine vier, eine eins, eine fünf und eine sieben") is Reading.WHOLE
    assert reader.value == "4157"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "der erste Montag im März"),
        ("de", "irgendwann nächste Woche"),
        ("de", "Montag bis Freitag"),
        ("de", "letzten Freitag"),
        ("de", "vor drei Tagen"),
        ("fr", "vendredi dernier"),
        ("fr", "il y a trois jours"),
        ("es", "el viernes pasado"),
        ("es", "hace tres días"),
        ("it", "venerdì scorso"),
        ("it", "tre giorni fa"),
        ("pt", "sexta-feira passada"),
        ("nl", "afgelopen vrijdag"),
        ("nl", "drie dagen geleden"),
    ],
)
def test_what_names_no_day_to_come_is_none(language: str, said: str) -> None:
    pytest.importorskip("dateparser")
    reader = DateReader(language, today=lambda: TODAY, past=False, day_first=True)
    assert reader.hear(said) is Reading.NOTHING


@pytest.mark.parametrize(
    ("language", "said", "day"),
    [
        ("de", "Freitag, der dreizehnte", "2027-08-13"),
        ("de", "Heiligabend", "2026-12-24"),
        ("de", "an Silvester", "2026-12-31"),
        ("fr", "à Noël", "2026-12-25"),
        ("es", "en Nochebuena", "2026-12-24"),
        ("it", "a Capodanno", "2027-01-01"),
        ("it", "alla vigilia di Natale", "2026-12-24"),
        ("pt", "no Natal", "2026-12-25"),
        ("nl", "eerste kerstdag", "2026-12-25"),
        ("es", "pasado mañana", "2026-12-01"),
        ("it", "tra due settimane", "2026-12-13"),
        ("nl", "over drie dagen", "2026-12-02"),
        ("pt", "em três dias", "2026-12-02"),
        ("en", "12052026", "2026-12-05"),
    ],
)
def test_days_as_they_are_said(language: str, said: str, day: str) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    reader = DateReader(language, today=lambda: TODAY, past=False, day_first=language != "en")
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == date.fromisoformat(day)


@pytest.mark.parametrize("said", ["May 5 '84", "5 May, ’84", "05051984", "05 05 1984"])
def test_the_year_of_a_birthday_as_recognisers_write_it(said: str) -> None:
    reader = DateReader("en", today=lambda: TODAY, past=True, day_first=False)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == date(1984, 5, 5)


@pytest.mark.parametrize(
    ("past", "said", "why"), [(True, "May 5 2030", "late"), (False, "May 5 2020", "early")]
)
def test_a_day_is_on_the_side_of_today_that_was_asked_for(past: bool, said: str, why: str) -> None:
    reader = DateReader("en", today=lambda: TODAY, past=past, day_first=False)
    assert reader.hear(said) is Reading.INVALID
    assert reader.fault(str) == f"date_too_{why}"


def test_an_author_may_ask_for_days_on_both_sides() -> None:
    def hears(said: str, **bounds: date) -> Reading:
        return DateReader("en", today=lambda: TODAY, past=False, day_first=False, **bounds).hear(said)

    assert hears("May 5 2020", earliest=date(2020, 1, 1)) is Reading.WHOLE
    assert hears("May 5 2020", latest=TODAY) is Reading.WHOLE


@pytest.mark.parametrize(
    ("language", "said", "answer"),
    [
        ("en", "I didn't say yes", None),
        ("en", "I never said yes", None),
        ("en", "I don't see why not", True),
        ("en", "I said yes", True),
        ("de", "ja oder nein", None),
        ("de", "na ja", None),
        ("de", "na klar", True),
    ],
)
def test_an_odd_yes_or_no(language: str, said: str, answer: bool | None) -> None:
    assert says_yes(said, language) is answer


@pytest.mark.parametrize(("language", "said"), [("en", "none"), ("de", "keine")])
def test_none_is_no_address(language: str, said: str) -> None:
    assert refuses(said, language)
