"""Finds what a caller meant: which intent, which slots, yes or no. It turns words into an `Understood`,
without state.

Phrases are compared with rapidfuzz. Before that, values are replaced by their kind in both texts, so that
"a table for nine on Sunday" matches `a table for {people} on {day}` exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from piopiy_pipeline.services.language_model import normalise
from piopiy_pipeline.services.playbook.model import PLACEHOLDER, Playbook, Slot
from piopiy_pipeline.services.playbook.values import Value, find_days, find_numbers, find_times

__all__ = ["THRESHOLD", "Matcher", "Understood"]

THRESHOLD = 70.0
"""The least score (0 to 100) at which a sentence counts as an intent's."""


def _list(words: str) -> list[str]:
    return words.split()


_YES = frozenset(_list("yes yeah yep yup sure okay ok correct right exactly absolutely perfect fine"))
_NO = frozenset(("no", "nope", "nah", "not"))
_YES_PHRASES = (
    "that's right",
    "that is right",
    "all right",
    "go ahead",
    "sounds good",
    "please do",
    "of course",
    "that's correct",
    "that is correct",
)
_CHANGE = re.compile(
    r"\b(?:actually|change|instead|rather|sorry|wait|make (?:it|that)|i meant|not)\b|^no\b.*\bit\b"
)
_FORGET = re.compile(r"\b(?:never mind|forget (?:it|that|about it)|cancel (?:it|that))\b")
_FILLERS = frozenset(
    _list("a an the um uh er hello hi please thanks well so and then oh just to we i you that is it")
)
_POLITE = frozenset(_list("please thanks thank you very much um uh it that is that's i"))
_NEGATIONS = frozenset(_list("not don't dont never without"))
_SHORT = 5
"""A sentence of up to so many words is read as an answer: a number in it counts, and a yes need not come first."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a sentence says: its intents, values, and whether it is a yes or a no."""

    words: str
    values: dict[str, Value] = field(default_factory=dict)
    """Values by slot: only of the slots that the dialogue asked for or that may be filled now."""
    intents: tuple[tuple[str, float], ...] = ()
    """Every intent and its score, the best first."""
    polarity: bool | None = None
    """True for a yes, False for a no, which begins the sentence or is all of it. None: neither."""
    only_polarity: bool = False
    """Whether the sentence says nothing but yes or no."""
    changes: bool = False
    """Whether a word announces a correction: actually, make it, instead."""
    forget: bool = False
    """Whether the caller gives up what they wanted: "never mind"."""

    @property
    def intent(self) -> str | None:
        """The best intent, or None if none is good enough."""
        return self.intents[0][0] if self.intents and self.intents[0][1] >= THRESHOLD else None


class Matcher:
    """Compares sentences with the phrases of one playbook."""

    def __init__(self, playbook: Playbook) -> None:
        self._slots = playbook.slots
        self._templates = {
            name: sorted({_essence(self._generic(phrase)) for phrase in intent.phrases} - {""})
            for name, intent in playbook.intents.items()
        }
        self._captures = [
            (match[1], re.compile(rf"\b{re.escape(lead)} (.+)"))
            for intent in playbook.intents.values()
            for phrase in intent.phrases
            if (match := re.search(r"\{(\w+)\}\s*$", phrase))
            and self._slots[match[1]].type == "text"
            and (lead := normalise(phrase[: match.start()]))
        ]
        simple = (
            (tuple(self._generic(phrase).split()), name)
            for name, intent in playbook.intents.items()
            if not intent.slots
            for phrase in intent.phrases
        )
        self._simple = sorted(set(simple), key=lambda each: (-len(each[0]), each))

    def read(self, text: str, *, slots: Sequence[str], asked: str | None = None) -> Understood:
        """Find what a sentence says.

        Args:
            text: The sentence, as the recogniser or the author's test wrote it.
            slots: The names of the slots that it may fill.
            asked: The slot that the bot has just asked for, if any.
        """
        words = normalise(text)
        ranked = self._rank(words)
        changes = bool(_CHANGE.search(words))
        values = self._values(words, slots, asked)
        length = len(words.split())
        if length > (2 * _SHORT if changes else _SHORT) and (not ranked or ranked[0][1] < THRESHOLD):
            # Off the subject, or misheard: a number by chance is no answer.
            values = {name: value for name, value in values.items() if value.sure}
        polarity, outright = _polarity(words)
        return Understood(
            words=words,
            values=values,
            intents=ranked,
            polarity=polarity,
            only_polarity=outright and not values,
            changes=changes,
            forget=bool(_FORGET.search(words)),
        )

    def split(self, text: str) -> tuple[list[str], str]:
        """Find the intents without slots that a sentence names word for word, beside something else perhaps.

        "Yes, that is right, thank you, goodbye" is a yes and a goodbye.

        Args:
            text: The sentence.

        Returns:
            The names of these intents, in the order in which they were said, and the rest of the words.
        """
        words = normalise(text)
        tokens = _tokens(words, self._spans(words))
        generic = [kind for kind, _ in tokens]
        owner: list[str | None] = [None] * len(tokens)
        for phrase in _YES_PHRASES:  # "that is all right" says nothing of "that is all"
            for at in _places(generic, tuple(phrase.split()), owner):
                owner[at : at + len(phrase.split())] = [""] * len(phrase.split())
        found: list[tuple[int, str]] = []
        for phrase_words, name in self._simple:
            size = len(phrase_words)
            for at in _places(generic, phrase_words, owner):
                at_edge = at == 0 or at + size == len(tokens)
                negated = at > 0 and generic[at - 1] in _NEGATIONS
                if (size > 1 or at_edge) and not negated:
                    owner[at : at + size] = [name] * size
                    found.append((at, name))
        rest = " ".join(said for (_, said), name in zip(tokens, owner, strict=True) if not name)
        return [name for _, name in sorted(found)], rest

    def _spans(self, words: str) -> list[tuple[Value, str]]:
        """Find every value in the words, with its kind."""
        spans = [(value, "time") for value in find_times(words) if value.sure]
        spans += [(value, "day") for value in find_days(words)]
        spans += [(value, "number") for value in find_numbers(words)]
        for slot in self._slots.values():
            if slot.type == "one_of":
                spans += [(value, "one_of") for value in _find_one_of(words, slot)]
        return spans

    def _rank(self, words: str) -> tuple[tuple[str, float], ...]:
        said = _essence(_replace(words, self._spans(words)))
        scored = [
            (name, max((_score(said, template) for template in templates), default=0.0))
            for name, templates in self._templates.items()
        ]
        return tuple(sorted(scored, key=lambda each: -each[1]))

    def _generic(self, phrase: str) -> str:
        """Replace the slots of a phrase by the kinds of their values: `for {people}` becomes `for <number>`."""
        kinds = {name: f"x{slot.type.replace('_', '')}x" for name, slot in self._slots.items()}
        marked = PLACEHOLDER.sub(lambda match: f" {kinds[match[1]]} ", phrase)
        words = normalise(marked)
        # A phrase may have a value written out: "are you open on Sunday".
        spans = [(value, "time") for value in find_times(words) if value.sure]
        return _replace(words, [*spans, *((value, "day") for value in find_days(words))])

    def _values(self, words: str, names: Sequence[str], asked: str | None) -> dict[str, Value]:
        by_type: dict[str, list[str]] = {}
        for name in sorted(names, key=lambda each: each != asked):  # the one asked for comes first
            by_type.setdefault(self._slots[name].type, []).append(name)
        asked_type = self._slots[asked].type if asked else None
        found: dict[str, Value] = {}

        times: list[Value] = []
        if "time" in by_type:
            every = find_times(words, assume=self._slots[by_type["time"][0]].assume)
            times = [value for value in every if value.sure]
        days = find_days(words) if "day" in by_type else []
        numbers = [
            value
            for value in find_numbers(words)
            if not any(value.start < other.end and other.start < value.end for other in [*times, *days])
        ]
        if "time" in by_type and not times:
            bare = {value.start: value for value in every}
            unsure = [value for value in numbers if not value.sure and value.start in bare]
            # "seven": an hour if the hour was asked for, or if the number is there already
            if asked_type == "time" or "number" not in by_type:
                taken = unsure[-1:]
            else:
                taken = unsure[1:] if len(unsure) == len(numbers) else unsure[-1:]
                taken = taken[-1:] if len(numbers) > 1 else []
            times = [bare[value.start] for value in taken]
            numbers = [value for value in numbers if value not in taken]
        for kind, values in (("time", times), ("day", days), ("number", numbers)):
            kept = _without_negated(words, values)
            if kind in by_type and kept:
                found[by_type[kind][0]] = kept[-1]
        for name in by_type.get("one_of", ()):
            if options := _without_negated(words, _find_one_of(words, self._slots[name])):
                found[name] = options[-1]
        for name in by_type.get("text", ()):
            if value := self._text(words, name, asked):
                found[name] = value
        return found

    def _text(self, words: str, name: str, asked: str | None) -> Value | None:
        for slot, pattern in self._captures:
            if slot == name and (match := pattern.search(words)):
                return Value(match[1], match[1], match.start(1), match.end(1))
        if name == asked and words and not _polarity(words)[1]:
            return Value(words, words, 0, len(words))
        return None


def _polarity(words: str) -> tuple[bool | None, bool]:
    """Return yes, no or None for neither, and whether the sentence says nothing else."""
    parts = words.split()
    if not parts:
        return None, False
    polarity: bool | None = None
    short = len(parts) <= _SHORT
    if parts[0] in _NO or (short and _NO.intersection(parts)):
        polarity = False
    elif parts[0] in _YES or words.startswith(_YES_PHRASES) or (short and _YES.intersection(parts)):
        polarity = True
    if polarity is None:
        return None, False
    kin = _YES if polarity else _NO
    for phrase in _YES_PHRASES if polarity else ():
        words = words.replace(phrase, "")
    rest = [word for word in words.split() if word not in kin and word not in _POLITE]
    return polarity, len(rest) == 0


def _replace(words: str, spans: Iterable[tuple[Value, str]]) -> str:
    """Replace spans of `words` by their kinds. Of two spans that overlap, the earlier one counts."""
    return " ".join(kind for kind, _ in _tokens(words, spans))


def _tokens(words: str, spans: Iterable[tuple[Value, str]]) -> list[tuple[str, str]]:
    """Split words into pairs: a word, or the kind of a value, and what was said for it."""
    taken: list[tuple[int, int, str]] = []
    for value, kind in spans:
        if all(value.end <= start or end <= value.start for start, end, _ in taken):
            taken.append((value.start, value.end, kind))
    tokens: list[tuple[str, str]] = []
    at = 0
    for start, end, kind in sorted(taken):
        tokens += [(word, word) for word in words[at:start].split()]
        said = words[start:end]
        if kind == "time" and said.startswith("at "):
            tokens.append(("at", "at"))
            said = said[3:]
        tokens.append((f"x{kind.replace('_', '')}x", said))
        at = end
    return [*tokens, *((word, word) for word in words[at:].split())]


def _places(tokens: Sequence[str], phrase: Sequence[str], owner: Sequence[str | None]) -> list[int]:
    """Return where a phrase stands in the tokens, of which none has an owner yet."""
    size = len(phrase)
    return [
        at
        for at in range(len(tokens) - size + 1)
        if tuple(tokens[at : at + size]) == tuple(phrase)
        and not any(each is not None for each in owner[at : at + size])
    ]


def _essence(words: str) -> str:
    kept = [word for word in words.split() if word not in _FILLERS]
    return " ".join(kept) or words


def _score(said: str, template: str) -> float:
    """Return how like two texts are, both in order and as sets of words.

    Order alone fails with "Sunday are you open", and sets of words alone fail with "open".
    """
    return 0.5 * fuzz.ratio(said, template) + 0.5 * fuzz.token_set_ratio(said, template)


def _without_negated(words: str, values: Iterable[Value]) -> list[Value]:
    """Leave out the values that come after "not" or "instead of": "not Friday, Saturday"."""
    return [
        value
        for value in values
        if not re.search(r"\b(?:not|instead of|rather than)(?: on| at| for)? $", words[: value.start])
    ]


def _find_one_of(words: str, slot: Slot) -> list[Value]:
    found: list[Value] = []
    parts = [(match.start(), match.end()) for match in re.finditer(r"\S+", words)]
    for name, others in slot.values.items():
        for option in {normalise(name), *(normalise(other) for other in others)} - {""}:
            size = len(option.split())
            for at in range(len(parts) - size + 1):
                start, end = parts[at][0], parts[at + size - 1][1]
                if fuzz.ratio(words[start:end], option) >= 86:
                    found.append(Value(name, name, start, end))
    return sorted(found, key=lambda value: value.start)
