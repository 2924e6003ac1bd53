"""What is written, and what is said: the tables of both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from piopiy_pipeline.spoken_text import SpokenText

HERE = Path(__file__).parent
PRONUNCIATIONS = {"Siobhan": "shi vawn"}


def rows(language: str) -> list[tuple[str, str, str]]:
    table = yaml.safe_load((HERE / f"table_{language}.yaml").read_text())
    return [(language, row["written"], row["spoken"]) for row in table]


@pytest.mark.parametrize(("language", "written", "spoken"), [*rows("en"), *rows("de")])
def test_a_text_is_said_as_the_table_says(language: str, written: str, spoken: str) -> None:
    assert SpokenText(language, pronunciations=PRONUNCIATIONS).read(written) == spoken


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_table_has_eighty_rows_at_least(language: str) -> None:
    assert len({written for _, written, _ in rows(language)}) >= 80


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("en-GB", "3/4/2026", "the third of April, twenty twenty-six"),
        ("en-GB", "120 people", "one hundred and twenty people"),
        ("en-GB", "Press #.", "Press hash."),
        ("fr", "12,50 € pour 3 personnes", "douze euros cinquante pour trois personnes"),
        ("fr", "Le 29 novembre 2026, 5 km", "Le vingt-neuf novembre deux mille vingt-six, cinq kilomètres"),
        ("es", "**20 %** 😊", "veinte por ciento"),
        ("xx", "5 km", "five kilometers"),
    ],
)
def test_other_languages_have_what_the_libraries_know(language: str, written: str, spoken: str) -> None:
    assert SpokenText(language).read(written) == spoken
