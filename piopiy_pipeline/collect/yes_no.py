"""Yes and no: the answer to a read-back, and a value of its own. English as playbooks read it, and German."""

from __future__ import annotations

import re
from typing import Any

from piopiy_pipeline.collect.value_reader import Reading, ValueReader, Wording
from piopiy_pipeline.services.playbook.consent import polarity
from piopiy_pipeline.services.playbook.words import read_words
from piopiy_pipeline.turns.caller_words import language_code, words_of

__all__ = ["YesNoReader", "key_answer", "says_yes"]


MAX_REPEATED = 3
"""One key, pressed so many times in a row, is one answer. More are a number."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YES = _words(
    "ja jawohl jo genau richtig stimmt korrekt klar natürlich gerne gern sicher selbstverständlich okay ok passt "
    "einverstanden exakt"
)
_NO = _words("nein nee nö nicht falsch niemals kein keine")
_TAKEN_BACK = re.compile(
    r"\b(?:yes|yeah|yep|yup|(?<!not )(?<!n't )(?<!never )go ahead|i mean (?:ok|okay|sure|right|correct)"
    r"|(?<!not )(?:is|was|that's|it's|all|quite) (?:right|correct|fine|okay|ok))\b(?! \w* ?(?:not|wrong)\b)"
    r"|\b(?:not|isn't|wasn't|nothing|nothing is|nothing's) (?:wrong|incorrect|false)\b"
)
"""What makes a "no" unclear: the caller has taken it back, or denies that something is wrong."""
_TAKEN_BACK_GERMAN = re.compile(
    r"\b(?:jawohl|(?:ja|nein) doch|doch ja|meine ja|sage ja|sagte ja|nein ja|nein genau|ja genau"
    r"|nein (?:okay|ok|gut|richtig|korrekt|(?:das )?(?:stimmt|passt))(?! (?:so |aber |das )*nicht\b)"
    r"|(?:ist|war|alles) (?:richtig|korrekt|okay))\b"
    r"|\bja$|\b(?:nicht|nichts|nichts ist) falsch\b"
)
_UNCLEAR = re.compile(r"\b(?:weiß nicht|nicht sicher|vielleicht|moment|warte|warten|eventuell|wenn|falls)\b")


def says_yes(text: str, language: str) -> bool | None:
    """Return yes, no, or None for neither: an unclear answer, or a "no" that is taken back ("no, I mean yes").

    Args:
        text: What was said.
        language: Its language, by its code. Without words for it, English ones count.
    """
    if language_code(language) != "de":
        answer = polarity(read_words(text).text, question=text.rstrip().endswith("?"))[0]
        return None if answer is False and _TAKEN_BACK.search(" ".join(words_of(text))) else answer
    words = words_of(text)
    if not words or _UNCLEAR.search(" ".join(words)) or text.rstrip().endswith("?"):
        return None
    if _NO.intersection(words):
        return None if _TAKEN_BACK_GERMAN.search(" ".join(words)) else False
    return True if _YES.intersection(words[:4]) else None


def key_answer(keys: str) -> bool | None:
    """Return whether the keys at a value that was read back are a yes or a no, or None for neither.

    A key that is pressed two or three times is one answer; no key but the one that ends keys is a yes.
    """
    if len(keys) > MAX_REPEATED or len(set(keys)) > 1:
        return None
    return {"": True, "1": True, "2": False}.get(keys[:1])


class YesNoReader(ValueReader[bool]):
    """Reads a yes or a no: said, or the keys 1 and 2."""

    kind = "confirm"
    expects = "yes_no"
    reads_back = False

    def __init__(self, language: str) -> None:
        super().__init__(language)
        self._answer: bool | None = None

    def hear(self, text: str, *, checking: bool = False) -> Reading:
        self._answer = says_yes(text, self.language)
        return Reading.NOTHING if self._answer is None else Reading.WHOLE

    def press(self, keys: str, *, checking: bool = False) -> Reading:
        if keys[-1:] not in ("1", "2"):
            return Reading.NOTHING
        self._answer = keys[-1] == "1"
        return Reading.WHOLE

    def keys_suffice(self, keys: str) -> bool:
        return True

    @property
    def value(self) -> bool:
        return bool(self._answer)

    def spoken(self) -> str:
        return ""

    def fault(self, words: Wording) -> str:
        return words("yes_or_no")

    def clear(self) -> None:
        self._answer = None

    def state(self) -> Any:
        return self._answer

    def restore(self, state: Any) -> None:
        self._answer = None if state is None else bool(state)

    def to_json(self, value: bool) -> Any:
        return value

    def from_json(self, value: Any) -> bool:
        return bool(value)
