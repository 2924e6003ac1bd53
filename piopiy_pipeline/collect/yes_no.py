"""Yes and no: the answer to a read-back, and a value of its own. English is read as playbooks read it."""

from __future__ import annotations

import re
from typing import Any

from piopiy_pipeline.collect.value_reader import Reading, ValueReader, Wording
from piopiy_pipeline.collect.yes_no_words import BRIEF_WORDS, YES_NO_WORDS
from piopiy_pipeline.services.playbook.consent import polarity
from piopiy_pipeline.services.playbook.words import read_words
from piopiy_pipeline.turns.caller_words import language_code, words_of

__all__ = ["YesNoReader", "key_answer", "says_yes"]


MAX_REPEATED = 3
"""One key, pressed so many times in a row, is one answer. More are a number."""


_TAKEN_BACK = re.compile(
    r"\b(?:yes|yeah|yep|yup|(?<!not )(?<!n't )(?<!never )go ahead|i mean (?:ok|okay|sure|right|correct)"
    r"|(?<!not )(?:is|was|that's|it's|all|quite) (?:right|correct|fine|okay|ok))\b(?! \w* ?(?:not|wrong)\b)"
    r"|\b(?:not|isn't|wasn't|nothing|nothing is|nothing's) (?:wrong|incorrect|false)\b"
)
"""What makes a "no" unclear: the caller has taken it back, or denies that something is wrong."""
_DECLINES = re.compile(
    r"(?:no|nope|nah),? (?:thanks|thank you)\b(?:(?!\b(?:yes|yeah|yep|right|correct)\b).)*"
)
"""A no with thanks, which is none that is taken back: "no thanks, that's fine"."""
_NO_ANSWER = re.compile(
    r"\b(?:no (?:idea|clue|one)|nobody|never ?mind|(?:do|did|ca|could|would)(?:n't|nnot| not) (?:really |quite |even )?"
    r"(?:know|understand|remember|recall|hear|catch|follow|get (?:that|it|you|what))"
    r"|do(?:n't| not) (?:really )?(?:mind|care)|can(?:'t|not) (?:say|tell)|do(?:n't| not) (?:hang up|go(?! ahead))"
    r"|(?:something|anything)(?:'s| is| was| went) wrong)\b"
)
"""Has a negation in it and answers nothing: the caller has not understood, does not know, or does not mind."""
_WRONG_ONE = re.compile(
    r"\bwrong (?!again|sorry|please|thanks|thank|i|i'm|it|it's|that|that's|the|and|but|because|too|now|there|here)\w+"
)
"""Calls something wrong that it names, "the wrong house": a no only to a value that was read back."""
_NOT_SAID = re.compile(
    r"\b(?:didn't|did not|never|haven't|have not) (?:say|said|mean|meant) (?:yes|no|okay|ok)\b"
)
"""Denies an answer, and gives none: "I didn't say yes"."""
_AGREES = re.compile(r"\b(?:don't|do not|can't|cannot) see why not\b")
_BEGINS_WITH_NO = re.compile(
    r"(?:(?:um+|uh|oh|well|so|sorry|and|but|actually) )*(?:no|nope|nah|never|not|absolutely not|definitely not)\b"
)


_TYPED = {"y": True, "j": True, "n": False, "👍": True, "👎": False}
"""Answers as they are typed in a text chat."""


def says_yes(text: str, language: str, *, of_value: bool = False) -> bool | None:
    """Return yes, no, or None for neither: an unclear answer, or a "no" that is taken back ("no, I mean yes").

    Args:
        text: What was said.
        language: Its language, by its code. Without words for it, English ones count.
        of_value: Whether a value was read back before it: "the wrong number" is a no to that, and to no question.
    """
    if (typed := _TYPED.get(text.lower().strip(" .!\ufe0f").rstrip("🏻🏼🏽🏾🏿"))) is not None:
        return typed
    plain = " ".join(words_of(text))
    question = text.rstrip().endswith("?")
    if (words := YES_NO_WORDS.get(language_code(language))) is not None:
        answer = None if question or not plain else words.answer(plain, of_value=of_value)
    else:
        answer = polarity(read_words(text).text, question=question)[0]
        if _AGREES.search(plain):
            return True
        if answer is not None and _NOT_SAID.search(plain):
            return None
        begins = _BEGINS_WITH_NO.match(plain) is not None
        if answer is False and not _DECLINES.fullmatch(plain):
            of_else = not of_value and (_WRONG_ONE.search(plain) or len(plain.split()) > BRIEF_WORDS)
            if _NO_ANSWER.search(plain) or _TAKEN_BACK.search(plain) or (of_else and not begins):
                answer = None
    return answer


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
