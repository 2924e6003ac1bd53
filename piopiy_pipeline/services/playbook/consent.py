"""Whether a sentence says yes or no. An unclear one says neither: nothing is done without a clear yes."""

from __future__ import annotations

import re

__all__ = ["CLEAR_YES", "YES_PHRASES", "polarity"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


YES_PHRASES = (
    "that's right",
    "that is right",
    "all right",
    "go ahead",
    "sounds good",
    "sounds great",
    "sounds perfect",
    "please do",
    "of course",
    "that's correct",
    "that is correct",
    "you got it",
    "you've got it",
    "that's perfect",
    "that's fine",
    "works for me",
    "do it",
    "do that",
    "book it",
    "uh huh",
    "mm hmm",
    "i think so",
    "why not",
    "no problem",
    "no worries",
    "you bet",
    "all good",
    "looks good",
    "that works",
    "i suppose so",
    "that's me",
    "mhm",
)
_NO_PHRASES = (
    "of course not",
    "certainly not",
    "i don't think so",
    "i do not think so",
    "it isn't",
    "it is not",
    "it's not",
    "that's not",
    "not quite",
    "not really",
    "not at all",
    "rather not",
    "i do not",
    "don't",
    "please don't",
    "absolutely not",
    "definitely not",
    "nuh uh",
    "uh uh",
    "got it wrong",
    "got that wrong",
)
_YES = _words(
    "yes yeah yep yup yea ya sure surely okay ok correct right exactly absolutely perfect fine definitely certainly "
    "indeed great lovely wonderful alright precisely totally yess yas affirmative"
)
_NO = _words("no nope nah not wrong incorrect neither never false negative")
_AGREES = _words("yes yeah yep yup okay ok alright right correct fine")
"""Takes a "no" back that stands right before it: "no, okay". With thanks it declines: "no, that's fine, thanks"."""
_THANKS = _words("thanks thank")
CLEAR_YES = _words("yes yeah yep yup correct exactly absolutely definitely")
"""Words that are a yes at the beginning of a sentence, whatever comes behind them."""
_BRIEF = re.compile(r"(?:it (?:is|does)|i (?:do|would)|you (?:are|did)|we (?:do|are)|they do)")
_UNCLEAR = re.compile(
    r"\b(?:not sure|unsure|wait|hold on|hang on|1 (?:moment|2nd)|a (?:moment|2nd|minute)|maybe|perhaps|pardon|excuse me"
    r"|repeat|say that again|sorry|almost|nearly|if|unless|depends|let me)\b"
)
_ASKING = re.compile(
    r"\b(?:what|who|which|when|why|how|where|is (?:that|it|this)|was (?:that|it)|did (?:you|i)|do (?:you|i)|can|could"
    r"|would (?:you|i|that)|are|am i|have you)\b"
)
"""What makes a sentence unclear that has a yes in it: a doubt or a condition, and a question that does not begin with
a clear yes."""
_POLITE = _words(
    "please thanks thank you very much um uh er ah oh well so it that is that's i it's just indeed for the sir but"
    " madam ma'am dear then and hmm now lot a all"
)
_FRAME = _POLITE | _words(
    "this think guess suppose believe sounds sound looks look seems would i'd be will works work quite just me us to"
    " you're are heard got understood everything with as again also good"
)
_SHORT = 5
"""A sentence of up to so many words is read as an answer: a yes need not come first, if nothing stands before it but
what people say around one: "you have the right" has none."""


def polarity(words: str, *, question: bool = False) -> tuple[bool | None, bool]:
    """Return yes, no or None for neither, and whether the sentence says nothing else.

    Args:
        words: A sentence in plain words.
        question: Whether it was said as a question, which is no answer.
    """
    text = words
    for phrase in _NO_PHRASES:
        text = _replaced(text, phrase, "no")
    for phrase in YES_PHRASES:
        text = _replaced(text, phrase, "yes")
    if _BRIEF.fullmatch(text):
        text = "yes"
    if text in ("know", "now"):  # what a recogniser makes of a "no" alone
        text = "no"
    text = re.sub(r"\b(?:is|was|do|does|are|would|could|should|ca|wo)n't\b", "no", text)
    parts = text.split()
    if not parts:
        return None, False
    short = len(parts) <= _SHORT
    begins = next((part for part in parts if part not in _POLITE), parts[0])
    heard = parts if short else parts[: parts.index(begins) + 1]
    yes, no = (
        bool(_YES.intersection(heard)),
        bool(_NO.intersection(parts)),
    )  # a "no" counts wherever it is said
    if no and yes:
        if begins in _NO and _agrees_after_all(words.split()):
            return None, False
        return (False if begins in _NO else None), False
    if no:
        rest = [part for part in parts if part not in _NO and part not in _POLITE]
        return False, not rest
    asking = begins not in CLEAR_YES and (question or _ASKING.search(text))
    if not yes or asking or _UNCLEAR.search(text):
        return None, False
    plain = begins in _YES or not CLEAR_YES.isdisjoint(parts)
    if not plain and not _FRAME.issuperset(part for part in parts if part not in _YES):
        return None, False
    rest = [part for part in parts if part not in _YES and part not in _POLITE]
    return True, not rest


def _agrees_after_all(words: list[str]) -> bool:
    """Whether nothing comes behind a "no" but a yes: "no okay", "no no that's fine"."""
    if not _THANKS.isdisjoint(words):
        return False
    behind = [word for word in words if word not in _POLITE]
    while behind and behind[0] in ("no", "nope", "nah"):
        behind = behind[1:]
    return bool(behind) and _AGREES.issuperset(behind)


def _replaced(text: str, phrase: str, word: str) -> str:
    return re.sub(rf"(?<!\S){re.escape(phrase)}(?!\S)", word, text)
