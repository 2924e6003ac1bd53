"""E-mail addresses: said ("john dot smith at gmail dot com"), spelled, or both, in seven languages.

What an STT has written as an address is taken as it is. The rest is put together from words, letters and the names of
marks. An address is always read back, its first half letter by letter: nobody can write a name from hearing.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from itertools import groupby

from piopiy_pipeline.collect.digits import in_groups
from piopiy_pipeline.collect.remarks import self_repair, sentence_words
from piopiy_pipeline.collect.spoken_digits import ascii_digits, read_digits
from piopiy_pipeline.collect.text_entry import TextEntryReader
from piopiy_pipeline.collect.value_reader import Reading, Wording
from piopiy_pipeline.collect.yes_no import says_yes
from piopiy_pipeline.turns.caller_words import is_opener, language_code

__all__ = ["ALPHABET", "EmailReader", "is_email"]

MAX_CHARACTERS = 254
"""RFC 5321, section 4.5.3.1.3: the longest path, less its brackets."""
MAX_LOCAL = 64
"""The same, section 4.5.3.1.1: what stands before the at."""
MAX_WORDS = 3
"""So many words stand between two marks of an address."""
_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(rf"{_LOCAL}@(?:{_LABEL}\.)+[a-z]{{2,63}}")
_WRITTEN = re.compile(rf"(?<![\w.@+-])[\w.+%-]{{1,64}}@(?:{_LABEL}\.)+[a-z]{{2,63}}(?![\w@-])")
_MARKS = {
    "en": {"dot": ".", "point": ".", "period": ".", "underscore": "_", "dash": "-", "hyphen": "-", "minus": "-",
           "plus": "+", "at": "@"},
    "de": {"punkt": ".", "dot": ".", "unterstrich": "_", "bindestrich": "-", "strich": "-", "minus": "-", "plus": "+",
           "at": "@", "ät": "@", "klammeraffe": "@", "affenschwanz": "@"},
    "fr": {"point": ".", "underscore": "_", "tiret": "-", "moins": "-", "plus": "+", "arobase": "@", "arrobase": "@"},
    "es": {"punto": ".", "underscore": "_", "guion": "-", "guión": "-", "menos": "-", "más": "+", "arroba": "@"},
    "it": {"punto": ".", "underscore": "_", "trattino": "-", "meno": "-", "più": "+", "chiocciola": "@",
           "chiocciolina": "@", "at": "@"},
    "pt": {"ponto": ".", "underscore": "_", "underline": "_", "hífen": "-", "traço": "-", "menos": "-", "mais": "+",
           "arroba": "@"},
    "nl": {"punt": ".", "underscore": "_", "streepje": "-", "koppelteken": "-", "min": "-", "plus": "+",
           "apenstaartje": "@", "apenstaart": "@", "at": "@"},
}  # fmt: skip
_TWO_WORDS = re.compile(
    r"\b(?:(?P<under>tiret (?:du )?bas|gui[oó]n bajo|sub ?guion|barra baja|trattino basso|traço (?:baixo|inferior)"
    r"|(?:laag|liggend) streepje)|(?P<dash>trait d'union)|(?P<at>at sign|at the rate(?: of)?"
    r"|at-zeichen|a commercial))\b"
)
"""Marks whose names are several words."""
_SAID = {
    "en": {".": "dot", "_": "underscore", "-": "dash", "+": "plus", "@": "at"},
    "de": {".": "Punkt", "_": "Unterstrich", "-": "Bindestrich", "+": "Plus", "@": "at"},
    "fr": {".": "point", "_": "tiret bas", "-": "tiret", "+": "plus", "@": "arobase"},
    "es": {".": "punto", "_": "guion bajo", "-": "guion", "+": "más", "@": "arroba"},
    "it": {".": "punto", "_": "underscore", "-": "trattino", "+": "più", "@": "chiocciola"},
    "pt": {".": "ponto", "_": "underline", "-": "hífen", "+": "mais", "@": "arroba"},
    "nl": {".": "punt", "_": "underscore", "-": "streepje", "+": "plus", "@": "apenstaartje"},
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
"""How they are written in addresses, which have none."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALPHABET = _words(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu"
)
_LETTERS = {
    "en": {word: word[0] for word in ALPHABET}
    | {"alfa": "a", "juliet": "j", "see": "c", "are": "r", "you": "u", "why": "y", "tea": "t", "bee": "b", "zee": "z",
       "zed": "z", "ess": "s", "em": "m", "en": "n", "jay": "j", "kay": "k", "ex": "x"},
    "de": {"anton": "a", "berta": "b", "cäsar": "c", "dora": "d", "emil": "e", "friedrich": "f", "gustav": "g",
           "heinrich": "h", "ida": "i", "julius": "j", "kaufmann": "k", "ludwig": "l", "martha": "m", "nordpol": "n",
           "otto": "o", "paula": "p", "quelle": "q", "richard": "r", "samuel": "s", "siegfried": "s", "theodor": "t",
           "ulrich": "u", "viktor": "v", "wilhelm": "w", "xanthippe": "x", "ypsilon": "y", "zacharias": "z"},
    "fr": {}, "es": {}, "it": {}, "pt": {}, "nl": {},
}  # fmt: skip
"""Words for letters. They count only beside other letters: "mike dot smith" has the name Mike."""
_AS_IN = re.compile(r"\b([a-z]) (?:as in|like|for|wie(?: in)?|comme|como|come|als) [^\W\d_]+")
_LEAD_IN = re.compile(
    r"^.*?\b(?:(?:e-?mail|mail|address|adresse)(?: address| adresse)? (?:is|ist|lautet|would be)"
    r"|(?:it|that)(?:'s| is| would be)"
    r"|(?:das|sie|es) (?:ist|wäre|lautet)"
    r"|(?:e-?mail|mail|adresse|courriel)(?: e-?mail| mail)?,? (?:c'est|est)|^c'est"
    r"|(?:correo(?: electrónico)?|e-?mail|dirección(?: de correo)?) es|^es(?= [^\W\d_]{2})"
    r"|(?:e-?mail|mail|indirizzo(?: e-?mail)?) è|^è"
    r"|(?:e-?mail|endereço(?: de e-?mail)?) é|^é|(?:mail|mailadres|adres|e-?mailadres) is|^het is|^dat is)(?!\w)"
)
_AROUND = _words(
    "um uh er wait so okay ok yes yeah sure well no nope please then and thanks thank actually all it's its it is "
    "my the that's sorry äh ähm ja nein also bitte und dann gerne meine alles klein kleingeschrieben zusammen danke "
    "euh oui non alors donc merci eh sí pues gracias sì allora dunque grazie sim então obrigado obrigada nee dus "
    "bedankt"
)
_PART = r"(?:[a-z](?: [a-z])+|[\w.@+-]+)"
_NOT = {
    code: re.compile(
        rf"\b({_PART}),? (?:and |und |et |y |e |en )?(?:{words}) (?:an? |une? )?({_PART})(?![\w@])"
    )
    for code, words in {
        "en": "not|nicht|instead of|statt",
        "de": "not|nicht|instead of|statt",
        "fr": "pas|au lieu de|plutôt que",
        "es": "no|en (?:vez|lugar) de",
        "it": "non|invece di|al posto di",
        "pt": "não|em vez de|no lugar de|ao invés de",
        "nl": "niet|in plaats van",
    }.items()
}
_ASIDE = re.compile(
    r"\b(?:thank(?:s| you)(?: a lot| (?:very|so) much)?"
    r"|(?:and )?(?:it's |that's )?(?:all )?(?:in |as )?(?:lower ?case|small letters|one word)"
    r"|(?:and )?with (?:an? )?(?:capital|upper ?case)(?: letters?| [a-z](?![a-z]))?"
    r"|(?:with )?no (?:dots?|spaces?|capitals)"
    r"|(?:alles )?(?:in )?(?:kleinbuchstaben|klein ?geschrieben)|alles (?:klein|zusammen)|zusammen ?geschrieben"
    r"|(?:als |in )?einem? wort|ohne (?:punkt|leerzeichen))\b"
)
"""How an address is written, and no part of it."""
_CAPITAL = re.compile(
    r"(?<!\ba )(?<!\ban )\b(?:capital|upper ?case|small|lower ?case|großes|kleines) (?=[a-z](?![a-z]))"
)
_SPELLED = re.compile(
    r",? (?:that's|that is|spelled|spelt|das ist|buchstabiert) ((?:[a-z](?: |-|\. ?))+[a-z])\b[.,]?"
)
"""The letters of a word that was said before them."""
_HYPHENED = re.compile(r"(?<![\w-])[a-z](?:-[a-z]){2,}(?![\w-])")
"""How recognisers write letters that are said one by one."""
_GOES_ON = tuple("._-+@")
"""Marks behind which an address goes on."""
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+[a-z]{{2,63}}")
_KNOWN = _words(
    "gmail googlemail outlook hotmail yahoo icloud example proton protonmail live msn aol gmx web posteo "
    "mailbox"
)
"""Names of hosts that people know by the word."""
_TOP = _words("com org net de io co uk at ch fr eu info edu in")
_HOST_END = re.compile(rf"(?:mail\.[a-z]+|\.(?:con|{'|'.join(sorted(_TOP))}))$")
"""How a host ends, and no local part; recognisers write "dot con", too."""
_CONTRACTION = re.compile(r"[^\W_]'(?:s|m|re|ve|ll|d|t)\b")
"""Ends words of a sentence, such as "that's": a name may have an apostrophe further ahead."""
_NO = re.compile(
    r"^\W*(?:no|nope|nein|nee|neen|non|nan|não|wrong|falsch|faux|incorrecto|sbagliato|errado|fout|verkeerd)\b"
)


def is_email(text: str) -> bool:
    """Return whether a text is an e-mail address that can be written to, in small letters."""
    local, _, _ = text.partition("@")
    return len(text) <= MAX_CHARACTERS and len(local) <= MAX_LOCAL and _EMAIL.fullmatch(text) is not None


def _without_accents(text: str) -> str:
    """Return a text in the letters of addresses: "jürgen" is "juergen", and "josé" is "jose"."""
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFC", text).translate(_UMLAUTS))
    return "".join(part for part in parts if not unicodedata.combining(part))


class EmailReader(TextEntryReader):
    """Reads an e-mail address, in one answer or its halves in two.

    Args:
        language: The caller's language.
    """

    kind = "email"
    expects = "dictation"

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self._code = code if (code := language_code(language)) in _MARKS else "en"

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        if (parts := self_repair(text)) is not None:
            return self._hear_repaired(*parts, checking=checking)
        plain = self._without_asides(text)
        denies = _NO.match(plain) is not None
        if (written := _WRITTEN.search(plain)) is not None:
            self._entry, self._over = written[0], False
            return self._reading()
        if self._entry and _NOT[self._code].search(plain) is not None:
            if (fixed := self._corrected(plain)) is None:
                return Reading.NOTHING  # of which letter?
            self._entry, self._over = fixed, False
            return self._reading()
        said = self._joined(plain)
        if "@" in self._entry and (checking or denies) and _DOMAIN.fullmatch(said) and self._has_mark(plain):
            self._entry = f"{self._entry.partition('@')[0]}@{said}"  # "no, gmail dot com"
            return self._reading()
        local, at, host = self._entry.partition("@")
        if (
            at
            and _DOMAIN.fullmatch(said.lstrip("@"))
            and (said[0] == "@" or (host and said.startswith(f"{host}.")))
        ):
            self._entry, self._over = (
                f"{local}@{said.lstrip('@')}",
                False,
            )  # "at gmail", and then: "gmail dot com"
            return self._reading()
        whole = "@" in said and not said.startswith("@")
        if not self._is_address(plain, said, checking=checking or denies):
            return Reading.NOTHING
        anew = self._over or said.startswith(self._entry) or (at and whole)
        entry = said
        if self._entry[-1:] in _GOES_ON and not anew:
            entry = self._entry + said  # "john dot", "smith at", "gmail dot com"
        elif not (whole or self._over or not self._entry):
            if denies and not said.startswith(("@", ".")):
                return Reading.NOTHING
            is_host = not at and _DOMAIN.fullmatch(said) and _HOST_END.search(said)
            entry = f"{self._entry}{'@' if is_host else ''}{said}"
        if "@" not in entry and (_HOST_END.search(entry) or _CONTRACTION.search(entry)):
            return Reading.NOTHING  # "n dot smith mail dot com": where is the at?
        self._entry, self._over = entry[: 2 * MAX_CHARACTERS], False
        return self._reading()

    def _hear_repaired(self, before: str, after: str, *, checking: bool) -> Reading:
        """Take an answer in which the caller takes something back, if it is certain what comes in its place."""
        kept = self.state()
        if self.hear(before, checking=checking) is Reading.NOTHING:
            return self.hear(after, checking=checking)
        begun = self._entry
        if "@" not in begun and len(self._joined(self._without_asides(after)).partition("@")[0]) < len(begun):
            self.restore(kept)
            return Reading.NOTHING  # "john dot smith, I mean smyth, at gmail dot com"
        if (reading := self.hear(f"no, {after}", checking=True)) is Reading.NOTHING:
            self.restore(kept)
        return reading

    @staticmethod
    def _without_asides(text: str) -> str:
        """Return what was said, without how it is written, and with a word as the caller has spelled it behind it."""
        plain = re.sub(r"\s+", " ", text.lower().replace("’", "'")).strip()
        plain = _CAPITAL.sub("", ascii_digits(plain))
        plain = _HYPHENED.sub(lambda found: found[0].replace("-", " "), _AS_IN.sub(r"\1", plain))
        while (found := _SPELLED.search(plain)) is not None:
            before, word = plain[: found.start()], re.sub(r"[^a-z]", "", found[1])
            alike = difflib.get_close_matches(word, re.findall(r"[a-z]{2,}", before), n=1, cutoff=0.5)
            if alike:
                at = before.rindex(alike[0])
                before = before[:at] + word + before[at + len(alike[0]) :]
            plain = (
                f"{before} {plain[found.end() :].strip()}".strip()
                if alike
                else before + " " + word + plain[found.end() :]
            )
        return re.sub(r"\s+", " ", _ASIDE.sub(" ", plain)).strip()

    def _has_mark(self, plain: str) -> bool:
        marks = _MARKS[self._code]
        return "." in plain.strip(" .") or any(word in marks for word in plain.replace("?", "").split())

    def _is_address(self, plain: str, said: str, *, checking: bool) -> bool:
        """Whether it is an address or a half of one, and no sentence about something else."""
        if checking:
            return "@" in said and "." in said.partition("@")[2]
        if not said.strip(".@_-+"):
            return False
        tokens, marks = self._tokens(plain), _MARKS[self._code]
        marked = [token in marks or token in ".@_+-" for token in tokens]
        whole = "." in said.partition("@")[2]
        at = next((n for n, token in enumerate(tokens) if marks.get(token, token) == "@"), len(tokens))
        runs: list[list[str]] = []
        for is_mark, part in groupby(range(len(tokens)), key=marked.__getitem__):
            places = list(part)
            named = whole and (len(places) == 1 or (places[0] > at and len(places) <= MAX_WORDS))
            if not is_mark and not named:  # a host may have any name: "my company dot com"
                runs.append([tokens[place] for place in places])
        if not all(self._is_dictated(run) for run in runs):
            return False
        if whole:
            return True
        if (said[0] in ".@" and not self._entry) or (
            self._code == "en" and tokens[-1] in ("point", "period")
        ):
            return False  # "at the weekend", "good point"
        if any(marked) or sum(len(token) == 1 for token in tokens) >= 2:
            return True
        if plain.endswith("?") or is_opener(plain, self.language):
            return False
        return len(tokens) <= 2 and says_yes(plain, self.language) is None

    def _is_dictated(self, run: list[str]) -> bool:
        """Whether words between two marks are of an address, and not of a sentence: some words, or letters."""
        letters = [token for token in run if len(token) == 1 or token in _LETTERS[self._code]]
        if sum(len(token) == 1 for token in run) >= 2 and 2 * len(letters) >= len(run):
            return True
        words = [
            token for token in run if token not in letters and not read_digits(token, self.language).digits
        ]
        return len(words) <= MAX_WORDS and not sentence_words(" ".join(run), language_code(self.language))

    def _corrected(self, plain: str) -> str | None:
        """Return the address with a part in the place of another: "gmail, not hotmail", "n not m"."""
        if (found := _NOT[self._code].search(plain)) is None:
            return None
        new, old = (self._joined(found[n]) for n in (1, 2))
        local = self._entry.partition("@")[0]
        if not new or not old:
            return None
        if len(old) == 1:
            return self._entry.replace(old, new, 1) if local.count(old) == 1 else None
        return self._entry.replace(old, new) if self._entry.count(old) == 1 else None

    def _one_word(self, found: re.Match[str]) -> str:
        """Return the name of a mark in one word."""
        meant = {"under": "_", "dash": "-", "at": "@"}[str(found.lastgroup)]
        return next(name for name, mark in _MARKS[self._code].items() if mark == meant)

    def _tokens(self, plain: str) -> list[str]:
        """Return the words, letters and marks of an address, without what is said around it."""
        plain = re.sub(r"\bdouble (?:you|u)\b", "w", plain)
        plain = re.sub(r"\b(?:double|doppel) ?([a-z])\b", r"\1\1", plain)
        plain = _TWO_WORDS.sub(self._one_word, plain)
        if (lead := _LEAD_IN.match(plain)) is not None and lead.end() < len(plain):
            plain = plain[lead.end() :]
        tokens = re.findall(r"[^\W_]+(?:'[^\W_]+)*|[.@_+-](?=\w)", plain)
        while tokens and tokens[0] in _AROUND:
            tokens = tokens[1:]
        dots = (".", *(name for name, mark in _MARKS[self._code].items() if mark == "."))
        while (
            tokens and tokens[-1] in _AROUND and tokens[-2:-1] not in [[dot] for dot in dots]
        ):  # Italy's "dot it"
            tokens = tokens[:-1]
        return tokens

    def _joined(self, plain: str) -> str:
        """Return words, letters and names of marks as they are written together."""
        marks, letters = _MARKS[self._code], _LETTERS[self._code]
        tokens = self._tokens(plain)
        digits = {
            token: read_digits(token, self.language).digits
            for token in tokens
            if len(token) > 1 and (token.isdecimal() or token.isalpha())  # "john2" is as it was written
        }
        singles = [len(token) == 1 or bool(digits.get(token)) for token in tokens]
        out: list[str] = []
        for n, token in enumerate(tokens):
            beside = any(singles[i] for i in (n - 1, n + 1) if 0 <= i < len(tokens))
            in_alphabet = token in letters and any(
                i != n and 0 <= i < len(tokens) and tokens[i] in letters for i in (n - 1, n + 1)
            )
            if token in marks:
                out.append(marks[token])
            elif digits.get(token):
                tens = not token.isdecimal() and n and re.fullmatch(r"[2-9]0", digits.get(tokens[n - 1], ""))
                if tens and out[-1].endswith("0") and len(digits[token]) == 1:
                    out[-1] = out[-1][:-1]  # "ninety nine"
                out.append(digits[token])
            elif token in letters and (in_alphabet or beside) and "@" not in out:
                out.append(letters[token])
            else:
                out.append(token)
        return "".join(out).strip("'")

    def _reading(self) -> Reading:
        self._entry = _without_accents(self._entry)
        if is_email(self._entry):
            return Reading.WHOLE
        local, at, domain = self._entry.partition("@")
        if len(local) <= MAX_LOCAL and (
            not at or not domain or ("." not in domain and re.fullmatch(_LABEL, domain))
        ):
            return Reading.PART
        if len(self._entry) <= MAX_CHARACTERS and domain.endswith("."):
            return Reading.PART
        self._over = True
        return Reading.INVALID

    def spoken(self) -> str:
        local, at, domain = self._entry.partition("@")
        spelled = self._spelled(local)
        if not at:
            return spelled
        labels = domain.split(".")
        named = [
            label if label in _KNOWN or (n and label in _TOP) else self._spelled(label)
            for n, label in enumerate(labels)
        ]
        dot, at_sign = _SAID[self._code]["."], _SAID[self._code]["@"]
        return f"{spelled}, {at_sign} {f' {dot} '.join(named)}".removesuffix(f", {at_sign} ")

    def _spelled(self, text: str) -> str:
        """Return a text letter by letter, in groups, with its marks by their names."""
        said = _SAID[self._code]
        parts: list[str] = []
        for run in re.findall(r"[^\W_]+|[\W_]", text):
            if run in said:
                parts.append(said[run])
            else:
                parts.append(in_groups(run.upper()))
        return ", ".join(parts)

    @property
    def model_task(self) -> str:
        return "the e-mail address in small letters"

    def missing(self, words: Wording) -> str:
        return words("email_rest")

    def fault(self, words: Wording) -> str:
        return words("email_wrong")
