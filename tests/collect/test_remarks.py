"""What callers say about a question, alone and beside the value, in each language that has words for it."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect.collected import NoValueReason
from piopiy_pipeline.collect.collection import Collection, Doing, NextStep
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading, ValueReader
from piopiy_pipeline.collect.yes_no import YesNoReader

TODAY = date(2026, 11, 29)  # a Sunday
PROMPT = "And?"


def asked(kind: str, language: str) -> Collection[object]:
    """Return a collection whose question was heard."""
    readers: dict[str, ValueReader[object]] = {
        "date": DateReader(language, today=lambda: TODAY, past=False, day_first=True),  # type: ignore[dict-item]
        "digits": DigitsReader(language, least=4, most=4),  # type: ignore[dict-item]
        "phone": PhoneNumberReader(language, region="DE"),  # type: ignore[dict-item]
        "email": EmailReader(language),  # type: ignore[dict-item]
        "address": AddressReader(language, region="US"),  # type: ignore[dict-item]
    }
    phrases = collect_phrases_in(language)
    made = Collection(readers[kind], prompt=PROMPT, phrases=phrases, read_back=True)
    made.begin()
    made.was_heard()
    return made


@pytest.mark.parametrize(
    ("kind", "language", "said", "value"),
    [
        ("digits", "en", "Excuse me, it's four one five seven.", "4 1 5 7"),
        ("digits", "en", "excuse me four one five seven", "4 1 5 7"),
        ("digits", "en", "Sorry, what was that? Four one five seven.", "4 1 5 7"),
        ("digits", "en", "no idea, let me see, four one five seven", "4 1 5 7"),
        ("digits", "en", "From the beginning: four one five seven.", "4 1 5 7"),
        ("digits", "de", "Noch mal von vorne: vier eins fünf sieben.", "4 1 5 7"),
        ("digits", "fr", "Pardon, vous dites ? Quatre un cinq sept.", "4 1 5 7"),
        ("phone", "en", "Pardon, zero three zero, one two three four five six", "0 3 0, 1 2 3, 4 5 6"),
        ("date", "en", "I don't know, maybe Friday.", "Friday, December 4"),
        ("date", "en", "Never mind Thursday, Friday.", "Friday, December 4"),
        ("date", "de", "Das ist mir egal, Freitag.", "Freitag, 4. Dezember"),
        ("date", "de", "Ich habe keine Zeit am Montag, aber Freitag geht.", "Freitag, 4. Dezember"),
        ("email", "en", "Pardon, john at gmail dot com.", "J O H N, at gmail dot com"),
        ("address", "en", "Excuse me, 12 Main Street, Portland, Oregon 97201.", "12 Main Street"),
    ],
)
def test_who_gives_the_value_beside_a_remark_has_given_it(
    kind: str, language: str, said: str, value: str
) -> None:
    if language != "en" and kind == "date":
        pytest.importorskip("dateparser")
    form = asked(kind, language)
    act = form.hear(said)
    assert act.doing is Doing.SAY
    assert form.checking
    assert value in act.text


def test_a_part_of_a_number_is_kept_beside_a_remark_and_none_beside_a_wish_to_begin_anew() -> None:
    form = asked("digits", "en")
    assert form.hear("excuse me, four one").text == "I have 4 1 so far. Please go on."
    assert form.hear("let me start over: five nine").text == "I have 5 9 so far. Please go on."


def test_a_remark_at_a_value_that_was_read_back_may_correct_it() -> None:
    form = asked("digits", "en")
    form.hear("four one five seven")
    form.was_heard()
    assert form.hear("Excuse me, it's four one five eight.").text == "I have 4 1 5 8. Is that right?"
    form.was_heard()
    assert form.hear("what was that?").text == "I have 4 1 5 8. Is that right?"


REFUSED = {
    "en": "skip it; never mind; I don't know; I don't have one; I'd rather not say; I don't have an e-mail address; "
    "I have no e-mail; I don't have any",
    "de": "egal; keine Ahnung; das möchte ich nicht sagen; die will ich Ihnen nicht sagen; das sage ich nicht; "
    "ich habe keine; ich habe keine E-Mail; vergessen Sie es",
    "fr": "laissez tomber; je ne sais pas; je ne veux pas le dire; je préfère ne pas le dire; je n'en ai pas; "
    "je n'ai pas d'adresse; oubliez ça; je n'ai pas de mail",
    "es": "déjelo; olvídelo; no lo sé; no quiero decirlo; prefiero no decirlo; no tengo; no tengo correo; ni idea",
    "it": "lasci perdere; lasciamo stare; non lo so; non voglio dirlo; preferisco di no; non ce l'ho; non ho un'e-mail",
    "pt": "deixa pra lá; deixe isso; não sei; não quero dizer; prefiro não dizer; não tenho; não tenho e-mail; esqueça",
    "nl": "laat maar; vergeet het; ik weet het niet; dat wil ik niet zeggen; dat zeg ik liever niet; "
    "ik heb er geen; ik heb geen e-mail; geen idee",
}
REPEATED = {
    "en": "what was that?; pardon?; I didn't catch that; sorry?",
    "de": "wie bitte?; das habe ich nicht verstanden; was?",
    "fr": "pardon ?; vous pouvez répéter ?; je n'ai pas compris; comment ?",
    "es": "¿cómo?; ¿puede repetir?; no le he entendido; ¿perdón?",
    "it": "come?; come scusi?; può ripetere?; non ho capito",
    "pt": "como?; pode repetir?; não entendi; perdão?",
    "nl": "wat zegt u?; kunt u dat herhalen?; dat heb ik niet verstaan; pardon?",
}
WAITS = {
    "en": "one moment please",
    "de": "einen Moment bitte",
    "fr": "un instant s'il vous plaît; attendez",
    "es": "un momento por favor; espere",
    "it": "un attimo per favore; aspetti",
    "pt": "um momento por favor; espere",
    "nl": "een moment; wacht even; even kijken",
}


def _sentences(texts: dict[str, str]) -> list[tuple[str, str]]:
    return [(language, said.strip()) for language, all_said in texts.items() for said in all_said.split(";")]


@pytest.mark.parametrize("kind", ["email", "digits", "address"])
@pytest.mark.parametrize(("language", "said"), _sentences(REFUSED))
def test_who_does_not_want_to_say_it_has_refused(kind: str, language: str, said: str) -> None:
    assert asked(kind, language).hear(said) == NextStep(Doing.FAIL, why=NoValueReason.REFUSED)


@pytest.mark.parametrize("kind", ["email", "digits", "address"])
@pytest.mark.parametrize(("language", "said"), _sentences(REPEATED))
def test_who_has_not_heard_hears_the_question_again(kind: str, language: str, said: str) -> None:
    form = asked(kind, language)
    assert form.hear(said) == NextStep(Doing.SAY, PROMPT)
    assert form.attempts == 0


@pytest.mark.parametrize("kind", ["email", "digits", "address"])
@pytest.mark.parametrize(("language", "said"), _sentences(WAITS))
def test_who_needs_a_moment_is_waited_for(kind: str, language: str, said: str) -> None:
    assert asked(kind, language).hear(said).doing is Doing.WAIT


def test_who_has_no_time_on_a_day_has_not_refused_to_name_one() -> None:
    assert asked("date", "en").hear("I don't have any time on Friday").doing is Doing.ASK_MODEL


def test_a_refusal_is_none_to_a_yes_or_no_question() -> None:
    phrases = collect_phrases_in("en")
    form = Collection(YesNoReader("en"), prompt=PROMPT, phrases=phrases, read_back=False)
    form.begin()
    form.was_heard()
    assert form.hear("I don't know").doing is Doing.SAY


class AnyWords(YesNoReader):
    """Takes whatever is said for the value, as a reader of names does."""

    kind = "name"
    expects = "open"

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        self._answer = True
        return Reading.WHOLE


def test_to_a_reader_that_takes_any_words_a_remark_is_no_value() -> None:
    for said in ("never mind, thanks", "I don't have one, I'll call back later"):
        form = Collection(AnyWords("en"), prompt=PROMPT, phrases=collect_phrases_in("en"), read_back=False)
        assert form.hear(said).why is NoValueReason.REFUSED
