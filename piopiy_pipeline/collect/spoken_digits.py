"""Reads digits from what an STT has written, and corrections of digits: "no, seven not eleven", "the last digit is 5".

English and German are read word by word, because callers say digits and not numbers: "eight hundred five five" is
8 0 0 5 5. In the other languages that text2num knows, whole numbers are read. Without I/O.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache

from text_to_num import alpha2digit

from piopiy_pipeline.collect.remarks import counts, self_repair
from piopiy_pipeline.turns.caller_words import language_code

__all__ = ["SpokenDigits", "ascii_digits", "corrected", "read_digits"]

MAX_CHARACTERS = 500
"""As much of a turn is read."""


def _words(text: str) -> list[str]:
    return text.split()


_EN = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")
_ENGLISH = {word: str(n) for n, word in enumerate(_EN)} | {
    word: str(20 + 10 * n) for n, word in enumerate(_TENS)
}
_ENGLISH |= {"nought": "0", "niner": "9", "tree": "3", "fife": "5"}
_GERMAN = {"zwo": "2", "eins": "1", "ein": "1"}
_TIMES = {
    "double": 2, "triple": 3, "treble": 3, "doppel": 2, "doppelt": 2, "zweimal": 2, "dreimal": 3, "doble": 2,
    "doppio": 2, "triplo": 3, "duplo": 2, "dubbel": 2, "dubbele": 2,
}  # fmt: skip
_MANY = {"hundred": "00", "thousand": "000", "hundert": "00", "tausend": "000"}
_SOUNDS = {"to": "2", "too": "2", "for": "4", "ate": "8", "won": "1", "oh": "0", "o": "0"}
"""Words that digits were heard as. They are digits where nothing but digits stands."""
_LANGUAGES = frozenset({"en", "fr", "es", "pt", "de", "ca", "it", "nl"})
"""What text2num reads; some releases of it have no Catalan."""
_TOKEN = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+|\+|[^\W\d_]+(?:'[^\W\d_]+)*")
_ORDINALS = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5, "5th": 5,
    "sixth": 6, "6th": 6, "seventh": 7, "7th": 7, "eighth": 8, "8th": 8, "ninth": 9, "9th": 9, "tenth": 10,
    "10th": 10, "erste": 1, "ersten": 1, "zweite": 2, "zweiten": 2, "dritte": 3, "dritten": 3, "vierte": 4,
    "vierten": 4, "fünfte": 5, "fünften": 5, "sechste": 6, "sechsten": 6, "siebte": 7, "siebten": 7, "achte": 8,
    "achten": 8, "neunte": 9, "neunten": 9, "zehnte": 10, "zehnten": 10,
}  # fmt: skip
_STAND_INS = _words("erste zweite dritte vierte fünfte sechste siebte achte neunte zehnte")
_OTHER_ORDINALS = {
    language: {form: _STAND_INS[n] for n, forms in enumerate(_words(words)) for form in forms.split("/")}
    for language, words in {
        "fr": "premier/première/premiers/premières deuxième/seconde troisième quatrième cinquième sixième septième "
        "huitième neuvième dixième",
        "es": "primer/primero/primera/primeros/primeras segundo/segunda tercer/tercero/tercera cuarto/cuarta "
        "quinto/quinta sexto/sexta séptimo/séptima octavo/octava noveno/novena décimo/décima",
        "it": "primo/prima/primi/prime secondo/seconda terzo/terza quarto/quarta quinto/quinta sesto/sesta "
        "settimo/settima ottavo/ottava nono/nona decimo/decima",
        "pt": "primeiro/primeira/primeiros/primeiras segundo/segunda terceiro/terceira quarto/quarta quinto/quinta "
        "sexto/sexta sétimo/sétima oitavo/oitava nono/nona décimo/décima",
        "nl": "eerste tweede derde vierde vijfde zesde zevende achtste negende tiende",
    }.items()
}
"""Ordinal numbers, and a German word that stands for each while text2num reads: it would make digits of them."""
_NO_ONE = re.compile(
    r"\b(?:one|a) (?:moment|second|sec|minute|of)\b|\beine?n? (?:moment|augenblick|sekunde|minute)\b"
    r"|\b(?:une?|uno|um|een) (?:instant|moment|seconde|minute|momento|momentito|segundo|minuto|attimo|secondo|momentje"
    r"|ogenblik(?:je)?|seconden?)\b|\b(?:grazie mille|mille grazie|mil gracias|mille mercis?|mil obrigad[oa]s?)\b"
    r"|\b(?:(?:the|this|that|which|another|same) one|no one)(?! (?:\d|"
    + "|".join([*_EN, *_TENS, *_TIMES, *_MANY, *_SOUNDS])
    + r"))\b"
)
"""Where "one" is no digit, and "a thousand thanks" no number."""
_NUMBER = r"\d(?:[\d ]*\d)?"


def _corrections(
    *, no: str, instead: str, but: str, article: str, last: str, noun: str, nouns: str, verb: str
) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return how one language says "seven not eleven", "not eleven but seven" and "the last digit is five"."""
    an = rf"(?:(?:{article}) ?)?"
    new, old = rf"{an}(?P<new>{_NUMBER})", rf"{an}(?P<old>{_NUMBER})"
    which = rf"(?P<which>{last}|{'|'.join(_ORDINALS)})(?: (?P<many>\d{{1,2}}))?"
    return (
        re.compile(rf"{new} (?:(?:and|und|et|y|e|en) )?(?:{no}|{instead}) {old}"),
        re.compile(rf"(?:{no}) {old} (?:(?:{but}) ?)+{new}"),
        re.compile(
            rf"(?:(?P<ahead>\d{{1,2}}) )?{which} (?:(?P<plural>{nouns})|{noun}) (?:(?:{verb}) )?{new}"
        ),
    )


_ENGLISH_AND_GERMAN = _corrections(
    no=r"not|nicht",
    instead=r"instead of|statt|rather than",
    but=r"but|sondern|it's|it is|its|es ist",
    article=r"an?|die|eine",
    last=r"last|letzten?",
    noun=r"digit|number|figure|1|ziffer|zahl|stelle",
    nouns=r"digits|numbers|figures|ziffern|zahlen|stellen",
    verb=r"is|are|was|were|should be|must be|ist|sind|lautet|lauten|wäre|muss",
)
_CORRECTIONS = {
    "fr": _corrections(
        no=r"pas|(?:ce )?n'est pas|non pas",
        instead=r"au lieu d[eu]|à la place d[eu]|plutôt que",
        but=r"mais|c'est|plutôt",
        article=r"une?|le|la|d'un",
        last=r"derni(?:er|ère)s?",
        noun=r"chiffre|numéro|nombre",
        nouns=r"chiffres|numéros|nombres",
        verb=r"est|sont|c'est|ce sont|c'était|doit être|devrait être",
    ),
    "es": _corrections(
        no=r"no|no es|no era",
        instead=r"en (?:vez|lugar) del?|y no",
        but=r"sino|pero|es|era",
        article=r"una?|el|la",
        last=r"últim[oa]s?",
        noun=r"dígito|número|cifra",
        nouns=r"dígitos|números|cifras",
        verb=r"es|son|era|eran|debe ser|tiene que ser",
    ),
    "it": _corrections(
        no=r"non|non è|non era",
        instead=r"invece (?:di|del|che)|al posto (?:di|del)|anziché",
        but=r"ma|bensì|è|sono",
        article=r"una?|il|la|l'",
        last=r"ultim[oaie]",
        noun=r"cifra|numero",
        nouns=r"cifre|numeri",
        verb=r"è|sono|era|erano|deve essere",
    ),
    "pt": _corrections(
        no=r"não|nao|não é|não era",
        instead=r"em vez d[eo]|ao invés d[eo]|no lugar d[eo]",
        but=r"mas|sim|é|e sim",
        article=r"uma?|o|a",
        last=r"últim[oa]s?",
        noun=r"dígito|número|algarismo",
        nouns=r"dígitos|números|algarismos",
        verb=r"é|são|era|eram|deve ser",
    ),
    "nl": _corrections(
        no=r"niet|geen",
        instead=r"in plaats van",
        but=r"maar|het is|dat is|is",
        article=r"de|het|een",
        last=r"laatste",
        noun=r"cijfer|nummer|getal",
        nouns=r"cijfers|nummers|getallen",
        verb=r"is|zijn|was|waren|moet zijn",
    ),
}
"""How a part of a number is corrected, by language; in those without words of their own as in English or German."""
_EXCLUDES = re.compile(r"(?:no |nein |non |nee )?(?:not|nicht|pas|niet|geen) (?:\w+ ){0,2}?\d[\d ]*$")
"""Says which number it is not, and no other."""
_LASTS = ("last", "letzt", "dern", "últim", "ultim", "laatst")
_NO = frozenset(
    _words(
        "no nope nah nein nee neen non nan não nao wrong incorrect falsch faux incorrecto sbagliato errado incorreto "
        "fout verkeerd"
    )
)


@dataclass(frozen=True, slots=True)
class SpokenDigits:
    """What was said, as words with digits.

    Attributes:
        words: The words in lower case; what was digits is digits, and stands together if it was said together.
        digits: All digits, in order.
        denies: Whether it begins with a no.
        others: How many words there are beside digits, a plus, and what people say around them; all words, if a
            number counts something.
        code: The code of the language.
    """

    words: str
    digits: str
    denies: bool
    others: int
    code: str = "en"

    @property
    def only(self) -> bool:
        """Whether there is nothing but the number."""
        return not self.others

    @property
    def says_number(self) -> bool:
        """Whether a number is said, and no sentence that has one in it: "I called 3 times", "not 4157"."""
        return (
            len(self.digits) >= 2 * self.others and not counts(self.words) and not _EXCLUDES.match(self.words)
        )


_AROUND = frozenset(
    _words(
        "it's its it is my the a number code pin um uh er wait sorry so okay ok yes yeah sure and please then that's "
        "that no nope plus dash hyphen space thanks also ja die der das meine nummer ist lautet äh ähm und bitte nein "
        "also dann strich ich habe eine zuerst c'est le la est mon numéro alors euh oui non es el número mi sí "
        "i i've i'll have got here here's let see thank you very much hi hello part "
        "ma donc puis voici voilà tiret s'il vous plaît merci désolé pardon bonjour "
        "código teléfono pues entonces luego guion guión por favor gracias perdón eh hola "
        "il mio codice numero è e allora dunque poi ehm sì trattino per favore grazie scusi ecco "
        "o meu minha telefone é então depois sim não hífen obrigado obrigada desculpe olá "
        "voulais veux dire quise quiero decir volevo quero quis dizer bedoel bedoelde ik más mais più "
        "mijn het de en dan dus nee streepje alstublieft bedankt dank graag u hallo"
    )
)


@lru_cache(maxsize=512)
def read_digits(text: str, language: str) -> SpokenDigits:
    """Read the digits of a text.

    Args:
        text: What was said. Only the first 500 characters are read. What a caller takes back within it ("five, no wait,
            nine") has no digits, and all of it has none where it is not certain what takes its place.
        language: Its language, by its code.
    """
    text = ascii_digits(text[:MAX_CHARACTERS])
    if (parts := self_repair(text)) is None:
        return _read(text, language)
    before, after = (read_digits(part, language) for part in parts)
    if not before.digits or not after.digits:
        return _read(text, language)
    digits = corrected(before.digits, after)
    if digits is None and after.only and len(after.digits) >= len(before.digits):
        digits = after.digits
    words = f"{before.words} {after.words}" if digits is None else digits
    return replace(before, words=words, digits=digits or "", others=before.others + after.others)


def ascii_digits(text: str) -> str:
    """Return a text with its digits as 0 to 9: recognisers of some languages write those of their script."""
    return "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)


def _read(text: str, language: str) -> SpokenDigits:
    code = language_code(language)
    plain = _NO_ONE.sub(" ", text.lower().replace("’", "'"))
    plain = re.sub(r"^\W*o+h[,.!]", " ", plain)  # that one is no zero
    plain = re.sub(r"\b(zwei|drei) ?mal(?: die)? ", r"\1mal ", plain)
    if code == "pt":
        plain = re.sub(r"\bmeia\b(?! (?:hora|noite))", "seis", plain)  # half a dozen
    if code in _OTHER_ORDINALS:
        ordinals = _OTHER_ORDINALS[code]
        plain = re.sub(r"[^\W\d_]+", lambda word: ordinals.get(word[0], word[0]), plain)
    if code not in ("en", "de") and code in _LANGUAGES:
        with contextlib.suppress(ValueError, KeyError):
            plain = alpha2digit(plain, code, threshold=0.0)
    tokens = _TOKEN.findall(plain)
    found = [_digits_of(token, code) for token in tokens]
    as_digits = sum(bool(digits) or token in _SOUNDS for token, digits in zip(tokens, found, strict=True))
    if code == "en" and any(found) and as_digits * 2 >= len(tokens):
        for n in (
            *range(len(tokens)),
            *reversed(range(len(tokens))),
        ):  # "oh oh seven": the first is beside the second
            token = tokens[n]
            beside = any(0 <= i < len(tokens) and (found[i] or tokens[i] in _TIMES) for i in (n - 1, n + 1))
            if beside and token in _SOUNDS and _between_digits(tokens, found, n):
                found[n] = _SOUNDS[token]
    parts: list[tuple[str, bool]] = []
    n = 0
    while n < len(tokens):
        token, digits = tokens[n], found[n]
        following = found[n + 1] if n + 1 < len(tokens) else ""
        if token in _TIMES and following:
            parts.append((following[0] * _TIMES[token] + following[1:], True))
            n += 2
        elif token in _MANY and parts and parts[-1][1]:
            parts[-1] = (parts[-1][0] + _MANY[token], True)
            n += 1
        elif (
            code == "en"
            and token in _TENS
            and len(following) == 1
            and following != "0"
            and not tokens[n + 1].isdigit()
        ):
            parts.append((digits[0] + following, True))
            n += 2
        else:
            parts.append((digits or token, bool(digits)))
            n += 1
    words = " ".join(part for part, _ in parts)
    return SpokenDigits(
        words=words,
        digits="".join(part for part, is_digits in parts if is_digits),
        denies=bool(parts) and parts[0][0] in _NO,
        others=sum(
            counts(words) or not (is_digits or part in _AROUND or part == "+") for part, is_digits in parts
        ),
        code=code,
    )


def _between_digits(tokens: list[str], found: list[str], n: int) -> bool:
    """Whether nothing but digits stands from the first digit to this word or on from it to the last one."""
    before = next((i for i, digits in enumerate(found) if digits), n)
    after = next((i for i in range(len(found) - 1, -1, -1) if found[i]), n)
    span = range(min(before, n), max(after, n) + 1)
    return all(found[i] or any(tokens[i] in words for words in (_SOUNDS, _TIMES, _MANY)) for i in span)


@lru_cache(maxsize=2048)
def _digits_of(token: str, code: str) -> str:
    """Return the digits that one word says, or nothing."""
    if token.isdecimal():
        return token
    if code == "en":
        return _ENGLISH.get(token, "")
    if code != "de" or token in ("eine", "einen", "einer"):
        return ""
    if token in _GERMAN:
        return _GERMAN[token]
    if token in _MANY or token in _ORDINALS:
        return ""
    read = alpha2digit(token, "de", threshold=0.0)
    return read if read.isdecimal() else ""


def corrected(entry: str, spoken: SpokenDigits) -> str | None:
    """Return an entry with a correction of a part of it.

    Args:
        entry: The digits so far.
        spoken: What the caller says.

    Returns:
        The entry as it is then; None if it is no correction, or not clear of what.
    """
    new_first, old_first, place = _CORRECTIONS.get(spoken.code, _ENGLISH_AND_GERMAN)
    for pattern in (new_first, old_first):
        if (found := pattern.search(spoken.words)) is not None:
            old, new = found["old"].replace(" ", ""), found["new"].replace(" ", "")
            if entry.count(old) == 1:
                return entry.replace(old, new)
            return None
    if (found := place.search(spoken.words)) is None:
        return None
    new, said_many = found["new"].replace(" ", ""), found["many"] or found["ahead"]
    many = int(said_many) if said_many else 1
    if found["which"].startswith(_LASTS):
        many = len(new) if found["plural"] and not said_many else many
        if len(new) != many or many > len(entry):
            return None
        return entry[:-many] + new
    at = _ORDINALS[found["which"]] - 1
    if len(new) != many or at + many > len(entry):
        return None
    return entry[:at] + new + entry[at + many :]
