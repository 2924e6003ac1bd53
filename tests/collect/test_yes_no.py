"""What callers answer to a question for a yes or a no, and to a value that is read back to them."""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect.yes_no import says_yes

ANSWERS = {
    ("en", True): (
        "no problem; why not; yes, why not; yes please; yeah, that'd be great; sure thing; you bet; I "
        "suppose so; Y; 👍; 👍🏽; it is; I do; please do; correct; that's right, thank you; all good; looks good "
        "to me; fine by me; that works; yes but it's Smith with a y; uh-huh; mhm; mm-hmm; yep that's "
        "me; that's me; okay; affirmative; of course; definitely; hell yes; right"
    ),
    ("en", False): (
        "That's wrong; No, that is the wrong number; it's wrong; wrong; the street is wrong; I never "
        "said that; Not that I know of; not yet; absolutely not; not exactly; it isn't; I don't; "
        "please don't; incorrect; that is not correct; I'm afraid not; I'd rather not; no thanks, "
        "that's fine; no, that's everything; nah I'm good; I have no e-mail; nuh uh; uh-uh; no no no; "
        "negative; n; 👎; no way; definitely not; that won't work; I won't be there; not at all; you got it "
        "wrong; you got that wrong; I'm not at home; he is not here right now; no, I was told that "
        "you do not deliver on Sundays"
    ),
    ("en", None): (
        "That is the wrong house; the wrong number; you have the wrong number; That is the wrong "
        "number; wrong day; never mind; I don't know; I'm not sure; no idea; I don't mind; I don't "
        "care; I did not hear you; I can't hear you; I didn't get that; I do not understand; Don't "
        "hang up; that's not wrong; nothing is wrong with it; yeah no; no yeah; I guess; hold on; is "
        "that right?; what?; there's nothing wrong with it; Okay, wait; no, wait, yes; Could you say "
        "that again?; no, it's fine; the other one; something is wrong with my phone; there is no one "
        "here; I was told that you do not deliver on Sundays"
    ),
    ("de", True): (
        "ja; jaaa; jep; j; machen Sie das; Ja, bitte; kein Problem; warum nicht; passt; stimmt; "
        "das stimmt so; alles klar; alles "
        "gut; auf jeden Fall; klar doch; na klar; ich glaube schon; ich denke schon; bestimmt; doch; "
        "mhm; so ist es; das wäre toll; sehr gerne; genau so; in Ordnung; das geht; meinetwegen; von "
        "mir aus; richtig"
    ),
    ("de", False): (
        "nein; die Nummer ist falsch; passt nicht; stimmt nicht; auf keinen Fall; lieber nicht; nicht "
        "wirklich; noch nicht; ich glaube nicht; ich habe keine E-Mail; nein danke, passt schon; "
        "nicht ganz; das geht nicht; ich bin nicht zu Hause; nicht richtig; ich bin sicher, dass es "
        "falsch ist; das habe ich nicht gesagt"
    ),
    ("de", None): (
        "das ist das falsche Haus; falsche Nummer; ich weiß es nicht; keine Ahnung; ich habe Sie "
        "nicht verstanden; nee ja; ist das richtig?; jein; ja aber nicht am Freitag; ich bin mir "
        "nicht sicher; Moment; das ist ja schön; ich habe gehört dass Sie sonntags leider nicht "
        "liefern"
    ),
    ("es", True): (
        "sí; Si; dale; sí, por favor; claro; por supuesto; correcto; vale; de acuerdo; así es; exacto; está bien"
    ),
    ("es", False): ("no; no, gracias; claro que no; no es correcto; no está bien; eso no; está mal; tampoco"),
    ("es", None): ("no sé; no le entiendo; quizás; ¿es correcto?; el número equivocado"),
    ("fr", True): (
        "oui; ouais; oui s'il vous plaît; si; d'accord; c'est ça; c'est bien ça; c'est exact; bien "
        "sûr; tout à fait; exactement; pourquoi pas; pas de problème; volontiers"
    ),
    ("fr", False): (
        "non; non merci; ce n'est pas ça; c'est pas ça; pas du tout; bien sûr que non; c'est faux; "
        "absolument pas"
    ),
    ("fr", None): ("je ne sais pas; je n'ai pas compris; peut-être; le mauvais numéro"),
    ("it", True): (
        "sì; Si; va benissimo; sì, grazie; certo; ma certo; esatto; va bene; d'accordo; perché no; nessun problema"
    ),
    ("it", False): ("no; no grazie; certo che no; non è giusto; è sbagliato; per niente"),
    ("it", None): (
        "il numero sbagliato; non lo so; non ho capito; forse; un attimo; è giusto?; un certo signor Rossi"
    ),
    ("pt", True): (
        "sim; tá; sim, por favor; claro; isso mesmo; com certeza; está bem; por que não; sem problema"
    ),
    ("pt", False): ("não; não, obrigado; claro que não; não está certo; está errado"),
    ("pt", None): ("número errado; não sei; não entendi; não tenho certeza; talvez; está certo?"),
    ("nl", True): (
        "ja; ja hoor; ja, graag; klopt; dat klopt; dat is goed; natuurlijk; prima; geen probleem; waarom niet"
    ),
    ("nl", False): ("nee; nee, dank u; dat klopt niet; natuurlijk niet; helemaal niet; dat is fout"),
    ("hi", True): ("हाँ; जी हाँ; हां जी; ठीक है; बिल्कुल; सही है; कोई बात नहीं; haan; haan ji; theek hai; okay"),
    ("hi", False): ("नहीं; जी नहीं; नहीं, धन्यवाद; यह सही नहीं है; गलत है; nahi; nahin; sahi nahi hai"),
    ("hi", None): ("पता नहीं; मुझे समझ नहीं आया; शायद; सही है?; गलत नंबर; pata nahi; ek minute"),
    ("nl", None): ("het verkeerde nummer; weet ik niet; geen idee; ik versta u niet; misschien; klopt dat?"),
}
"""Answers by language and what they say: yes, no, or neither."""


@pytest.mark.parametrize(
    ("language", "text", "says"),
    [(language, text, says) for (language, says), texts in ANSWERS.items() for text in texts.split("; ")],
)
def test_what_an_answer_to_a_question_says(language: str, text: str, says: bool | None) -> None:
    assert says_yes(text, language) is says


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "that's the wrong number"),
        ("en", "you got it wrong"),
        ("en", "that is not the number that I have just given to you"),
        ("de", "das ist die falsche Nummer"),
        ("de", "falsche Nummer"),
        ("fr", "c'est le mauvais numéro"),
        ("es", "es el número equivocado"),
        ("it", "il numero è sbagliato"),
        ("pt", "número errado"),
        ("hi", "गलत नंबर"),
        ("nl", "het verkeerde nummer"),
    ],
)
def test_who_calls_a_value_wrong_that_is_read_back_has_said_no(language: str, text: str) -> None:
    assert says_yes(text, language, of_value=True) is False


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I don't understand"),
        ("en", "something is wrong with my phone"),
        ("de", "ich habe Sie nicht verstanden"),
        ("fr", "je n'ai pas compris"),
        ("es", "no le entiendo"),
        ("it", "non ho sentito"),
        ("pt", "não entendi"),
        ("nl", "ik versta u niet"),
    ],
)
def test_who_has_not_understood_has_answered_nothing(language: str, text: str) -> None:
    assert says_yes(text, language, of_value=True) is None
