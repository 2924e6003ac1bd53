"""What a collection says: by language, and to be replaced by an author's own words."""

from __future__ import annotations

from dataclasses import dataclass

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
_PHRASES = {"en": _ENGLISH, "de": _GERMAN}


def collect_phrases_in(language: str) -> CollectPhrases:
    """Return the phrases of a language such as ``de`` or ``de-AT``; of one that is not known, those in English."""
    return _PHRASES.get(language_code(language), _ENGLISH)
