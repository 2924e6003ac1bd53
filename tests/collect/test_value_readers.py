"""Each kind of value: what is read from answers one after the other, and how it is read back."""

from __future__ import annotations

import json
from datetime import date

import pytest

from piopiy_pipeline.collect.calendar_days import day_of_keys, find_date
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader, in_groups, luhn
from piopiy_pipeline.collect.email_address import EmailReader, is_email
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading
from piopiy_pipeline.collect.yes_no import says_yes

TODAY = date(2026, 11, 29)  # a Sunday


# ---------------------------------------------------------------------- digits


def test_luhn_knows_a_card_number() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")


@pytest.mark.parametrize(
    ("digits", "said"),
    [("415", "4 1 5"), ("12345", "1 2 3 4 5"), ("123456", "1 2 3, 4 5 6"), ("12345678", "1 2 3 4, 5 6 7 8"),
     ("1234567", "1 2 3, 4 5 6 7")],
)  # fmt: skip
def test_digits_are_read_back_in_groups(digits: str, said: str) -> None:
    assert in_groups(digits) == said


def test_a_number_comes_in_two_halves_by_voice_and_by_keys() -> None:
    reader = DigitsReader("en", least=6, most=6)
    assert reader.hear("four one five") is Reading.PART
    assert reader.keys_suffice("271")
    assert reader.press("271") is Reading.WHOLE
    assert reader.value == "415271"


def test_a_wrong_checksum_is_invalid_and_one_digit_can_be_corrected() -> None:
    reader = DigitsReader("en", least=16, most=16, checksum="luhn")
    assert reader.hear("4111 1111 1111 1112") is Reading.INVALID
    assert reader.hear("the last digit is one") is Reading.WHOLE
    assert reader.value == "4111111111111111"


def test_after_an_invalid_number_the_next_one_takes_its_place() -> None:
    reader = DigitsReader("en", least=4, most=4, checksum=lambda digits: digits == "1234")
    assert reader.hear("nine nine nine nine") is Reading.INVALID
    assert reader.hear("one two three four") is Reading.WHOLE


def test_a_single_digit_behind_a_no_is_not_clear() -> None:
    reader = DigitsReader("en", least=4, most=4)
    reader.hear("four one five seven")
    assert reader.hear("no, seven", checking=True) is Reading.NOTHING
    assert reader.value == "4157"


def test_a_star_begins_anew() -> None:
    reader = DigitsReader("en", least=4, most=4)
    reader.hear("four one")
    assert reader.press("9*1234") is Reading.WHOLE
    assert reader.value == "1234"


def test_numbers_in_other_sentences_are_no_digits_of_it() -> None:
    reader = DigitsReader("en", least=6, most=6)
    reader.hear("four one five")
    assert reader.hear("do you have a table for 2") is Reading.NOTHING
    assert reader.state() == ["415", False]


# ---------------------------------------------------------------------- telephone numbers


@pytest.mark.parametrize(
    ("region", "answers", "value", "said"),
    [
        ("DE", ["null drei null eins zwei drei vier fünf sechs"], "+4930123456", "0 3 0, 1 2 3, 4 5 6"),
        ("US", ["four one five two seven one eight two nine three"], "+14152718293", "4 1 5, 2 7 1, 8 2 9 3"),
        ("DE", ["plus one four one five", "two seven one eight two nine three"], "+14152718293",
         "plus 1, 4 1 5, 2 7 1, 8 2 9 3"),
        ("DE", ["double oh one, four one five two seven one eight two nine three"], "+14152718293",
         "plus 1, 4 1 5, 2 7 1, 8 2 9 3"),
        ("DE", ["zero three zero one two three", "four five six"], "+4930123456", "0 3 0, 1 2 3, 4 5 6"),
        ("GB", ["oh two oh, seven nine four six, oh nine five eight"], "+442079460958", "0 2 0, 7 9 4 6, 0 9 5 8"),
    ],
)  # fmt: skip
def test_a_telephone_number_is_read_and_read_back(
    region: str, answers: list[str], value: str, said: str
) -> None:
    reader = PhoneNumberReader("de" if answers[0].startswith("null") else "en", region=region)
    reading = [reader.hear(answer) for answer in answers][-1]
    assert reading is Reading.WHOLE
    assert (reader.value, reader.spoken()) == (value, said)


def test_what_is_no_telephone_number_is_invalid_and_is_replaced() -> None:
    reader = PhoneNumberReader("en", region="US")
    assert reader.hear("one two three four five six seven eight nine zero") is Reading.INVALID
    assert reader.hear("four one five two seven one eight two nine three") is Reading.WHOLE


def test_more_digits_go_on_with_a_number_that_could_have_been_whole() -> None:
    reader = PhoneNumberReader("en", region="DE")
    reader.hear("zero three zero one two three")
    assert reader.hear("four five six", checking=True) is Reading.WHOLE
    assert reader.value == "+4930123456"


# ---------------------------------------------------------------------- e-mail addresses


@pytest.mark.parametrize(
    ("language", "answers", "value"),
    [
        ("en", ["my email is john dot smith at gmail dot com"], "john.smith@gmail.com"),
        ("en", ["John.Smith@Gmail.com"], "john.smith@gmail.com"),
        ("en", ["j o h n dot s m i t h", "at gmail dot com"], "john.smith@gmail.com"),
        ("en", ["it's bob 22 at example dot co dot uk please"], "bob22@example.co.uk"),
        ("en", ["john underscore smith ninety nine at hotmail.com"], "john_smith99@hotmail.com"),
        ("en", ["a as in alpha, n like nancy, n, a at yahoo dot com"], "anna@yahoo.com"),
        ("en", ["alpha bravo charlie at x y z dot io"], "abc@xyz.io"),
        ("en", ["mike dot smith at outlook dot com"], "mike.smith@outlook.com"),
        ("en", ["anna at gmail dot com", "no, it's hotmail not gmail"], "anna@hotmail.com"),
        ("en", ["amna at gmail dot com", "amma not amna"], "amma@gmail.com"),
        ("en", ["alma at gmail dot com", "n not m"], "alna@gmail.com"),
        ("de", ["meine Adresse ist max punkt mustermann at gmx punkt de"], "max.mustermann@gmx.de"),
        ("de", ["m a x bindestrich m u e l l e r at web punkt de"], "max-mueller@web.de"),
        ("de", ["anton nordpol nordpol anton klammeraffe web punkt de"], "anna@web.de"),
    ],
)
def test_an_email_address_is_put_together(language: str, answers: list[str], value: str) -> None:
    reader = EmailReader(language)
    reading = [reader.hear(answer) for answer in answers][-1]
    assert (reading, reader.value) == (Reading.WHOLE, value)


def test_an_email_address_is_spelled_back() -> None:
    reader = EmailReader("en")
    reader.hear("john.smith@example.org")
    assert reader.spoken() == "J O H N, dot, S M I T H, at example dot org"


@pytest.mark.parametrize("text", ["What do you need it for?", "yes that's right", "hello", "no", "", "um"])
def test_what_is_no_email_address_is_none(text: str) -> None:
    if text != "hello":  # which may be the beginning of one: it is read back
        assert EmailReader("en").hear(text) is Reading.NOTHING
    assert not is_email(text)


@pytest.mark.parametrize(
    "text", ["a@b", "a b@c.de", "@c.de", f"{'a' * 65}@c.de", "a@-c.de", "a@c.d", "a..b@c.de"]
)
def test_a_wrong_address_is_no_email(text: str) -> None:
    assert not is_email(text)


# ---------------------------------------------------------------------- dates


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


# ---------------------------------------------------------------------- addresses


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


# ---------------------------------------------------------------------- yes and no


@pytest.mark.parametrize(
    ("text", "language", "answer"),
    [
        ("yes that's right", "en", True),
        ("no", "en", False),
        ("maybe", "en", None),
        ("is it?", "en", None),
        ("no, I mean yes", "en", None),
        ("no sorry, yes", "en", None),
        ("nope, actually yes please", "en", None),
        ("no no, yes that is right", "en", None),
        ("no, go ahead", "en", None),
        ("that isn't wrong", "en", None),
        ("no okay", "en", None),
        ("no, no, that's fine", "en", None),
        ("no, not okay", "en", False),
        ("no, absolutely not", "en", False),
        ("no, definitely", "en", False),
        ("nein, okay", "de", None),
        ("nein, das stimmt", "de", None),
        ("nein, das stimmt so nicht", "de", False),
        ("nein, das stimmt nicht", "de", False),
        ("yes, no wait, no", "en", None),
        ("no, don't go ahead", "en", False),
        ("no, that's not right", "en", False),
        ("no, that is not quite right", "en", False),
        ("nein, ich meine ja", "de", None),
        ("das ist nicht falsch", "de", None),
        ("nein, das ist ja falsch", "de", False),
        ("das ist doch nicht richtig", "de", False),
        ("ja, genau", "de", True),
        ("das stimmt", "de", True),
        ("nein", "de", False),
        ("das stimmt nicht", "de", False),
        ("ich weiß nicht", "de", None),
        ("stimmt das?", "de", None),
        ("", "de", None),
    ],
)
def test_yes_and_no(text: str, language: str, answer: bool | None) -> None:
    assert says_yes(text, language) is answer


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
