"""Values as people say them: in pieces, with repetitions, letters by their names, days that are counted or excluded."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from piopiy_pipeline.collect.calendar_days import find_date
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading, ValueReader

TODAY = date(2026, 11, 29)  # a Sunday
FRIDAY, SATURDAY = date(2026, 12, 4), date(2026, 12, 5)


def said_to(reader: ValueReader[Any], said: str) -> Reading:
    """Have a reader hear answers, one behind each " | ", and return what became of the last one."""
    return [reader.hear(answer.strip()) for answer in said.split("|")][-1]


# ---------------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("language", "said", "day"),
    [
        ("en", "any day but Friday", None),
        ("en", "any day next week but Friday", None),
        ("en", "not on Friday", None),
        ("en", "not this Friday", None),
        ("en", "every day except Monday", None),
        ("en", "any day except Monday, Tuesday or Wednesday", None),
        ("en", "anything but Friday or Saturday", None),
        ("en", "Friday doesn't work for me", None),
        ("en", "I can't do Friday", None),
        ("en", "I'm busy on Friday", None),
        ("en", "not Friday or Saturday", None),
        ("en", "no, Friday is wrong", None),
        ("en", "Friday is not good", None),
        ("en", "not before Friday", None),
        ("en", "not the fifth of December", None),
        ("en", "Thursday or Friday", None),
        ("en", "from Monday to Friday", None),
        ("en", "not Thursday, Friday", FRIDAY),
        ("en", "not Thursday Friday", FRIDAY),
        ("en", "not Thursday but Friday", FRIDAY),
        ("en", "Friday would work better than Thursday", FRIDAY),
        ("de", "Freitag Morgen", FRIDAY),
        ("en", "Friday instead of Thursday", FRIDAY),
        ("en", "I can't do Thursday, but Friday is fine", FRIDAY),
        ("en", "any day but Thursday, so Friday would be good", FRIDAY),
        ("en", "I don't mind, Friday", FRIDAY),
        ("en", "why not Friday", FRIDAY),
        ("en", "is Friday possible?", FRIDAY),
        ("en", "how about Friday?", FRIDAY),
        ("en", "I was thinking of Friday", FRIDAY),
        ("en", "I said Friday", FRIDAY),
        ("en", "Let me look at my calendar, Friday looks good", FRIDAY),
        ("en", "I'd like to book an appointment for Friday morning please", FRIDAY),
        ("en", "put me down for Friday", FRIDAY),
        ("de", "jeden Tag außer Freitag", None),
        ("de", "nicht am Freitag", None),
        ("de", "Freitag geht nicht", None),
        ("de", "am Freitag kann ich leider nicht", None),
        ("de", "Freitag oder Samstag", None),
        ("de", "nicht am Donnerstag, am Freitag", FRIDAY),
        ("de", "nicht Donnerstag sondern Freitag", FRIDAY),
        ("de", "warum nicht Freitag", FRIDAY),
        ("fr", "tous les jours sauf vendredi", None),
        ("fr", "pas vendredi", None),
        ("fr", "vendredi je ne peux pas", None),
        ("fr", "pas jeudi, vendredi", FRIDAY),
        ("fr", "vendredi prochain", FRIDAY),
        ("es", "cualquier día menos el viernes", None),
        ("es", "el viernes no puedo", None),
        ("es", "no, el viernes", FRIDAY),
    ],
)  # fmt: skip
def test_a_day_that_is_excluded_is_not_taken(language: str, said: str, day: date | None) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    assert find_date(said, language, today=TODAY) == day


@pytest.mark.parametrize(
    ("language", "said", "day"),
    [
        ("en", "the day after tomorrow", "2026-12-01"),
        ("en", "a week on Tuesday", "2026-12-08"),
        ("en", "Tuesday week", "2026-12-08"),
        ("en", "the 31st", "2026-12-31"),
        ("en", "the thirty-first of November", None),
        ("en", "half past ten", None),
        ("en", "noon", None),
        ("en", "at noon tomorrow", "2026-11-30"),
        ("en", "tomorrow at half past ten", "2026-11-30"),
        ("en", "two weeks from Friday", None),
        ("en", "a fortnight on Friday", None),
        ("en", "today week", None),
        ("en", "Fri", "2026-12-04"),
        ("en", "Dec. 7th, 2026", "2026-12-07"),
        ("en", "Sat, 5 Dec", "2026-12-05"),
        ("en", "Friday at 10.30", "2026-12-04"),
        ("en", "Friday 9.05 pm", "2026-12-04"),
        ("de", "Freitag um 10.30 Uhr", "2026-12-04"),
        ("de", "am Freitag um 9.15", "2026-12-04"),
        ("de", "am 3.12. um 10.30 Uhr", "2026-12-03"),
        ("de", "am 3. Dezember um 10 Uhr", "2026-12-03"),
        ("de", "am dritten Dezember um halb zehn", "2026-12-03"),
        ("de", "Freitagnachmittag", "2026-12-04"),
        ("de", "übernächsten Freitag", None),
        ("de", "in zwei Wochen am Freitag", None),
        ("de", "den 24. bitte", "2026-12-24"),
        ("fr", "vendredi à 10h30", "2026-12-04"),
        ("fr", "le trois décembre à dix heures", "2026-12-03"),
        ("fr", "le 24", "2026-12-24"),
        ("es", "el viernes a las 10.30", "2026-12-04"),
        ("es", "por la mañana", None),
        ("es", "el día 24", "2026-12-24"),
        ("it", "sabato alle 10.30", "2026-12-05"),
        ("pt", "na sexta", "2026-12-04"),
        ("pt", "terça feira às 10 horas", "2026-12-01"),
        ("nl", "zaterdag om 10.30 uur", "2026-12-05"),
        ("nl", "vrijdag of zaterdag", None),
        ("de", "übermorgen", "2026-12-01"),
        ("de", "morgen in einer Woche", None),
        ("de", "am einunddreißigsten", "2026-12-31"),
        ("de", "Freitag in einer Woche", None),
        ("de", "am dritten Zwölften", "2026-12-03"),
        ("fr", "après-demain", "2026-12-01"),
        ("fr", "demain", "2026-11-30"),
        ("fr", "le premier décembre", "2026-12-01"),
        ("fr", "le trois décembre", "2026-12-03"),
        ("es", "pasado mañana", "2026-12-01"),
        ("es", "mañana", "2026-11-30"),
        ("es", "el primero de diciembre", "2026-12-01"),
        ("es", "el tres de diciembre", "2026-12-03"),
    ],
)  # fmt: skip
def test_a_day_to_come(language: str, said: str, day: str | None) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    found = find_date(said, language, today=TODAY)
    assert (found and found.isoformat()) == day


@pytest.mark.parametrize(
    ("language", "said", "day"),
    [
        ("en", "the fifth of May eighty-four", "1984-05-05"),
        ("en", "the fifth of May '84", "1984-05-05"),
        ("en", "the fifth of the fifth eighty-four", "1984-05-05"),
        ("en", "five five eighty four", None),
        ("en", "May the fifth, two thousand and one", "2001-05-05"),
        ("en", "the fifth of May two thousand", "2000-05-05"),
        ("en", "I was born on the fifth of May nineteen eighty-four", "1984-05-05"),
        ("en", "the 5th of May 2012", "2012-05-05"),
        ("en", "the fifth of May twenty twelve", "2012-05-05"),
        ("en", "yesterday", "2026-11-28"),
        ("en", "the day before yesterday", "2026-11-27"),
        ("en", "three days ago", "2026-11-26"),
        ("en", "two weeks ago", "2026-11-15"),
        ("en", "last Friday", "2026-11-27"),
        ("de", "am fünften Mai vierundachtzig", "1984-05-05"),
        ("de", "am fünften Mai zweitausendeins", "2001-05-05"),
        ("de", "am fünften fünften vierundachtzig", "1984-05-05"),
        ("de", "gestern", "2026-11-28"),
        ("fr", "le cinq mai mille neuf cent quatre-vingt-quatre", "1984-05-05"),
        ("fr", "le cinq mai deux mille un", "2001-05-05"),
        ("fr", "je suis né le cinq mai mille neuf cent quatre-vingt-quatre", "1984-05-05"),
        ("es", "el cinco de mayo de mil novecientos ochenta y cuatro", "1984-05-05"),
        ("es", "nací el cinco de mayo de mil novecientos ochenta y cuatro", "1984-05-05"),
        ("es", "el cinco de mayo del ochenta y cuatro", "1984-05-05"),
    ],
)  # fmt: skip
def test_a_day_that_has_been(language: str, said: str, day: str | None) -> None:
    if language != "en":
        pytest.importorskip("dateparser")
    found = find_date(said, language, today=TODAY, past=True)
    assert (found and found.isoformat()) == day


def test_next_friday_that_is_said_on_a_friday_is_a_week_away() -> None:
    assert find_date("next Friday", "en", today=FRIDAY) == date(2026, 12, 11)


# ---------------------------------------------------------------------- digits


@pytest.mark.parametrize(
    ("language", "said", "digits"),
    [
        ("en", "four four, sorry, four five", "45"),
        ("en", "zero one seven one | five five five", "0171555"),
        ("en", "triple five, double oh", "55500"),
        ("en", "four one, um, five", "415"),
        ("en", "it's four, one, five, seven", "4157"),
        ("en", "sure, the code is four one five seven", "4157"),
        ("en", "the code in the letter is four one five seven", "4157"),
        ("en", "four one five seven, got it?", "4157"),
        ("en", "nineteen eighty-four", "1984"),
        ("en", "let me see, I have four one five seven here, thank you very much", "4157"),
        ("en", "nine double eight", "988"),
        ("en", "oh oh oh seven", "0007"),
        ("en", "oh oh seven four", "0074"),
        ("hi", "४१५७", "4157"),
        ("ja", "４１５７", "4157"),
        ("ca", "4157", "4157"),
        ("en", "A4157", "4157"),
        ("de", "zweimal die fünf, dann null", "550"),
        ("de", "zwei mal fünf und dreimal die null", "55000"),
        ("de", "die Nummer ist vier eins fünf sieben", "4157"),
        ("de", "einundvierzig siebenundfünfzig", "4157"),
        ("fr", "quatre un cinq sept", "4157"),
        ("fr", "le code, c'est quatre un cinq sept", "4157"),
        ("fr", "zéro six, douze, trente-quatre", "061234"),
        ("es", "cuatro uno cinco siete", "4157"),
        ("es", "el código es cuatro uno cinco siete", "4157"),
        ("es", "cero seis, doce, treinta y cuatro", "061234"),
    ],
)  # fmt: skip
def test_digits(language: str, said: str, digits: str) -> None:
    reader = DigitsReader(language, least=1, most=32)
    assert said_to(reader, said) is Reading.WHOLE
    assert reader.value == digits


@pytest.mark.parametrize("place", range(16))
def test_a_card_number_that_is_wrong_at_one_place_is_no_card_number(place: int) -> None:
    right = "4111111111111111"
    wrong = right[:place] + str((int(right[place]) + 3) % 10) + right[place + 1 :]
    reader = DigitsReader("en", least=16, most=16, checksum="luhn")
    assert reader.hear(" ".join(wrong)) is Reading.INVALID
    assert reader.hear(" ".join(right)) is Reading.WHOLE


# ---------------------------------------------------------------------- telephone numbers


@pytest.mark.parametrize(
    ("language", "region", "said", "number"),
    [
        ("en", "DE", "plus four nine, one seven one, five five five, one two three four", "+491715551234"),
        ("en", "DE", "plus forty nine one seven one five five five one two three four", "+491715551234"),
        ("en", "DE", "zero zero four nine one seven one five five five one two three four", "+491715551234"),
        ("en", "GB", "plus four four, zero two oh, seven nine four six, oh nine five eight", "+442079460958"),
        ("en", "US", "four one five, triple five, two six seven one", "+14155552671"),
        ("en", "US", "four one five, two seven one, eight two nine three, extension twelve", "+14152718293"),
        ("en", "US", "four one five | two seven one | eight two nine three", "+14152718293"),
        ("en",
         "US", "four one five, sorry, five one five | two seven one eight two nine three", "+15152718293"),
        ("en", "US", "you can reach me on four one five two seven one eight two nine three", "+14152718293"),
        ("en", "US", "one eight hundred, two seven one, eight two nine three", "+18002718293"),
        ("en", "US", "(415) 271-8293", "+14152718293"),
        ("en", "IN", "nine eight seven six five, four three two one zero", "+919876543210"),
        ("de", "DE", "null eins sieben eins | fünf fünf fünf | eins zwei drei vier", "+491715551234"),
        ("de",
         "DE", "plus neunundvierzig eins sieben eins fünf fünf fünf eins zwei drei vier", "+491715551234"),
        ("de", "DE", "null dreißig, zwölf vierunddreißig sechsundfünfzig", "+4930123456"),
        ("fr", "FR", "zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit", "+33612345678"),
        ("fr",
         "FR", "plus trente-trois, six, douze, trente-quatre, cinquante-six, soixante-dix-huit", "+33612345678"),
        ("es", "ES", "seis doce, treinta y cuatro, cincuenta y seis, setenta y ocho", "+34612345678"),
        ("es", "ES", "seiscientos doce, treinta y cuatro, cincuenta y seis, setenta y ocho", "+34612345678"),
    ],
)  # fmt: skip
def test_telephone_numbers(language: str, region: str, said: str, number: str) -> None:
    reader = PhoneNumberReader(language, region=region)
    assert said_to(reader, said) is Reading.WHOLE
    assert reader.value == number


# ---------------------------------------------------------------------- e-mail addresses


@pytest.mark.parametrize(
    ("language", "said", "address"),
    [
        ("en", "b as in boy, o, b as in boy at gmail dot com", "bob@gmail.com"),
        ("en", "bravo oscar bravo at gmail dot com", "bob@gmail.com"),
        ("en", "b for bravo, o for oscar, b for bravo, at gmail dot com", "bob@gmail.com"),
        ("en", "double you a l t at gmail dot com", "walt@gmail.com"),
        ("en", "john period smith at gmail point com", "john.smith@gmail.com"),
        ("en", "john hyphen smith underscore two at my dash host dot com", "john-smith_2@my-host.com"),
        ("en", "john plus news at gmail dot com", "john+news@gmail.com"),
        ("en", "john at gmail | dot com", "john@gmail.com"),
        ("en", "john at gmail | gmail dot com", "john@gmail.com"),
        ("en", "john at gmail | at gmail dot com", "john@gmail.com"),
        ("en", "john smith | at gmail dot com", "johnsmith@gmail.com"),
        ("en", "john dot | smith at | gmail dot com", "john.smith@gmail.com"),
        ("en", "anna at hotmail dot | anna at gmail dot com", "anna@gmail.com"),
        ("en", "j o h | n dot smith | at gmail dot com", "john.smith@gmail.com"),
        ("en", "hello at example dot com", "hello@example.com"),
        ("en", "anna at my company dot com", "anna@mycompany.com"),
        ("en", "you can write to me at john at example dot com", None),
        ("en", "my e-mail address is info at who dot int", "info@who.int"),
        ("en", "it's j dot smith, that's s m y t h, at gmail dot com", "j.smyth@gmail.com"),
        ("de", "b wie Berta, o wie Otto, b wie Berta, ät web punkt de", "bob@web.de"),
        ("de", "max unterstrich muster at gmx punkt de", "max_muster@gmx.de"),
        ("de", "max muster | at gmx punkt de", "maxmuster@gmx.de"),
        ("de", "doppel w e at web punkt de", "wwe@web.de"),
        ("de", "jürgen punkt weiß at gmx punkt de", "juergen.weiss@gmx.de"),
        ("en", "josé@example.com", "jose@example.com"),
        ("en", "anna at example dot it", "anna@example.it"),
        ("en", "john2 at gmail dot com", "john2@gmail.com"),
        ("en", "sales at 3m dot com", "sales@3m.com"),
        ("en", "capital J o h n at gmail dot com", "john@gmail.com"),
        ("en", "rahul dot sharma at the rate gmail dot com", "rahul.sharma@gmail.com"),
        ("en", "rahul at the rate of rediffmail dot com", "rahul@rediffmail.com"),
        ("hi", "rahul१२@gmail.com", "rahul12@gmail.com"),
        ("fr", "c'est jean point dupont arobase gmail point com", "jean.dupont@gmail.com"),
        ("fr", "j e a n tiret bas deux arobase orange point fr", "jean_2@orange.fr"),
        ("es", "mi correo es juan punto pérez arroba gmail punto com", "juan.perez@gmail.com"),
        ("es", "ana guion bajo lópez | arroba gmail punto com", "ana_lopez@gmail.com"),
        ("it", "la mia mail è mario trattino rossi chiocciola libero punto it", "mario-rossi@libero.it"),
        ("pt", "joão ponto silva arroba gmail ponto com", "joao.silva@gmail.com"),
        ("nl", "jan punt jansen apenstaartje ziggo punt nl", "jan.jansen@ziggo.nl"),
    ],
)  # fmt: skip
def test_email_addresses(language: str, said: str, address: str | None) -> None:
    reader = EmailReader(language)
    reading = said_to(reader, said)
    assert (reader.value if reading is Reading.WHOLE else None) == address


# ---------------------------------------------------------------------- addresses of houses


@pytest.mark.parametrize(
    ("language", "region", "said", "street", "code", "town"),
    [
        ("en", "GB", "flat 2, 12b Saint John's Road, London, n w eight nine a b",
         "flat 2, 12b Saint John's Road", "NW8 9AB", "London"),
        ("en", "GB", "12 Our Lady Road | London NW8 9AB", "12 Our Lady Road", "NW8 9AB", "London"),
        ("en", "GB", "12 St. John's Road, London NW8 9AB", "12 St. John's Road", "NW8 9AB", "London"),
        ("en", "GB", "ten Downing Street, London, sierra whiskey one alpha two alpha alpha",
         "10 Downing Street", "SW1A 2AA", "London"),
        ("en", "GB", "ten Downing Street | London | s w one a two a a",
         "10 Downing Street", "SW1A 2AA", "London"),
        ("en", "US", "twelve hundred Main Street, Portland, Oregon, nine seven two oh one",
         "1200 Main Street", "97201", "Portland, Oregon"),
        ("en", "US", "I live at 23 Main Street, Portland, Maine 04101, thank you",
         "23 Main Street", "04101", "Portland, Maine"),
        ("en", "US", "350 Fifth Avenue, New York, New York one triple one eight",
         "350 5th Avenue", "11118", "New York, New York"),
        ("en", "IN", "12 MG Road, Bengaluru, five six zero zero zero one", "12 MG Road", "560001", "Bengaluru"),
        ("en", "IN", "12 MG Road, Bengaluru, five six, triple zero, one", "12 MG Road", "560001", "Bengaluru"),
        ("en", "IN", "12 MG Road, Bengaluru 560 001", "12 MG Road", "560001", "Bengaluru"),
        ("de", "DE", "Hauptstraße zwölf b, eins null eins eins fünf Berlin",
         "Hauptstraße 12 b", "10115", "Berlin"),
        ("de", "DE", "Unter den Linden | siebzehn | eins null eins eins sieben Berlin",
         "Unter den Linden 17", "10117", "Berlin"),
        ("de", "DE", "Ich wohne in der Sankt-Anna-Straße 3 in 80538 München",
         "Sankt-Anna-Straße 3", "80538", "München"),
        ("de", "DE", "Wir wohnen in der Ringstraße 3, 10115 Berlin", "Ringstraße 3", "10115", "Berlin"),
        ("de", "DE", "Am Markt drei, 99084 Erfurt bitte", "Am Markt 3", "99084", "Erfurt"),
        ("fr", "FR", "douze rue de la Paix, soixante-quinze mille deux Paris",
         "12 rue de la Paix", "75002", "Paris"),
        ("fr", "FR", "j'habite au 12 rue de la Paix, 75002 Paris", "12 rue de la Paix", "75002", "Paris"),
        ("pt", "PT", "Rua Augusta 100, 1100-053 Lisboa", "Rua Augusta 100", "1100-053", "Lisboa"),
        ("pt", "BR", "Rua Augusta 100, 01305-000 São Paulo", "Rua Augusta 100", "01305-000", "São Paulo"),
        ("de", "AT", "Hauptplatz 1010, 1010 Wien", "Hauptplatz 1010", "1010", "Wien"),
        ("es", "ES", "calle Mayor doce, 28013 Madrid", "calle Mayor 12", "28013", "Madrid"),
        ("es", "ES", "vivo en la calle Mayor 12, 28013 Madrid", "calle Mayor 12", "28013", "Madrid"),
    ],
)  # fmt: skip
def test_addresses_of_houses(
    language: str, region: str, said: str, street: str, code: str, town: str
) -> None:
    reader = AddressReader(language, region=region)
    assert said_to(reader, said) is Reading.WHOLE
    assert (reader.value.street, reader.value.postal_code, reader.value.town) == (street, code, town)
