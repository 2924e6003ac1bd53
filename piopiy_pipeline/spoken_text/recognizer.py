"""Finds what is written otherwise than it is said, and says it: dates, prices, addresses, abbreviations.

The rules are tried in order, and what one has taken no other may touch: "29.11.2026" is a date before it is a version
or a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from piopiy_pipeline.spoken_text.address_rules import address_rules, code_rules, dialled_rules, phone_rules
from piopiy_pipeline.spoken_text.alignment import Span
from piopiy_pipeline.spoken_text.date_rules import date_rules
from piopiy_pipeline.spoken_text.english import EnglishVerbalizer
from piopiy_pipeline.spoken_text.german import GermanVerbalizer
from piopiy_pipeline.spoken_text.number_rules import digit_rules, number_rules
from piopiy_pipeline.spoken_text.other_languages import (
    DutchVerbalizer,
    FrenchVerbalizer,
    ItalianVerbalizer,
    PortugueseVerbalizer,
    SpanishVerbalizer,
)
from piopiy_pipeline.spoken_text.rule import ReadingRule
from piopiy_pipeline.spoken_text.verbalizer import Verbalizer
from piopiy_pipeline.spoken_text.word_rules import key_rules, sign_rules, word_rules

__all__ = ["Recognizer"]

_VERBALIZERS: Mapping[str, type[Verbalizer]] = {
    "en": EnglishVerbalizer,
    "de": GermanVerbalizer,
    "fr": FrenchVerbalizer,
    "es": SpanishVerbalizer,
    "it": ItalianVerbalizer,
    "pt": PortugueseVerbalizer,
    "nl": DutchVerbalizer,
}
_DIGIT = re.compile(r"\d")


@lru_cache(8)
def _rules_of(language: str) -> tuple[ReadingRule, ...]:
    """Return the rules of a language, such as ``"en"``, ``"en-GB"`` or ``"fr"``.

    They are 70 patterns, which take 10 ms to compile.
    """
    code = language.replace("_", "-").partition("-")[0].lower()
    verbalizer = _VERBALIZERS.get(code, Verbalizer)(language)
    series, codes = code_rules(verbalizer)
    amounts, numbers = number_rules(verbalizer)
    return (
        *address_rules(verbalizer),
        *dialled_rules(verbalizer),
        *key_rules(verbalizer),
        *date_rules(verbalizer),
        *phone_rules(verbalizer),
        *amounts,
        *series,
        *word_rules(verbalizer),
        *numbers[:9],  # fractions, ordinals, magnitudes and ranges have letters or marks in them
        *codes,
        *numbers[9:],
        *sign_rules(verbalizer),
        *digit_rules(verbalizer),
    )


class Recognizer:
    """Reads sentences of one language.

    Args:
        language: Such as ``"en"``, ``"en-GB"`` or ``"de"``.
        pronunciations: What is said for the author's own words, whole words, in small or capital letters.
    """

    def __init__(self, language: str, pronunciations: Mapping[str, str]) -> None:
        self._pronunciations = {word.casefold(): said for word, said in pronunciations.items()}
        self._own: re.Pattern[str] | None = None
        if pronunciations:
            words = "|".join(re.escape(word) for word in sorted(pronunciations, key=len, reverse=True))
            self._own = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)
        self._rules = _rules_of(language)

    def spans(self, text: str, closed: Iterable[tuple[int, int]]) -> list[Span]:
        """Return what is said otherwise than it is written, in order.

        Args:
            text: A sentence without markup.
            closed: From where to where nothing may be changed.
        """
        taken = bytearray(len(text))
        for start, end in closed:
            taken[start:end] = b"\1" * (end - start)
        spans: list[Span] = []
        if self._own is not None:
            for match in self._own.finditer(text):
                self._take(match, self._pronunciations.get(match[0].casefold(), match[0]), taken, spans)
        has_digit = _DIGIT.search(text) is not None
        for rule in self._rules:
            if rule.needs == "0":
                if not has_digit:
                    continue
            elif rule.needs and not any(each in text for each in rule.needs):
                continue
            for match in rule.pattern.finditer(text):
                if 1 not in taken[match.start() : match.end()]:
                    self._take(match, rule.say(match), taken, spans)
        spans.sort(key=lambda span: span.start)
        return spans

    @staticmethod
    def _take(match: re.Match[str], said: str | None, taken: bytearray, spans: list[Span]) -> None:
        start, end = match.span()
        if said is None or start == end or 1 in taken[start:end]:
            return
        taken[start:end] = b"\1" * (end - start)
        if said != match[0]:
            spans.append(Span(start, end, said))
