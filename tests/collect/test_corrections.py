"""What callers put right, in each language whose corrections are read."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect import collect_digits, collect_phrases_in
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading
from tests.support.collecting import collected_in, say, value_of

SPOKEN = {  # 4 1 5 6, and what makes 4 1 5 7 of it
    "fr": "quatre un cinq six; non, sept pas six; sept au lieu de six; ce n'est pas six mais sept; "
    "le dernier chiffre est sept; le quatrième chiffre est sept; les deux derniers chiffres sont cinq sept; "
    "non, quatre un cinq sept; non pardon, quatre un cinq sept; je voulais dire quatre un cinq sept",
    "es": "cuatro uno cinco seis; no, siete no seis; siete en vez de seis; no es seis sino siete; "
    "el último dígito es siete; el cuarto dígito es siete; los últimos dos números son cinco siete; "
    "no, cuatro uno cinco siete; no, perdón, cuatro uno cinco siete; quise decir cuatro uno cinco siete",
    "it": "quattro uno cinque sei; no, sette non sei; sette invece di sei; non è sei ma sette; "
    "l'ultima cifra è sette; la quarta cifra è sette; le ultime due cifre sono cinque sette; "
    "no, quattro uno cinque sette; no scusi, quattro uno cinque sette; volevo dire quattro uno cinque sette",
    "pt": "quatro um cinco seis; não, sete não seis; sete em vez de seis; não é seis, é sete; "
    "o último dígito é sete; o quarto dígito é sete; os últimos dois números são cinco sete; "
    "não, quatro um cinco sete; não, desculpe, quatro um cinco sete; quero dizer quatro um cinco sete",
    "nl": "vier een vijf zes; nee, zeven niet zes; zeven in plaats van zes; niet zes maar zeven; "
    "het laatste cijfer is zeven; het vierde cijfer is zeven; de laatste twee cijfers zijn vijf zeven; "
    "nee, vier een vijf zeven; nee sorry, vier een vijf zeven; ik bedoel vier een vijf zeven",
}


def said_in(language: str) -> list[str]:
    return [said.strip() for said in SPOKEN[language].split(";")]


CORRECTIONS = [(language, said) for language in SPOKEN for said in said_in(language)[1:]]


@pytest.mark.parametrize(("language", "said"), CORRECTIONS)
def test_a_part_of_a_number_is_put_right(language: str, said: str) -> None:
    reader = DigitsReader(language, least=4, most=4)
    assert reader.hear(said_in(language)[0]) is Reading.WHOLE
    assert reader.hear(said, checking=True) is Reading.WHOLE
    assert reader.value == "4157"


@pytest.mark.parametrize(("language", "said"), CORRECTIONS)
def test_what_is_put_right_within_one_answer_is_not_said_twice(language: str, said: str) -> None:
    """Of a correction that says all of it anew. Where it is not certain what is meant, nothing is taken."""
    reader = DigitsReader(language, least=4, most=4)
    reading = reader.hear(f"{said_in(language)[0]}, {said}")
    assert reading is not Reading.WHOLE or reader.value == "4157"


@pytest.mark.parametrize(
    ("language", "said", "digits"),
    [
        ("es", "doble cinco uno dos", "5512"),
        ("it", "doppio cinque uno due", "5512"),
        ("nl", "dubbel vijf een twee", "5512"),
        ("pt", "dois meia um três", "2613"),
        ("fr", "euh, alors c'est quatre un cinq six s'il vous plaît", "4156"),
        ("it", "il mio codice è quattro uno cinque sei", "4156"),
        ("pt", "o meu código é quatro um cinco seis, obrigado", "4156"),
        ("nl", "mijn code is vier één vijf zes alstublieft", "4156"),
    ],
)
def test_digits_are_read_as_people_say_them(language: str, said: str, digits: str) -> None:
    reader = DigitsReader(language, least=4, most=4)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == digits


@pytest.mark.parametrize("said", ["un instante", "een seconde", "une seconde", "um segundo", "un attimo"])
@pytest.mark.parametrize("language", SPOKEN)
def test_a_moment_is_no_digit(language: str, said: str) -> None:
    assert DigitsReader(language, least=1, most=4).hear(said) is Reading.NOTHING


@pytest.mark.parametrize(
    ("language", "region", "said"),
    [("es", "DE", "más tres cuatro nueve uno dos tres cuatro cinco seis siete ocho"),
     ("it", "DE", "più tre quattro nove uno due tre quattro cinque sei sette otto"),
     ("pt", "DE", "mais três quatro nove um dois três quatro cinco seis sete oito")],
)  # fmt: skip
def test_a_plus_is_said_in_each_language(language: str, region: str, said: str) -> None:
    reader = PhoneNumberReader(language, region=region)
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == "+34912345678"
    assert reader.spoken().split()[0] == said.split()[0]


@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("fr", "jean arobase hotmail point com", "non, gmail pas hotmail"),
        ("es", "jean arroba hotmail punto com", "no, gmail no hotmail"),
        ("it", "jean chiocciola hotmail punto com", "no, gmail non hotmail"),
        ("pt", "jean arroba hotmail ponto com", "não, gmail em vez de hotmail"),
        ("nl", "jean apenstaartje hotmail punt com", "nee, gmail niet hotmail"),
    ],
)
def test_a_part_of_an_email_address_is_put_right(language: str, first: str, second: str) -> None:
    reader = EmailReader(language)
    assert reader.hear(first) is Reading.WHOLE
    assert reader.hear(second, checking=True) is Reading.WHOLE
    assert reader.value == "jean@gmail.com"


ADDRESSES = {
    "fr": "FR; 12 rue de la Paix, 75002 Paris; non, numéro 14|14 rue de la Paix, 75002 Paris; "
    "le code postal est 75003|12 rue de la Paix, 75003 Paris; non, 75003|12 rue de la Paix, 75003 Paris; "
    "non, rue de Rivoli|12 rue de Rivoli, 75002 Paris; non, à Lyon|12 rue de la Paix, 75002 Lyon; "
    "14 pas 12|14 rue de la Paix, 75002 Paris; le numéro est faux|",
    "es": "ES; calle Mayor 12, 28013 Madrid; no, número 14|calle Mayor 14, 28013 Madrid; "
    "el código postal es 28014|calle Mayor 12, 28014 Madrid; no, calle Menor|calle Menor 12, 28013 Madrid; "
    "no, en Toledo|calle Mayor 12, 28013 Toledo; 14 no 12|calle Mayor 14, 28013 Madrid; el número está mal|",
    "it": "IT; via Roma 12, 00184 Roma; no, numero 14|via Roma 14, 00184 Roma; il CAP è 00185|via Roma 12, 00185 Roma; "
    "no, via Milano|via Milano 12, 00184 Roma; no, a Milano|via Roma 12, 00184 Milano; il numero è sbagliato|",
    "pt": "PT; rua Augusta 12, 1100-053 Lisboa; não, número 14|rua Augusta 14, 1100-053 Lisboa; "
    "não, 1100-054|rua Augusta 12, 1100-054 Lisboa; não, rua Nova|rua Nova 12, 1100-053 Lisboa; "
    "não, no Porto|rua Augusta 12, 1100-053 Porto; o número está errado|",
    "nl": "NL; Hoofdstraat 12, 1011 AB Amsterdam; het huisnummer is 14|Hoofdstraat 14, 1011 AB Amsterdam; "
    "de postcode is 1012 AB|Hoofdstraat 12, 1012 AB Amsterdam; nee, Kerkstraat|Kerkstraat 12, 1011 AB Amsterdam; "
    "nee, in Utrecht|Hoofdstraat 12, 1011 AB Utrecht; het huisnummer klopt niet|",
    "en": "US; 12 Main Street, Portland, Oregon 97201; a friend of mine|-; Elm Street no 12|-",
}


@pytest.mark.parametrize(
    ("language", "said"),
    [(code, one.strip()) for code, some in ADDRESSES.items() for one in some.split(";")[2:]],
)
def test_a_part_of_an_address_is_put_right(language: str, said: str) -> None:
    region, first, *_ = (part.strip() for part in ADDRESSES[language].split(";"))
    words, _, after = said.partition("|")
    reader = AddressReader(language, region=region)
    assert reader.hear(first) is Reading.WHOLE
    reading = reader.hear(words, checking=True)
    if after and after != "-":
        assert reading is Reading.WHOLE
        assert reader.value.text == after
    elif not after:  # and the right one is asked for
        assert reading is Reading.PART
        assert reader.missing(str) == "address_number"
    else:
        assert "friend" not in reader.value.text
        assert reader.value.text.startswith(("12 Main Street", "Elm Street"))


DAYS = {
    "it": "venerdì non posso|; qualsiasi giorno tranne venerdì|; ho chiamato lunedì e nessuno ha risposto|; "
    "dopodomani|2026-12-01; non venerdì, sabato|2026-12-05; venerdì o sabato|; domattina|2026-11-30; "
    "avete posto venerdì?|2026-12-04; che ne dice di venerdì?|2026-12-04; quando avete posto lunedì?|",
    "pt": "na sexta não posso|; qualquer dia menos sexta|; liguei na segunda e ninguém atendeu|; "
    "depois de amanhã|2026-12-01; sexta não, sábado|2026-12-05; daqui a duas semanas|2026-12-13; "
    "que tal sexta?|2026-12-04; têm algo livre na sexta-feira?|2026-12-04; em uma semana|2026-12-06",
    "nl": "vrijdag kan ik niet|; elke dag behalve vrijdag|; ik heb maandag gebeld en niemand nam op|; "
    "overmorgen|2026-12-01; niet vrijdag, zaterdag|2026-12-05; maandagmiddag|2026-11-30; "
    "de vierde december|2026-12-04; goede morgen, vrijdag graag|2026-12-04; wat dacht u van vrijdag?|2026-12-04; "
    "heeft u vrijdag nog plek?|2026-12-04; vrijdag is geschikt|2026-12-04",
}


@pytest.mark.parametrize(
    ("language", "said"), [(code, one.strip()) for code, some in DAYS.items() for one in some.split(";")]
)
def test_a_day_that_is_not_meant_is_none(language: str, said: str) -> None:
    pytest.importorskip("dateparser")
    words, _, day = said.partition("|")
    reader = DateReader(language, today=lambda: date(2026, 11, 29), past=False, day_first=True)  # a Sunday
    assert reader.hear(words) is (Reading.WHOLE if day else Reading.NOTHING)
    assert not day or reader.value == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fr", "vendredi de la semaine prochaine"),
        ("es", "el viernes de la próxima semana"),
        ("it", "venerdì della prossima settimana"),
        ("pt", "sexta-feira da próxima semana"),
        ("nl", "volgende week vrijdag"),
    ],
)
def test_a_day_of_next_week_is_none_of_this_week(language: str, said: str) -> None:
    pytest.importorskip("dateparser")
    reader = DateReader(language, today=lambda: date(2026, 11, 30), past=False, day_first=True)  # a Monday
    assert reader.hear(said) is Reading.WHOLE
    assert reader.value == date(2026, 12, 11)


@pytest.mark.parametrize(
    ("language", "yes"), [("fr", "oui"), ("es", "sí"), ("it", "sì"), ("pt", "sim"), ("nl", "ja")]
)
def test_a_call_in_a_language_asks_corrects_and_confirms_in_it(language: str, yes: str) -> None:
    first, correction, *_ = said_in(language)

    async def form(call):  # type: ignore[no-untyped-def]
        return await collect_digits(call, length=4, read_back=True)

    outcomes, call = collected_in(form, say("...", first, correction, yes), language=language)
    assert value_of(outcomes) == "4157"
    phrases = collect_phrases_in(language)
    call.assert_said(phrases.digits)
    call.assert_said(phrases.check.replace("{value}", "4 1 5 7"))
    assert "I have" not in call.said
