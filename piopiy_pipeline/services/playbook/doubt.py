"""A value that may have been misheard: how it is read back by itself, and what the answer settles."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from piopiy_pipeline.services.playbook.consent import CLEAR_YES, polarity
from piopiy_pipeline.services.playbook.dialogue_state import DialogueStage, DialogueState
from piopiy_pipeline.services.playbook.matching import Understood
from piopiy_pipeline.services.playbook.model import PLACEHOLDER, Intent, Playbook
from piopiy_pipeline.services.playbook.slot_values import CHANGE
from piopiy_pipeline.services.playbook.values import Value, with_other
from piopiy_pipeline.services.playbook.words import read_words

__all__ = [
    "DENIES",
    "WRONG",
    "after_saying",
    "agrees",
    "confirmation",
    "doubted",
    "doubted_change",
    "is_as_done",
    "named_slot",
    "read_back",
    "settle",
    "shaken",
    "was_read_back",
]

_FIRST = re.compile(r"\b(?:1st|former)\b")
WRONG = re.compile(r"\b(?:change|different|another|instead|wrong|other)\b")
"""Beside the name of a slot: that one is to be asked for again."""
DENIES = re.compile(r"\b(?:wrong|incorrect|mistake|false|not (?:right|correct|what))\b")
"""Beside a "no" to what was done: it is to be changed, and the caller has not finished."""
_CHANGE_IT = re.compile(r"\bchange (?:it|that)\b")
_FEW = 3
"""So few words that name a slot ask for it."""
_PLAIN = re.compile(r"[\w']+")
_ONLY_YES = frozenset(("please",))
"""What is said beside a yes, and hardly beside what a yes was misheard for."""
_SECOND = re.compile(r"\b(?:2nd|latter|last)\b")


def read_back(value: Value, check: str, choose: str) -> str:
    """Return the question whether a value is what was said.

    Args:
        value: The doubtful value.
        check: The question for one value, with ``{value}`` in it.
        choose: The question between two, with ``{value}`` and ``{other}``.
    """
    if value.other is None:
        return check.replace("{value}", value.spoken)
    return choose.replace("{value}", value.other.spoken).replace("{other}", value.spoken)  # as they were said


def settle(value: Value, heard: Understood, slot: str) -> tuple[bool, Value | None]:
    """Find what an answer to the question says.

    Args:
        value: The value that was read back.
        heard: The answer.
        slot: The name of the value's slot.

    Returns:
        Whether the answer was clear, and the value that holds now: None if it was none of those.
    """
    first, second = _FIRST.search(heard.words), _SECOND.search(heard.words)
    if value.other is not None and (first or second):
        return True, replace(value.other if first else value, doubtful=False, other=None)
    said = heard.values.get(slot)
    if said is not None:
        known = {value.value, value.other.value if value.other else None}
        return True, replace(said, doubtful=False) if said.other is None and said.value in known else said
    if heard.polarity is True and value.other is None and not heard.changes:
        return True, replace(value, doubtful=False)
    return heard.polarity is False, None


def doubted(value: Value, known: Value | None) -> Value:
    """Return a value that was not asked for: one that is not sure and does not fit what is known is doubtful."""
    if known is None or value.sure or known.value == value.value:
        return value
    return with_other(value, known)


def shaken(heard: Understood, unsure: Collection[str], *, of_one_value: bool = False) -> Understood:
    """Return a sentence with doubt in each value, and without the yes, that the recogniser was not sure of.

    Args:
        heard: The sentence.
        unsure: Words of it that were heard with little confidence, as they were written.
        of_one_value: Whether it answers a question about one value. A doubtful yes will do then, because that value
            is read back once more with all others.
    """
    if not unsure:
        return heard
    words = {part for word in unsure for part in _parts(read_words(word).text)}
    values = {
        name: value
        if words.isdisjoint(_parts(heard.words[value.start : value.end]))
        else replace(value, doubtful=True)
        for name, value in heard.values.items()
    }
    sure = [word for word in heard.words.split() if word not in words]
    # Beside other words that may be wrong, a "right" or a "fine" may be, too: "You have the right."
    plainly = heard.only_polarity or CLEAR_YES.issuperset(sure[:1])
    agrees = of_one_value or (plainly and polarity(" ".join(sure))[0] is True)
    agrees = agrees or (heard.only_polarity and not _ONLY_YES.isdisjoint(sure))
    says = None if heard.polarity and not agrees else heard.polarity
    return replace(
        heard, values=values, polarity=says, only_polarity=heard.only_polarity and says is not None
    )


def after_saying(state: DialogueState, text: str, playbook: Playbook) -> DialogueState:
    """Return the state after the bot has said something, as far as the caller has heard it.

    If it was a question about one value, that value is in doubt: another instance of the bot, whose recogniser
    doubted it, may have asked.
    """
    state = replace(state, heard=f"{state.heard or ''} {text}")
    if state.intent is None or state.stage not in (DialogueStage.ASKING, DialogueStage.CONFIRMING):
        return state
    said = _plain(text)
    for name, value in state.values.items():
        checks = playbook.slots[name].check or playbook.replies.check
        if any(said.endswith(_plain(read_back(replace(value, other=None), check, ""))) for check in checks):
            values = {**state.values, name: replace(value, doubtful=True, other=None)}
            return replace(state, stage=DialogueStage.CHECKING, asked=name, values=values)
    return state


def was_read_back(state: DialogueState, playbook: Playbook) -> bool:
    """Return whether the caller has heard every value of the confirmation: who cuts into it has not agreed to it."""
    if state.heard is None or state.intent is None:
        return True
    names = {
        name
        for text in confirmation(playbook.intents[state.intent], state.again) or ()
        for name in PLACEHOLDER.findall(text)
    }
    heard = _plain(state.heard)
    return all(_plain(value.spoken) in heard for name, value in state.values.items() if name in names)


def agrees(state: DialogueState, heard: Understood) -> bool:
    """Return whether the caller says yes to the summary that was read back, and corrects nothing of it."""
    if state.stage is not DialogueStage.CONFIRMING or heard.polarity is not True:
        return False
    words = _CHANGE_IT.sub(" ", heard.words) if state.again else heard.words  # "shall I change it?"
    return not CHANGE.search(words)


def doubted_change(values: Mapping[str, Value], heard: Understood) -> dict[str, Value]:
    """Return the values that change what was done, with doubt where nothing but they says that it is to be changed."""
    if heard.changes or heard.intent is not None:
        return dict(values)
    return {name: value if value.more else replace(value, doubtful=True) for name, value in values.items()}


def is_as_done(state: DialogueState) -> bool:
    """Return whether the values are those with which it was done before: there is nothing to change."""
    if not state.again or state.values.keys() != state.done.keys():
        return False
    return all(value.value == state.done[name].value for name, value in state.values.items())


def named_slot(state: DialogueState, heard: Understood, playbook: Playbook) -> str | None:
    """Return the slot that a caller who confirms nothing names to be changed: "the time", "the day is wrong"."""
    if state.stage is not DialogueStage.CONFIRMING or state.intent is None:
        return None
    if len(heard.words.split()) > _FEW and not WRONG.search(heard.words):
        return None
    slots = playbook.intents[state.intent].slots
    return next((slot for slot in slots if f" {slot.replace('_', ' ')} " in f" {heard.words} "), None)


def confirmation(intent: Intent, again: bool) -> Sequence[str] | None:
    """Return the alternatives of the question that is asked before the tool is called."""
    return intent.changed if again and intent.changed else intent.confirm


def _plain(text: str) -> str:
    return f" {' '.join(_PLAIN.findall(text.lower()))} "


def _parts(words: str) -> list[str]:
    return re.split(r"[ :]", words) if words else []
