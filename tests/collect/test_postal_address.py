"""Addresses of houses: how they are put together, and how one part is corrected."""

from __future__ import annotations

import json

import pytest

from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading


@pytest.mark.parametrize(
    ("language", "region", "answers", "parts"),
    [
        ("en", "US", ["twenty three Main Street, Portland, Oregon nine seven two zero one"],
         ("23 Main Street", "97201", "Portland, Oregon")),
        ("en", "US", ["my address is 23 Main Street", "Portland, Oregon 97201"],
         ("23 Main Street", "97201", "Portland, Oregon")),
        ("de", "DE", ["Hauptstraße dreiundzwanzig", "eins null eins eins fünf Berlin"],
         ("Hauptstraße 23", "10115", "Berlin")),
        ("de", "DE", ["Hauptstraße", "23a", "10115 Berlin"], ("Hauptstraße 23a", "10115", "Berlin")),
        ("en", "US", ["Twenty three main street, Portland, Oregon, nine, seven, two, zero, one."],
         ("23 main street", "97201", "Portland, Oregon")),
        ("en", "GB", ["ten Downing Street, London, SW1A 2AA"], ("10 Downing Street", "SW1A 2AA", "London")),
        ("en", "US", ["23 Main Street, Portland, Oregon 97201", "no, Maine not Main"],
         ("23 Maine Street", "97201", "Portland, Oregon")),
    ],
)  # fmt: skip
def test_an_address_is_read(language: str, region: str, answers: list[str], parts: tuple[str, ...]) -> None:
    reader = AddressReader(language, region=region)
    reading = [reader.hear(answer) for answer in answers][-1]
    address = reader.value
    assert reading is Reading.WHOLE
    assert (address.street, address.postal_code, address.town) == parts


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("en", "no, the postal code is 10117 not 10115", ("Hauptstrasse 12", "10117", "Berlin")),
        ("en", "no, number 14", ("Hauptstrasse 14", "10115", "Berlin")),
        ("en", "the house number is fourteen", ("Hauptstrasse 14", "10115", "Berlin")),
        ("en", "it's not 12, it's 14", ("Hauptstrasse 14", "10115", "Berlin")),
        ("en", "no, the postal code is 10117", ("Hauptstrasse 12", "10117", "Berlin")),
        ("en", "no, it is 10117", ("Hauptstrasse 12", "10117", "Berlin")),
        ("en", "no, 10117", ("Hauptstrasse 12", "10117", "Berlin")),
        ("en", "no, Nebenstrasse", ("Nebenstrasse 12", "10115", "Berlin")),
        ("en", "no, Nebenstrasse 13", ("Nebenstrasse 13", "10115", "Berlin")),
        ("en", "no, in Potsdam", ("Hauptstrasse 12", "10115", "Potsdam")),
        ("en", "no, 14467 Potsdam", ("Hauptstrasse 12", "14467", "Potsdam")),
        ("en", "no, the street is right but the number is 14", ("Hauptstrasse 14", "10115", "Berlin")),
        ("en", "the postal code is 10117 and the house number is 14", ("Hauptstrasse 14", "10117", "Berlin")),
        ("en", "no, Nebenstrasse 13, 14467 Potsdam", ("Nebenstrasse 13", "14467", "Potsdam")),
        ("de", "nein, Hausnummer vierzehn", ("Hauptstrasse 14", "10115", "Berlin")),
        ("de", "die Postleitzahl ist 10117", ("Hauptstrasse 12", "10117", "Berlin")),
        ("de", "nicht 12 sondern 14", ("Hauptstrasse 14", "10115", "Berlin")),
    ],
)
def test_a_corrected_part_leaves_the_others(language: str, text: str, parts: tuple[str, ...]) -> None:
    reader = AddressReader(language, region="DE")
    reader.hear("Hauptstrasse 12, 10115 Berlin")
    assert reader.hear(text, checking=True) is Reading.WHOLE
    address = reader.value
    assert (address.street, address.postal_code, address.town) == parts


@pytest.mark.parametrize(
    "text",
    [
        "no, Potsdam",
        "no",
        "yes, we have lived there since 2010",
        "the street and the house number are wrong",
        "the house number is right",
    ],
)
def test_what_could_be_any_part_of_an_address_changes_none(text: str) -> None:
    reader = AddressReader("en", region="DE")
    reader.hear("Hauptstrasse 12, 10115 Berlin")
    assert reader.hear(text, checking=True) is Reading.NOTHING
    assert reader.spoken() == "Hauptstrasse 12, 10115 Berlin"


@pytest.mark.parametrize(
    ("language", "wrong", "asks", "answer", "parts"),
    [
        (
            "en",
            "the house number is wrong",
            "house number",
            "fourteen",
            ("Hauptstrasse 14", "10115", "Berlin"),
        ),
        (
            "en",
            "no, the house number isn't right",
            "house number",
            "it's 14",
            ("Hauptstrasse 14", "10115", "Berlin"),
        ),
        (
            "en",
            "no, that's the wrong street",
            "street",
            "Nebenstrasse",
            ("Nebenstrasse 12", "10115", "Berlin"),
        ),
        ("en", "the postal code is not right", "code", "10117", ("Hauptstrasse 12", "10117", "Berlin")),
        ("en", "the town is wrong", "town", "Potsdam", ("Hauptstrasse 12", "10115", "Potsdam")),
        ("en", "the town is wrong", "town", "14467 Potsdam", ("Hauptstrasse 12", "14467", "Potsdam")),
        ("en", "the street is wrong", "street", "Am Weg 3, 14467 Potsdam", ("Am Weg 3", "14467", "Potsdam")),
        (
            "de",
            "nein, die Hausnummer stimmt nicht",
            "number",
            "vierzehn",
            ("Hauptstrasse 14", "10115", "Berlin"),
        ),
        ("de", "die Postleitzahl ist falsch", "town", "10117", ("Hauptstrasse 12", "10117", "Berlin")),
    ],
)
def test_a_part_that_is_wrong_is_asked_for_and_the_others_stay(
    language: str, wrong: str, asks: str, answer: str, parts: tuple[str, ...]
) -> None:
    reader = AddressReader(language, region="DE")
    reader.hear("Hauptstrasse 12, 10115 Berlin")
    assert reader.hear(wrong, checking=True) is Reading.PART
    assert (
        asks in reader.missing(lambda name: str(getattr(collect_phrases_in("en"), name))) or language == "de"
    )
    next_one = AddressReader(language, region="DE")
    next_one.restore(json.loads(json.dumps(reader.state())))
    assert next_one.hear("What do you mean?") is Reading.NOTHING
    assert next_one.hear(answer) is Reading.WHOLE
    address = next_one.value
    assert (address.street, address.postal_code, address.town) == parts
    assert isinstance(next_one.state(), str), "an older version can go on with it"


def test_a_yes_is_no_part_of_an_address() -> None:
    reader = AddressReader("en", region="DE")
    assert reader.hear("yes") is Reading.NOTHING
    assert reader.hear("Hauptstrasse 12") is Reading.PART
    assert reader.hear("okay") is Reading.NOTHING
    assert reader.hear("10115 Berlin") is Reading.WHOLE


def test_the_names_of_its_parts_are_no_parts_of_an_address() -> None:
    reader = AddressReader("en", region="US")
    assert reader.hear("the street is Main Street and the house number is 23") is Reading.PART
    assert reader.hear("no, number 25") is Reading.PART
    assert reader.hear("Kansas City, the zip code is 64105") is Reading.WHOLE
    assert reader.spoken() == "Main Street 25, Kansas City, 64105"


@pytest.mark.parametrize(
    ("region", "language", "said", "street", "code", "town"),
    [
        (
            "DE",
            "en",
            "Hauptstrasse twelve, one oh one one seven Berlin",
            "Hauptstrasse 12",
            "10117",
            "Berlin",
        ),
        (
            "DE",
            "en",
            "Hauptstrasse twelve one zero one one seven Berlin",
            "Hauptstrasse 12",
            "10117",
            "Berlin",
        ),
        (
            "DE",
            "de",
            "Hauptstraße zwölf, eins null eins eins sieben Berlin",
            "Hauptstraße 12",
            "10117",
            "Berlin",
        ),
        (
            "US",
            "en",
            "twelve Main Street, Springfield, six two seven oh four",
            "12 Main Street",
            "62704",
            "Springfield",
        ),
    ],
)
def test_a_postal_code_is_read_digit_by_digit_behind_a_house_number(
    region: str, language: str, said: str, street: str, code: str, town: str
) -> None:
    reader = AddressReader(language, region=region)
    assert reader.hear(said) is Reading.WHOLE
    assert (reader.value.street, reader.value.postal_code, reader.value.town) == (street, code, town)
