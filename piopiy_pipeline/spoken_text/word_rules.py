"""Abbreviations, Roman numerals, and the signs that are left when everything else has been read."""

from __future__ import annotations

import re
from collections.abc import Callable

from piopiy_pipeline.spoken_text.rule import ReadingRule, at_end, reading
from piopiy_pipeline.spoken_text.verbalizer import Verbalizer

__all__ = ["key_rules", "sign_rules", "word_rules"]

_BEFORE_DIGIT = frozenset(
    (
        "no.",
        "No.",
        "nos.",
        "Nos.",
        "p.",
        "pp.",
        "S.",
        "fig.",
        "Fig.",
        "Art.",
        "Abs.",
        "est.",
        "tel.",
        "Tel.",
        "EG",
        "OG",
        "n.",
    )
)
"""Also words, or the ends of sentences: abbreviations only before a number."""
_COUNTED = re.compile(
    r"(?:[2-9]|\d{2,})\s(?:people|children|men|women|(?!is\b|was\b|has\b|does\b)[a-z]{2,}[^s\W]s)\b"
)
"""A number of things, and not the number of a thing."""
_BEFORE_NAME = frozenset(
    (
        "Gen.",
        "Sen.",
        "Hon.",
        "Rev.",
        "Gov.",
        "Lt.",
        "Sgt.",
        "Capt.",
        "Hr.",
        "Hrn.",
        "Fr.",
        "Mt.",
        "Ft.",
        "Messrs.",
        "Pl.",
        "M.",
    )
)
"""Abbreviations only before a name."""
_NEVER_LAST = frozenset(
    (
        *("Doctor", "Mister", "Missis", "Miz", "Professor", "Saint", "for example", "that is", "versus"),
        *("approximately", "Number", "number", "Doktor", "Herr", "Herrn", "Frau", "Sankt", "zum Beispiel"),
        *("das heißt", "circa", "Nummer"),
    )
)
"""What is never the last of a sentence. A voice may be given the rest of it later: marks of bold text, for one, mislead
pipecat about where a sentence ends."""
_NUMBERED = (
    "World War|Weltkrieg|Chapter|Part|Phase|Act|Volume|Section|Type|Class|Kapitel|Teil|Band|Akt|Super Bowl|Stage|Level|"
    "Stufe|Klasse|Typ|Abschnitt|Grade|Schedule|Title|Book|Appendix|Rocky|Apollo"
)
_RULERS = (
    "Henry|Louis|Charles|George|James|Edward|William|Elizabeth|Richard|John Paul|Pius|Benedict|Leo|Napoleon|Wilhelm|"
    "Friedrich|Ludwig|Karl|Heinrich|Otto|Elisabeth|Johannes Paul|Benedikt|Philip|Nicholas|Alexander|Peter|Ivan|"
    "Catherine|Mary|Francis|Franz|Leopold|Ferdinand|Carl|Gustav|Christian|Margaret|Frederick|Felipe|Alfonso"
)
_ROMAN = r"(?=[IVXL]+\b)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


class _WordRules:
    """The rules for one language."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer

    def rules(self) -> list[ReadingRule]:
        short = sorted(self.v.abbreviations, key=len, reverse=True)
        rules = []
        if short:
            written = "|".join(re.escape(each).replace(r"\ ", r"[ \u00a0\u202f]?") for each in short)
            with_street = r"|(?<=[a-zäöü])str\." if "str." in self.v.abbreviations else ""
            rules.append(
                reading(
                    rf"(?<![\w.])(?P<written>{written})(?!\w)(?!\.\w){with_street}",
                    self.abbreviation,
                    needs="",
                )
            )
        if self.v.knows_numbers:
            rules += [
                reading(rf"(?<=\b)(?:{_NUMBERED})\.?\s(?P<n>{_ROMAN})\b", self.numbered, needs="IVXL"),
                reading(rf"\b(?:{_RULERS})\s(?P<n>{_ROMAN})\b\.?", self.ruler, needs="IVXL"),
            ]
        return rules

    def abbreviation(self, match: re.Match[str]) -> str | None:
        written = match["written"]
        if written is None:  # Hauptstr.
            return "straße" + ("." if at_end(match) else "")
        after = match.string[match.end() :].lstrip(" \u00a0\"'(„“")
        if written in _BEFORE_DIGIT and not re.match(r"[#\d]|\(?0", after):
            return None
        if written in ("no.", "No.") and _COUNTED.match(after):
            return None  # "no. 5 people"
        if written in _BEFORE_NAME and not after[:1].isupper():
            return None
        found = self.v.abbreviations.get(written)
        if found is None:  # written with another blank
            compact = re.sub(r"\s", "", written)
            found = next(
                said for key, said in self.v.abbreviations.items() if re.sub(r"\s", "", key) == compact
            )
        if self.v.language == "en":
            found = self._street(match, written, after) or found
        elif written == "S." and not re.match(r"\d", after):
            return None
        ends = written.endswith(".") and at_end(match) and found not in _NEVER_LAST
        return f"{found}." if ends else found

    def _street(self, match: re.Match[str], written: str, after: str) -> str | None:
        """Return what "St." and "Dr." are behind a name: of a street."""
        if written not in ("St.", "Dr."):
            return None
        before = match.string[max(0, match.start() - 60) : match.start()]
        named = re.search(r"(?:\d+(?:st|nd|rd|th)|[A-Z][a-z]+)\s$", before)
        address = re.search(r"\d+\s+(?:[A-Z][\w.]*\s+){1,3}$", before) is not None
        if written == "St.":
            return "Street" if address or (named and not re.match(r"[A-Z]", after)) else "Saint"
        return "Drive" if address or (named and not re.match(r"[A-Z]", after)) else None

    def numbered(self, match: re.Match[str]) -> str | None:
        number = _roman(match["n"])
        if number is None or match["n"] == "I":
            return None
        return match[0][: match.start("n") - match.start()] + self.v.cardinal(number)

    def ruler(self, match: re.Match[str]) -> str | None:
        number = _roman(match["n"])
        if number is None or (match["n"] == "I" and not match.string[match.end() :].strip()):
            return None
        if self.v.language not in ("en", "de") or match["n"] == "I":
            return None
        article = "the" if self.v.language == "en" else "der"
        stop = "." if match[0].endswith(".") and at_end(match) else ""
        return (
            match[0][: match.start("n") - match.start()]
            + f"{article} {self.v.ordinal(number, article)}{stop}"
        )


def _roman(written: str) -> int | None:
    if not written:
        return None
    values = [_VALUES[each] for each in written]
    return sum(
        -value if any(value < later for later in values[i + 1 : i + 2]) else value
        for i, value in enumerate(values)
    )


class _SignRules:
    """The rules for signs in one language. What no rule wants stays for the TTS, but for marks of markdown."""

    def __init__(self, verbalizer: Verbalizer) -> None:
        self.v = verbalizer

    def _word(self, name: str) -> str | None:
        return self.v.words.get(name)

    def rules(self) -> list[ReadingRule]:
        plain: list[tuple[str, str, str]] = [
            (r"(?:(?<=\s)|^)[#](?=\s*\d)", "number", "#"),
            (r"(?<=\b[A-GJ])#(?!\w)", "sharp", "#"),
            (r"\s?±\s?(?=\d|[^\W\d_])", "plus minus", "±"),
            (r"(?<=\w)\s?≈\s?(?=\w)|[≈~](?=\s?[^\W_])", "about", "≈~"),
            (r"(?:>=|≥)\s?(?=[\w$€£])", "at least", ">≥"),
            (r"(?:<=|≤)\s?(?=[\w$€£])", "at most", "<≤"),
            (r"(?<=\d)\s?>\s?(?=\d)|(?<=\b\w)\s?>\s?(?=\w\b)", "greater", ">"),
            (r"(?<![<-])<\s?(?=[\w$€£])", "less", "<"),
            (r"(?<![>=-])>\s?(?=[\d$€£])", "more", ">"),
            (r"\s?(?:->|=>|→|⇒|➔|➜)\s?", "arrow", "->→⇒➔➜="),
            (r"\s?§+\s?(?=\d)", "section", "§"),
            (r"(?<=\w)\s?×\s?(?=\w)", "times", "×"),
            (r"\s?(?<![=!<>])=(?![=])\s?", "equals", "="),
            (r"\s?&\s?", "and", "&"),
            (r"(?<=\w)\s@\s(?=\w)|(?<!\w)@(?=\d)", "at", "@"),
            (r"(?<=[\w)])\s?\+\s?(?=[\w(])|(?<!\w)\+(?=\w)", "plus", "+"),
            (r"(?<=\d)\+(?!\w)", "plus", "+"),
            (r"\s?%", "percent", "%"),
            (r"(?<=\d)\s?¢", "cents", "¢"),
            (r"(?<=\w)²(?!\w)", "squared", "²"),
            (r"(?<=\w)³(?!\w)", "cubed", "³"),
            (r"(?<=\w)\^(?=\d)", "power", "^"),
            (r"\s?°", "degrees", "°"),
        ]
        rules = [
            reading(pattern, self._sign(name), needs=needs)
            for pattern, name, needs in plain
            if self._word(name)
        ]
        if self._word("star"):
            rules += [
                reading(r"(?<![\w*])\*(?![\w*])|(?<![\w#])#(?![\w#])", self.key, needs="*#"),
                reading(r"(?<!\w)#(?=[^\W\d_])", self._sign("hashtag"), needs="#"),
                reading(r"(?<=[^\W\d_])/(?=[^\W\d_])", self.slash, needs="/"),
                reading(r"(?<=\w)\s?/\s?(?=\w)", self._sign("slash"), needs="/"),
            ]  # fmt: skip
        rules += [
            reading(r"[©®™℠]", lambda _: "", needs="©®™℠"),
            reading(r"[*_#|`~^\\{}]+", self.leftover, needs="*_#|`~^\\{}"),
        ]
        return rules

    def key_rules(self) -> list[ReadingRule]:
        if not self._word("star"):
            return []
        return [
            reading(
                r"(?<![\w*#])(?:[*#]{1,3}\d{1,10}){1,4}[*#]?(?![\w*])|(?<!\w)\d{1,6}[*#](?!\w)",
                self.keys,
                needs="*#",
            ),
        ]

    def _sign(self, name: str) -> Callable[[re.Match[str]], str]:
        word = self.v.words[name]

        def say(match: re.Match[str]) -> str:
            before = match.string[: match.start()][-1:]
            after = match.string[match.end() :][:1]
            left = "" if not before or before.isspace() or before in "([\"'" else " "
            right = "" if not after or after.isspace() or after in ".,;:!?)]\"'" else " "
            return f"{left}{word}{right}"

        return say

    def keys(self, match: re.Match[str]) -> str:
        """Say keys of a telephone: *67, *#06#, 1#."""
        words = {"*": self.v.words["star"], "#": self.v.words["hash"]}
        if re.fullmatch(r"#\d+", match[0]):
            number = match[0][1:]
            said = (
                self.v.digits(number) if len(number) > 4 or number[0] == "0" else self.v.cardinal(int(number))
            )
            return f"{self.v.words['number']} {said}"
        return " ".join(words[each] if each in words else self.v.cardinal(int(each)) for each in match[0])

    def key(self, match: re.Match[str]) -> str:
        return self.v.words["star" if match[0] == "*" else "hash"]

    def slash(self, match: re.Match[str]) -> str:
        text = match.string
        before = re.search(r"[^\W\d_]+$", text[: match.start()])
        after = re.match(r"[^\W\d_]+", text[match.end() :])
        assert before is not None
        assert after is not None
        if (before[0].isupper() and after[0].isupper()) or {before[0].lower(), after[0].lower()} & {
            "and",
            "und",
            "or",
            "oder",
        }:
            return " "
        return f" {self.v.words['or']} "

    def leftover(self, match: re.Match[str]) -> str:
        """Leave out what is only for the eye, and keep the words beside it apart."""
        before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
        return (
            " "
            if before and after and not before.isspace() and (after.isalnum() and before.isalnum())
            else ""
        )


def word_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rules for abbreviations and Roman numerals, in the order in which they are to be tried."""
    return _WordRules(verbalizer).rules()


def sign_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rules for what is left, in the order in which they are to be tried."""
    return _SignRules(verbalizer).rules()


def key_rules(verbalizer: Verbalizer) -> list[ReadingRule]:
    """Return the rule for keys of a telephone, such as *67."""
    return _SignRules(verbalizer).key_rules()
