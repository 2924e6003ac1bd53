"""Sentences that callers say beside a value: no collection takes anything of them."""

from __future__ import annotations

from datetime import date

import pytest

from piopiy_pipeline.collect.collection import Collection, Doing
from piopiy_pipeline.collect.date_reader import DateReader
from piopiy_pipeline.collect.digits import DigitsReader
from piopiy_pipeline.collect.email_address import EmailReader
from piopiy_pipeline.collect.phone_number import PhoneNumberReader
from piopiy_pipeline.collect.phrases import collect_phrases_in
from piopiy_pipeline.collect.postal_address import AddressReader
from piopiy_pipeline.collect.value_reader import Reading, ValueReader
from piopiy_pipeline.collect.yes_no import YesNoReader

TODAY = date(2026, 11, 29)  # a Sunday
SENTENCES = {
    "en": """
        What do you need that for?
        Why do you want to know that?
        Who am I speaking to?
        Are you a real person?
        Am I talking to a machine?
        What are your opening hours on Saturday?
        Are you open on Sunday?
        How long does it take?
        How much does it cost?
        Can you hear me?
        Could you speak up a bit?
        Where are you calling from?
        Do I get a confirmation?
        When will my parcel come?
        Is there a fee for that?
        I'm calling about my order.
        I'm calling about the bill from last month.
        I have a question about my contract.
        I have a problem with my router.
        I need to speak to someone in the billing department.
        I'd like to talk to a human.
        Can I speak to the manager?
        Put me through to an agent please.
        Operator
        customer service
        I've been waiting for twenty minutes.
        I've called three times already.
        I called on Monday and nobody answered.
        You told me on Friday that it was done.
        My husband comes home tomorrow evening from Berlin.
        We have had this problem since Tuesday.
        It was delivered to the house next door.
        My neighbour took it in.
        The driver was very rude.
        This is ridiculous.
        This is the third time this happens.
        Nobody ever calls me back.
        The line is very bad.
        There is an echo on the line.
        I can't hear you very well.
        I live with my mother.
        I live on my own.
        My daughter is at school.
        I'm at work right now.
        I'm in the car at the moment.
        I'm driving, that's why it is so loud.
        I have two children.
        There are four of us.
        I am seventy two years old.
        I was born in nineteen eighty four in a small town.
        It's about ten past four here.
        Thank you very much for your help.
        Thanks a lot
        Hello?
        Good morning.
        Hello, is anybody there?
        Sorry, my dog is barking.
        Honey, can you turn that down?
        Mum, what is the number of the house?
        Be quiet, I am on the phone.
        It hurts when I move my arm.
        What's the point of that?
        That is a good point.
        I just want to know where my parcel is.
    """,
    "de": """
        Wofür brauchen Sie das?
        Warum wollen Sie das wissen?
        Mit wem spreche ich?
        Sind Sie ein echter Mensch?
        Wann haben Sie geöffnet?
        Haben Sie am Sonntag offen?
        Was kostet das?
        Können Sie mich hören?
        Ich rufe wegen meiner Bestellung an.
        Ich habe eine Frage zu meiner Rechnung.
        Ich möchte mit einem Mitarbeiter sprechen.
        Ich warte seit zwanzig Minuten.
        Ich habe schon dreimal angerufen.
        Ich habe am Montag angerufen und keiner ist rangegangen.
        Sie haben mir am Freitag gesagt, dass es fertig ist.
        Das Problem haben wir seit Dienstag.
        Das ist eine Frechheit.
        Die Verbindung ist sehr schlecht.
        Ich wohne bei meiner Mutter.
        Ich bin gerade bei der Arbeit.
        Ich habe zwei Kinder.
        Ich bin zweiundsiebzig Jahre alt.
        Es ist kurz nach vier Uhr.
        Vielen Dank für Ihre Hilfe.
        Guten Morgen
        Hallo?
        Entschuldigung, mein Hund bellt.
        Schatz, kannst du das leiser machen?
        Wie ist das Wetter bei Ihnen?
        Ich wollte nur wissen, wo mein Paket ist.
    """,
    "fr": """
        Pourquoi voulez-vous savoir ça ?
        Qui est à l'appareil ?
        Est-ce que vous m'entendez ?
        J'appelle pour ma commande.
        J'ai une question sur ma facture.
        Je voudrais parler à un conseiller.
        J'attends depuis vingt minutes.
        J'ai appelé lundi et personne n'a répondu.
        La ligne est très mauvaise, je vous entends mal.
        J'habite avec ma mère.
        J'ai deux enfants.
        Merci beaucoup pour votre aide.
        Bonjour
    """,
    "es": """
        ¿Para qué necesita eso?
        ¿Quién habla?
        ¿Me escucha?
        Llamo por mi pedido.
        Tengo una pregunta sobre mi factura.
        Quiero hablar con una persona.
        Estoy esperando desde hace veinte minutos.
        Llamé el lunes y nadie contestó.
        Vivo con mi madre.
        Tengo dos hijos.
        Muchas gracias por su ayuda.
        Hola
    """,
    "it": """
        Perché vuole saperlo?
        Chi parla?
        Mi sente?
        Chiamo per il mio ordine.
        Ho una domanda sulla mia fattura.
        Vorrei parlare con un operatore.
        Aspetto da venti minuti.
        Ho chiamato lunedì e nessuno ha risposto.
        La linea è molto disturbata.
        Vivo con mia madre.
        Ho due figli.
        Ho già chiamato tre volte.
        Grazie mille per il suo aiuto.
        Buongiorno
    """,
    "pt": """
        Por que quer saber isso?
        Quem fala?
        Está me ouvindo?
        Estou ligando sobre o meu pedido.
        Tenho uma pergunta sobre a minha fatura.
        Quero falar com um atendente.
        Estou esperando há vinte minutos.
        Liguei na segunda e ninguém atendeu.
        A ligação está muito ruim.
        Moro com a minha mãe.
        Tenho dois filhos.
        Já liguei três vezes.
        Muito obrigado pela sua ajuda.
        Bom dia
    """,
    "nl": """
        Waarom wilt u dat weten?
        Met wie spreek ik?
        Hoort u mij?
        Ik bel over mijn bestelling.
        Ik heb een vraag over mijn rekening.
        Ik wil een medewerker spreken.
        Ik wacht al twintig minuten.
        Ik heb maandag gebeld en er nam niemand op.
        De verbinding is heel slecht.
        Ik woon bij mijn moeder.
        Ik heb twee kinderen.
        Ik heb al drie keer gebeld.
        Hartelijk dank voor uw hulp.
        Goedemorgen
    """,
}
REGIONS = {"en": "US", "de": "DE", "fr": "FR", "es": "ES", "it": "IT", "pt": "PT", "nl": "NL"}


def sentences(code: str) -> list[str]:
    return [text.strip() for text in SENTENCES[code].strip().splitlines()]


def reader_of(kind: str, code: str) -> ValueReader[object]:
    region = REGIONS[code]
    made = {
        "code": lambda: DigitsReader(code, least=4, most=4),
        "digits": lambda: DigitsReader(code, least=1, most=32),
        "phone_number": lambda: PhoneNumberReader(code, region=region),
        "email": lambda: EmailReader(code),
        "date": lambda: DateReader(code, today=lambda: TODAY, past=False, day_first=True),
        "address": lambda: AddressReader(code, region=region),
        "confirm": lambda: YesNoReader(code),
    }
    reader: ValueReader[object] = made[kind]()  # type: ignore[assignment]
    return reader


PARTS = {
    "code": "4 1",
    "phone_number": "0 3 0 1 2",
    "email": "j o h n",
    "address": "12 Main Street",
}
KINDS = ["code", "digits", "phone_number", "email", "date", "address", "confirm"]


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_taken_of_a_sentence_that_has_no_value(kind: str, code: str) -> None:
    if kind == "date" and code != "en":
        pytest.importorskip("dateparser")
    taken = []
    for said in sentences(code):
        reader = reader_of(kind, code)
        form = Collection(reader, prompt="Well?", phrases=collect_phrases_in(code), read_back=True)
        form.begin()
        form.was_heard()
        before = reader.state()
        act = form.hear(said)
        goes_on = act.doing in (Doing.ASK_MODEL, Doing.WAIT) or "Well?" in act.text
        if reader.state() != before or not goes_on:
            taken.append((said, reader.state(), act))
    assert not taken


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("kind", PARTS)
def test_a_part_of_a_value_stays_as_it_is(kind: str, code: str) -> None:
    changed = []
    for said in sentences(code):
        reader = reader_of(kind, code)
        assert reader.hear(PARTS[kind]) is Reading.PART
        before = reader.state()
        if reader.hear(said) is not Reading.NOTHING or reader.state() != before:
            changed.append((said, reader.state()))
    assert not changed
