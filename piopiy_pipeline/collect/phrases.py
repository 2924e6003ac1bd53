"""What a collection says: by language, and to be replaced by an author's own words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from piopiy_pipeline.turns.caller_words import language_code

__all__ = ["CollectPhrases", "collect_phrases_in"]


@dataclass(frozen=True, slots=True)
class CollectPhrases:
    """The phrases of one language. ``{value}`` is what was collected so far, as it is read back."""

    digits: str
    """Asks for a number, if the author has given no prompt; the next ones likewise."""
    phone_number: str
    email: str
    date: str
    address: str
    check: str
    """Reads a value back."""
    not_understood: str
    """Before the question is asked again."""
    again: str
    """After a "no" to what was read back."""
    what_is_wrong: str
    """After a correction that is not clear."""
    silence: str
    """To a caller who says nothing, before the question is asked again."""
    go_on: str
    digits_so_far: str
    digits_too_many: str
    digits_wrong: str
    phone_wrong: str
    email_rest: str
    email_wrong: str
    date_wrong: str
    date_too_early: str
    date_too_late: str
    address_number: str
    address_town: str
    yes_or_no: str
    invalid: str
    key_hint: str
    """After a second failure, where keys can be pressed."""
    address_street: str = "And the street?"
    """After "the street is wrong"; of other parts the questions for what is missing."""
    no_answer: str = ""
    """In a text chat, in the place of `silence`. Empty: that."""


_ENGLISH = CollectPhrases(
    digits="Please tell me the number, or press the keys.",
    phone_number="What is your telephone number?",
    email="What is your e-mail address? You can spell it.",
    date="Which day?",
    address="What is your address?",
    check="I have {value}. Is that right?",
    not_understood="I am sorry, I did not get that.",
    again="Sorry about that.",
    what_is_wrong="Please say all of it once more.",
    silence="I did not hear anything.",
    go_on="And the rest?",
    digits_so_far="I have {value} so far. Please go on.",
    digits_too_many="Those are too many digits.",
    digits_wrong="That number does not seem to be right.",
    phone_wrong="That does not seem to be a telephone number.",
    email_rest="I have {value} so far. And what comes after the at?",
    email_wrong="That does not seem to be an e-mail address.",
    date_wrong="I did not get which day that is.",
    date_too_early="{value} is too early.",
    date_too_late="{value} is too late.",
    address_number="And the house number?",
    address_town="And the postal code and the town?",
    yes_or_no="Please say yes or no.",
    invalid="That does not seem to be right.",
    key_hint="You can also press the keys.",
    no_answer="There was no answer.",
)
_GERMAN = CollectPhrases(
    digits="Bitte nennen Sie mir die Nummer, oder drücken Sie die Tasten.",
    phone_number="Wie lautet Ihre Telefonnummer?",
    email="Wie lautet Ihre E-Mail-Adresse? Sie können sie buchstabieren.",
    date="An welchem Tag?",
    address="Wie lautet Ihre Adresse?",
    check="Ich habe {value}. Ist das richtig?",
    not_understood="Das habe ich leider nicht verstanden.",
    again="Entschuldigung.",
    what_is_wrong="Bitte sagen Sie noch einmal alles.",
    silence="Ich habe nichts gehört.",
    go_on="Und weiter?",
    digits_so_far="Ich habe bisher {value}. Bitte sprechen Sie weiter.",
    digits_too_many="Das sind zu viele Ziffern.",
    digits_wrong="Diese Nummer scheint nicht zu stimmen.",
    phone_wrong="Das scheint keine Telefonnummer zu sein.",
    email_rest="Ich habe bisher {value}. Und was kommt nach dem At?",
    email_wrong="Das scheint keine E-Mail-Adresse zu sein.",
    date_wrong="Ich habe nicht verstanden, welcher Tag das ist.",
    date_too_early="{value} ist zu früh.",
    date_too_late="{value} ist zu spät.",
    address_number="Und die Hausnummer?",
    address_town="Und die Postleitzahl und der Ort?",
    yes_or_no="Bitte sagen Sie ja oder nein.",
    invalid="Das scheint nicht zu stimmen.",
    key_hint="Sie können auch die Tasten drücken.",
    address_street="Und die Straße?",
    no_answer="Es kam keine Antwort.",
)
_FRENCH = CollectPhrases(
    digits="Dites-moi le numéro, ou composez-le sur le clavier.",
    phone_number="Quel est votre numéro de téléphone ?",
    email="Quelle est votre adresse e-mail ? Vous pouvez l'épeler.",
    date="Quel jour ?",
    address="Quelle est votre adresse ?",
    check="J'ai noté {value}. C'est bien ça ?",
    not_understood="Désolé, je n'ai pas compris.",
    again="Excusez-moi.",
    what_is_wrong="Pouvez-vous tout redire, s'il vous plaît ?",
    silence="Je n'ai rien entendu.",
    go_on="Et la suite ?",
    digits_so_far="J'ai {value} pour l'instant. Continuez, s'il vous plaît.",
    digits_too_many="Il y a trop de chiffres.",
    digits_wrong="Ce numéro ne semble pas correct.",
    phone_wrong="Cela ne semble pas être un numéro de téléphone.",
    email_rest="J'ai {value} pour l'instant. Et qu'y a-t-il après l'arobase ?",
    email_wrong="Cela ne semble pas être une adresse e-mail.",
    date_wrong="Je n'ai pas compris de quel jour il s'agit.",
    date_too_early="{value}, c'est trop tôt.",
    date_too_late="{value}, c'est trop tard.",
    address_number="Et le numéro dans la rue ?",
    address_town="Et le code postal et la ville ?",
    yes_or_no="Répondez par oui ou par non, s'il vous plaît.",
    invalid="Cela ne semble pas correct.",
    key_hint="Vous pouvez aussi utiliser le clavier.",
    address_street="Et le nom de la rue ?",
    no_answer="Je n'ai pas reçu de réponse.",
)
_SPANISH = CollectPhrases(
    digits="Dígame el número, por favor, o márquelo en el teclado.",
    phone_number="¿Cuál es su número de teléfono?",
    email="¿Cuál es su correo electrónico? Puede deletrearlo.",
    date="¿Qué día?",
    address="¿Cuál es su dirección?",
    check="Tengo {value}. ¿Es correcto?",
    not_understood="Lo siento, no le he entendido.",
    again="Disculpe.",
    what_is_wrong="Por favor, dígalo todo otra vez.",
    silence="No he oído nada.",
    go_on="¿Y el resto?",
    digits_so_far="Por ahora tengo {value}. Siga, por favor.",
    digits_too_many="Son demasiadas cifras.",
    digits_wrong="Ese número no parece correcto.",
    phone_wrong="Eso no parece un número de teléfono.",
    email_rest="Por ahora tengo {value}. ¿Y qué viene después de la arroba?",
    email_wrong="Eso no parece un correo electrónico.",
    date_wrong="No he entendido qué día es.",
    date_too_early="{value} es demasiado pronto.",
    date_too_late="{value} es demasiado tarde.",
    address_number="¿Y el número de la calle?",
    address_town="¿Y el código postal y la ciudad?",
    yes_or_no="Por favor, diga sí o no.",
    invalid="Eso no parece correcto.",
    key_hint="También puede usar el teclado.",
    address_street="¿Y el nombre de la calle?",
    no_answer="No he recibido respuesta.",
)
_ITALIAN = CollectPhrases(
    digits="Mi dica il numero, oppure lo digiti sulla tastiera.",
    phone_number="Qual è il suo numero di telefono?",
    email="Qual è il suo indirizzo e-mail? Può dirlo lettera per lettera.",
    date="Che giorno?",
    address="Qual è il suo indirizzo?",
    check="Ho capito {value}. È giusto?",
    not_understood="Mi dispiace, non ho capito.",
    again="Mi scusi.",
    what_is_wrong="Per favore, ripeta tutto.",
    silence="Non ho sentito nulla.",
    go_on="E il resto?",
    digits_so_far="Finora ho {value}. Continui, per favore.",
    digits_too_many="Sono troppe cifre.",
    digits_wrong="Questo numero non sembra giusto.",
    phone_wrong="Non sembra un numero di telefono.",
    email_rest="Finora ho {value}. E cosa viene dopo la chiocciola?",
    email_wrong="Non sembra un indirizzo e-mail.",
    date_wrong="Non ho capito di che giorno si tratta.",
    date_too_early="{value} è troppo presto.",
    date_too_late="{value} è troppo tardi.",
    address_number="E il numero civico?",
    address_town="E il codice postale e la città?",
    yes_or_no="Per favore, dica sì o no.",
    invalid="Non sembra giusto.",
    key_hint="Può usare anche la tastiera.",
    address_street="E il nome della via?",
    no_answer="Non ho ricevuto risposta.",
)
_PORTUGUESE = CollectPhrases(
    digits="Por favor, diga o número, ou digite-o no teclado.",
    phone_number="Qual é o seu número de telefone?",
    email="Qual é o seu endereço de e-mail? Pode soletrar.",
    date="Que dia?",
    address="Qual é o seu endereço?",
    check="Tenho {value}. Está correto?",
    not_understood="Desculpe, não entendi.",
    again="Peço desculpa.",
    what_is_wrong="Por favor, diga tudo outra vez.",
    silence="Não ouvi nada.",
    go_on="E o resto?",
    digits_so_far="Até agora tenho {value}. Continue, por favor.",
    digits_too_many="São dígitos a mais.",
    digits_wrong="Esse número não parece correto.",
    phone_wrong="Isso não parece um número de telefone.",
    email_rest="Até agora tenho {value}. E o que vem depois da arroba?",
    email_wrong="Isso não parece um endereço de e-mail.",
    date_wrong="Não entendi que dia é.",
    date_too_early="{value} é cedo demais.",
    date_too_late="{value} é tarde demais.",
    address_number="E o número da porta?",
    address_town="E o código postal e a cidade?",
    yes_or_no="Por favor, diga sim ou não.",
    invalid="Isso não parece correto.",
    key_hint="Também pode usar o teclado.",
    address_street="E o nome da rua?",
    no_answer="Não recebi resposta.",
)
_BRAZILIAN = replace(
    _PORTUGUESE,
    again="Desculpe.",
    what_is_wrong="Por favor, diga tudo de novo.",
    address_number="E o número da casa?",
    address_town="E o CEP e a cidade?",
)
_DUTCH = CollectPhrases(
    digits="Noem het nummer, of toets het in.",
    phone_number="Wat is uw telefoonnummer?",
    email="Wat is uw e-mailadres? U kunt het spellen.",
    date="Welke dag?",
    address="Wat is uw adres?",
    check="Ik heb {value}. Klopt dat?",
    not_understood="Sorry, dat heb ik niet verstaan.",
    again="Excuses.",
    what_is_wrong="Wilt u alles nog een keer zeggen?",
    silence="Ik heb niets gehoord.",
    go_on="En de rest?",
    digits_so_far="Ik heb tot nu toe {value}. Gaat u verder.",
    digits_too_many="Dat zijn te veel cijfers.",
    digits_wrong="Dat nummer lijkt niet te kloppen.",
    phone_wrong="Dat lijkt geen telefoonnummer te zijn.",
    email_rest="Ik heb tot nu toe {value}. En wat komt er na het apenstaartje?",
    email_wrong="Dat lijkt geen e-mailadres te zijn.",
    date_wrong="Ik heb niet verstaan welke dag dat is.",
    date_too_early="{value} is te vroeg.",
    date_too_late="{value} is te laat.",
    address_number="En het huisnummer?",
    address_town="En de postcode en de plaats?",
    yes_or_no="Zegt u alstublieft ja of nee.",
    invalid="Dat lijkt niet te kloppen.",
    key_hint="U kunt ook de toetsen gebruiken.",
    address_street="En de straat?",
    no_answer="Er kwam geen antwoord.",
)
_PHRASES = {
    "en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH, "es": _SPANISH, "it": _ITALIAN, "pt": _PORTUGUESE, "nl": _DUTCH,
    "pt-br": _BRAZILIAN,
}  # fmt: skip


def collect_phrases_in(language: str) -> CollectPhrases:
    """Return the phrases of a language such as ``de`` or ``de-AT``; of one that is not known, those in English."""
    by_country = _PHRASES.get(language.replace("_", "-").lower())
    return by_country or _PHRASES.get(language_code(language), _ENGLISH)
