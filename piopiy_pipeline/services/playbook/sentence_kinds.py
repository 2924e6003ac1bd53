"""What a sentence refuses ("I don't want a table"), and what it asks about ("is there vegan food?").

A comparison with examples hears neither: "I don't want to speak to a human" is very like "I want to speak to a human",
and "what's your address?" like "what are your opening hours?".
"""

from __future__ import annotations

import re

__all__ = ["asks_on", "contents", "is_question", "without_refused"]

_REFUSED = re.compile(
    r"\b(?:i|we) (?:really |just |certainly )?"
    r"(?:do not|don['’]?t|did not|didn['’]?t|would not|wouldn['’]?t|never|no longer)"
    r" (?:really |actually |even )?(?:want|need|wish|like|ask|asked|have to)(?:ed)?\b"
    r"(?! (?:\w+ )?(?:anything|nothing))(?! (?:\w+ ){0,6}(?:machine|robot|bot|computer)\b)"
    r"(?:(?!\b(?:but|just|only)\b|\b(?:i|we) (?:want|need|would|just)\b|\bi['’]d\b)[^,.;!?])*[,.;!?]?(?:\s*but\b)?",
    re.IGNORECASE,
)
"""A clause that says what somebody does not want, up to its end or to what they do want."""
_QUESTION = re.compile(
    r"(?:(?:and|but|so|oh|okay|ok|well|um|sorry|by the way|excuse me|hi|hello|then) )*"
    r"(?:what|where|when|who|which|how|do|does|is|are|have|has|what's|where's|who's|how's|there's|whats)(?!\S)"
)
_MORE_OF_IT = re.compile(
    r"(?:and|what about|how about|or)(?: (?:on|at|for|the|this|in|what|how|about|then|\w*days?))*"
)
_ALSO = re.compile(r"and(?: (?:on|at|for|the|this|in|what|how|about|then|\w*days?))*")
_WORDS = """
what which how why do does did is are am was were be been have has had can could would will shall
should may might must what's how's that's it's there's there here whats a an the this that these
those it i you we they he she me us them my your our their his her i'd i'm i'll we'd we're you're to
of for on at in by with from and or but so if not no yes please any anything some something somebody
anybody tell let know just also too then now um uh oh well okay ok sorry hi hello hey want like need
got many much more
"""
_LITTLE = frozenset(_WORDS.split())
"""Words that stand in questions about anything."""


def without_refused(text: str) -> str:
    """Return a text without the clauses that say what somebody does not want.

    Args:
        text: What was said, with its punctuation.
    """
    return _REFUSED.sub(" ", text).strip(" ,.;!?") if _REFUSED.search(text) else text


def is_question(words: str) -> bool:
    """Return whether plain words begin as a question about something, which asks the listener to do nothing."""
    return _QUESTION.match(words) is not None and not re.match(r"(?:how|what) about ", words)


def asks_on(words: str, *, plainly: bool) -> bool:
    """Return whether plain words ask the question before them again, of something else: "and on Sundays?"

    Args:
        words: The words.
        plainly: Whether only "and" will do, because another question is open that "what about Sunday" may answer.
    """
    return (_ALSO if plainly else _MORE_OF_IT).fullmatch(words) is not None


def contents(words: str) -> frozenset[str]:
    """Return the words of a sentence that say what it is about."""
    return frozenset(word for word in words.split() if word not in _LITTLE)
