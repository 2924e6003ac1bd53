"""What is written, and what is said: the tables of the languages that have rules."""

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


LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl")


@pytest.mark.parametrize(
    ("language", "written", "spoken"), [row for language in LANGUAGES for row in rows(language)]
)
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
        ("es", "3,5 km", "tres coma cinco kilómetros"),
        ("it", "Sono 3,05 kg.", "Sono tre virgola zero cinque chilogrammi."),
        ("ar", "3.5", "ثلاثة فاصلة خمسة"),
        ("tr", "0,05", "sıfır virgül sıfır beş"),
        ("en-IN", "₹1,00,00,000", "one crore rupees"),
        ("fr-CH", "75", "septante-cinq"),
        ("fr", "3/4, au 1er et au 2e étage", "3/4, au 1er et au 2e étage"),
        ("es", "el 1.º de 3", "el 1.º de tres"),
        ("pl", "o 10:30, 3/4", "o 10:30, 3/4"),
        ("xx", "5 km", "five kilometers"),
    ],
)
def test_other_languages_have_what_the_libraries_know(language: str, written: str, spoken: str) -> None:
    assert SpokenText(language).read(written) == spoken


def test_a_language_that_a_library_knows_in_part_is_loaded() -> None:
    SpokenText("ce").load_blocking()
    assert SpokenText("ce").read("Hello.") == "Hello."
