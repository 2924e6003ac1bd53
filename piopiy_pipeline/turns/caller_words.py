"""What the caller's words so far say about the end of the turn: is a sentence open, is a question answered? No I/O.

The lists are closed classes of words, so they are short and complete: articles, prepositions, conjunctions, auxiliary
verbs, fillers, and the ways to say yes and no. A language without lists has digits only, and else the timer decides.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

__all__ = [
    "WordsSoFar",
    "digits_in",
    "ends_open",
    "is_bare",
    "is_closed_answer",
    "is_number",
    "is_opener",
    "words_of",
]


class WordsSoFar(StrEnum):
    """What the words so far say."""

    UNKNOWN = "no words yet"
    NEUTRAL = "nothing tells"
    LONG = "a long turn"
    """Who has said much already goes on more often after a pause."""
    OPEN = "the sentence goes on"
    """The last word is one that another has to follow, or a filler."""
    COMMA = "a comma is at the end"
    """The recogniser takes the sentence for unfinished."""
    DOUBTED = "the last word is not sure"
    OPENER = "an answer only begins"
    """Words with which more is announced, such as "good morning", in reply to an open question."""
    ANSWERED = "the question is answered"
    BARE = "a bare yes or no"
    """It answers the question, and "please" or "thank you" often follows after a fifth of a second."""
    DIGITS_MISSING = "digits are missing"
    DICTATING = "something is being dictated"
    SOUNDS_FINISHED = "the words tell nothing, and it sounds finished"


_OPEN = {
    "en": "a an the my your our their his this these those some every each of to in on at for from with by about "
    "into between under near until till since without within per via and or but because so if "
    "when while although than that which who whose where as am is are was were be been being do does did have "
    "has had can could will would shall should must i we they he she i'm i'd i'll i've we're we'd "
    "we'll we've you're they're he's she's it's that's there's let's um uh er erm hmm hm uhm "
    "going gonna want wanna need just mr mrs ms dr actually",
    "de": "ein eine einen einem einer eines der die das den dem des mein meine meinen meinem meiner dein ihr ihre "
    "ihren unser unsere diese dieser dieses diesen diesem jede jeder jeden kein keine keinen von vom zu zum "
    "zur in im ins an am auf für mit bei beim aus nach über unter vor hinter neben zwischen durch ohne um bis "
    "seit gegen während wegen und oder aber weil wenn dass ob als damit sondern denn sowie wie welche welcher "
    "wo bin ist sind war waren habe hat hatte haben kann können könnte will wollen möchte würde muss müssen "
    "soll sollte darf werde wird wurde ich wir äh ähm hm hmm also eben vielleicht herr frau doktor sehr noch "
    "nur so",
}
_OPEN_SETS = {
    language: frozenset(word for word in words.split() if not word.endswith("-"))
    for language, words in _OPEN.items()
}

_CLOSED = {
    "en": "yes, yeah, yep, yup, yes please, yes sure, yes it is, yes that is right, yes that's right, yes i do, yes "
    "i am, yes i would, yes i can, yes we do, yes of course, yes it was, yes thank you, yes thanks, yes "
    "correct, yes that's correct, yes that is correct, yes exactly, no, nope, no thanks, no thank you, no "
    "it's not, no it isn't, no it is not, no i don't, no i do not, no i'm not, no i am not, no that's wrong, "
    "no that is wrong, no that's not right, no that's all, no that is all, no that's it, no not really, no "
    "not yet, not yet, sure, of course, certainly, absolutely, definitely, correct, that's correct, that is "
    "correct, right, that's right, that is right, exactly, okay, ok, all right, alright, fine, that's fine, "
    "that is fine, sounds good, that works, please do, i do, i don't, i am, i'm not, it is, it isn't, not "
    "really, never, please, go ahead, yes go ahead, no problem, that's all, that is all, wrong, that's wrong, "
    "i agree, agreed, perfect, great, yes perfect, yes great, of course not, certainly not, i think so, i "
    "don't think so, i guess so, i hope so, i'm sure, i am sure, yes i'm sure, yes i am sure",
    "de": "ja, jawohl, jo, ja bitte, ja gerne, ja gern, ja genau, ja stimmt, ja das stimmt, ja richtig, ja das ist "
    "richtig, ja danke, ja natürlich, ja klar, ja sicher, nein, nee, nö, nein danke, nein das stimmt nicht, "
    "nein das ist falsch, nein noch nicht, nein das war alles, das war alles, noch nicht, gerne, gern, "
    "natürlich, klar, sicher, selbstverständlich, genau, richtig, stimmt, das stimmt, das ist richtig, das "
    "passt, passt, okay, ok, in ordnung, einverstanden, falsch, auf keinen fall, auf jeden fall, bestimmt, "
    "leider nicht, leider nein, nicht wirklich, bitte, perfekt, ich glaube schon, ich denke schon, ich glaube "
    "nicht",
}
_CLOSED_SETS = {
    language: frozenset(" ".join(phrase.split()) for phrase in phrases.split(","))
    for language, phrases in _CLOSED.items()
}
_LEADING_FILLERS = {
    "en": ("um", "uh", "er", "erm", "oh", "well", "hmm", "mm", "mhm", "so", "and"),
    "de": ("äh", "ähm", "hm", "oh", "na", "also", "nun", "mhm", "und"),
}
"""What an answer begins with that says nothing. A recogniser writes "And?" for many an "um"."""

_OPENERS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "hello hi hey good morning afternoon evening there well so now sorry excuse me listen look wait and but",
        "de": "hallo hi guten tag morgen abend also entschuldigung verzeihung hören sie mal schau moment und aber",
    }.items()
}
"""Words that greet or ask for attention, and alone say nothing yet."""
OPENER_WORDS = 3

_DIGITS = {
    "en": {
        "zero": 1, "oh": 1, "o": 1, "nought": 1, "one": 1, "two": 1, "three": 1, "four": 1, "five": 1, "six": 1,
        "seven": 1, "eight": 1, "nine": 1, "ten": 2, "eleven": 2, "twelve": 2, "thirteen": 2, "fourteen": 2,
        "fifteen": 2, "sixteen": 2, "seventeen": 2, "eighteen": 2, "nineteen": 2,
    },
    "de": {
        "null": 1, "eins": 1, "ein": 1, "zwei": 1, "zwo": 1, "drei": 1, "vier": 1, "fünf": 1, "sechs": 1,
        "sieben": 1, "acht": 1, "neun": 1, "zehn": 2, "elf": 2, "zwölf": 2, "dreizehn": 2, "vierzehn": 2,
        "fünfzehn": 2, "sechzehn": 2, "siebzehn": 2, "achtzehn": 2, "neunzehn": 2,
    },
}  # fmt: skip
_TENS = {
    "en": ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
    "de": ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"),
}
_TIMES = {"en": {"double": 2, "triple": 3, "treble": 3}, "de": {"doppel": 2, "doppelt": 2}}
_SCALES = {
    "en": ("hundred", "thousand", "million", "dozen"),
    "de": ("hundert", "tausend", "million", "millionen"),
}


_LETTER = r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e])"
"""A letter, or a sign that belongs to one: the vowels of India's scripts and of Thai are no letters to Unicode."""
_WORD = re.compile(rf"{_LETTER}+(?:'{_LETTER}+)*")


def language_code(language: str) -> str:
    """Return ``en`` of ``en-GB``."""
    return language.lower().replace("_", "-").partition("-")[0]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without marks; an apostrophe belongs to its word."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower().replace("’", "'"))


def ends_open(text: str, language: str) -> bool:
    """Whether the last word is one that another has to follow, or a filler; or the text ends in a dash or dots."""
    words = words_of(text)
    if not words:
        return False
    if re.search(r"(?:…|\.\.\.|[-–—:])\s*$", text) or _is_filler(words, language_code(language)):
        return True
    return words[-1] in _OPEN_SETS.get(language_code(language), frozenset())


def is_closed_answer(text: str, language: str) -> bool:
    """Whether the whole text says yes or no, and no more. After a comma there is more to come."""
    code = language_code(language)
    return " ".join(_without_fillers(text, code)) in _CLOSED_SETS.get(code, frozenset()) and not _has_comma(
        text
    )


def is_bare(text: str, language: str) -> bool:
    """Whether a closed answer is one word, such as "no", behind which "thank you" may follow."""
    return len(_without_fillers(text, language_code(language))) == 1


def is_opener(text: str, language: str) -> bool:
    """Whether a text of at most `OPENER_WORDS` words only greets or asks for attention: "Good morning"."""
    words, openers = words_of(text), _OPENERS.get(language_code(language), frozenset())
    return 0 < len(words) <= OPENER_WORDS and openers.issuperset(words)


def _without_fillers(text: str, code: str) -> list[str]:
    words = words_of(text)
    while words and words[0] in _LEADING_FILLERS.get(code, ()):
        words = words[1:]
    while len(words) > 1 and words[0] == words[1]:  # yes, yes
        words = words[1:]
    return words


def _is_filler(words: list[str], code: str) -> bool:
    """Whether these are nothing but words with which a sentence begins, such as "well"."""
    return all(word in _LEADING_FILLERS.get(code, ()) for word in words)


def _has_comma(text: str) -> bool:
    return text.rstrip().endswith(",")


def digits_in(text: str, language: str) -> int:
    """Return how many digits were said: ``"four one five"`` are 3, ``"twenty five"`` are 2, ``"double 7"`` are 2."""
    code = language_code(language)
    digits, tens, times = _DIGITS.get(code, {}), _TENS.get(code, ()), _TIMES.get(code, {})
    count, times_next, after_tens = 0, 1, False
    for word in words_of(text):
        if word.isdecimal():
            count += len(word) * times_next
        elif word in digits:
            if not (after_tens and digits[word] == 1):
                count += digits[word] * times_next
        elif word in tens or (code == "de" and word.endswith(tens)):
            count += 2
        times_next = times.get(word, 1)
        after_tens = word in tens and code == "en"
    return count


def is_number(text: str, language: str) -> bool:
    """Whether a short text is a whole number: ``"for four"``, ``"25 people"``. ``"twenty"`` may go on."""
    code = language_code(language)
    words = words_of(text)
    if not words or len(words) > 4 or not digits_in(text, language):
        return False
    return not (words[-1] in _TENS.get(code, ()) or words[-1] in _SCALES.get(code, ()))
