"""Each kind of value: what is read from answers one after the other, and how it is read back.

Dates are in `test_date_reader.py`, addresses of houses in `test_postal_address.py`.
"""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect.digits import DigitsReader, in_groups, luhn
from piopiy_pipeline.collect.email_address import EmailReader, is_email
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.value_reader import Reading
from piopiy_pipeline.collect.yes_no import says_yes

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
        ("en", ["anna smith", "gmail dot com"], "annasmith@gmail.com"),
        ("en", ["anna smith", "at", "big company dot com"], "annasmith@bigcompany.com"),
        ("de", ["max mustermann", "gmx punkt de"], "maxmustermann@gmx.de"),
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
    "text",
    [
        "N. Dot's Mifec mail dot con.",
        "n dot smith mail dot com",
        "bob at's",
        "john gmail.com",
        "that's smith's",
    ],
)
def test_what_has_lost_its_at_is_no_first_half_of_an_email_address(text: str) -> None:
    reader = EmailReader("en")
    assert reader.hear(text) is Reading.NOTHING
    assert reader.written() == ""


def test_a_first_half_that_is_too_long_is_not_read_back() -> None:
    reader = EmailReader("en")
    assert reader.hear("x" * 65) is Reading.INVALID
    assert "{value}" not in reader.fault(lambda name: getattr(collect_phrases_in("en"), name))


@pytest.mark.parametrize(
    "text", ["a@b", "a b@c.de", "@c.de", f"{'a' * 65}@c.de", "a@-c.de", "a@c.d", "a..b@c.de"]
)
def test_a_wrong_address_is_no_email(text: str) -> None:
    assert not is_email(text)


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
