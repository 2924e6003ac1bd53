"""What callers say beside a value: that they have not heard, do not want to say it, or ask something. Without I/O."""

from __future__ import annotations

import re

from piopiy_pipeline.services.playbook.sentence_kinds import is_question

__all__ = ["asks", "asks_to_repeat", "refuses", "starts_over"]

_REPEAT = {
    "en": re.compile(
        r"\b(?:what was that|what did you say|say (?:that|it) again|(?:can|could) you repeat|repeat (?:that|it|please)"
        r"|pardon|come again|i (?:didn't|did not) (?:hear|catch|get) (?:that|you|it)|excuse me)\b"
        r"|^(?:what|sorry|huh|repeat)$"
    ),
    "de": re.compile(
        r"\b(?:wie bitte|was haben sie gesagt|noch ?mal bitte|können sie (?:das )?wiederholen|wiederholen sie"
        r"|(?:habe?|hab) (?:sie |das )?nicht (?:verstanden|gehört)|bitte wiederholen)\b|^(?:was|wie|hä)$"
    ),
}
_REFUSES = {
    "en": re.compile(
        r"\b(?:never ?mind|forget (?:it|about it|that)|i (?:don't|do not) (?:want to|wanna|have (?:one|it|any|that))"
        r"|i'd rather not|i would rather not|i won't (?:tell|say|give)|none of your business|skip (?:it|that|this)"
        r"|i (?:give up|changed my mind)|cancel (?:it|that|this)|stop asking|no idea"
        r"|i (?:don't|do not) know)\b|^cancel$"
    ),
    "de": re.compile(
        r"\b(?:vergessen sie (?:es|das)|vergiss (?:es|das)"
        r"|(?:ich )?(?:will|möchte) (?:ich )?(?:das )?nicht (?:sagen|angeben)"
        r"|ich (?:habe|hab) keine|das geht sie nichts an|überspringen|ich gebe auf|abbrechen|egal|keine ahnung"
        r"|(?:ich )?weiß (?:ich )?(?:es |das )?nicht)\b"
    ),
}
_RESTART = re.compile(
    r"\b(?:start (?:over|again)|from the (?:start|beginning)|von vorne?|nochmal neu|von neuem)\b"
)
_GERMAN_QUESTION = re.compile(
    r"^(?:und |aber |ähm? )*(?:was|wer|wie|wo|wann|warum|wieso|welche\w*|haben sie|gibt es|kann ich|ist das|sind sie)\b"
)


def asks_to_repeat(plain: str, code: str) -> bool:
    """Return whether a caller wants to hear the last question again. `plain`: the words, in small letters."""
    return (found := _REPEAT.get(code)) is not None and found.search(plain) is not None


def refuses(plain: str, code: str) -> bool:
    """Return whether a caller does not want to give the value, or does not have it."""
    return (found := _REFUSES.get(code)) is not None and found.search(plain) is not None


def starts_over(plain: str) -> bool:
    """Return whether a caller wants to begin anew."""
    return _RESTART.search(plain) is not None


def asks(text: str, plain: str, code: str) -> bool:
    """Return whether a caller asks something. `text`: what was said, with its marks."""
    if code == "de" and _GERMAN_QUESTION.match(plain) is not None:
        return True
    return text.rstrip().endswith("?") or is_question(plain)
