"""Finds what a caller meant: which intent, which slots, yes or no. It turns words into an `Understood`,
without state.

Before sentences are compared with examples (`likeness.py`), values are replaced by their kind in both, so that
"a table for nine on Sunday" is like `a table for {people} on {day}`, and like "a table for four on Friday".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from piopiy_pipeline.services.playbook.consent import YES_PHRASES, polarity
from piopiy_pipeline.services.playbook.days import find_days
from piopiy_pipeline.services.playbook.likeness import THRESHOLD, Likeness
from piopiy_pipeline.services.playbook.model import PLACEHOLDER, Playbook
from piopiy_pipeline.services.playbook.relative_values import count_people
from piopiy_pipeline.services.playbook.sentence_kinds import is_question, without_refused
from piopiy_pipeline.services.playbook.sentence_vectors import SentenceVectors
from piopiy_pipeline.services.playbook.slot_values import CHANGE, SlotReader
from piopiy_pipeline.services.playbook.values import Value, find_times
from piopiy_pipeline.services.playbook.words import MAX_CHARACTERS, Words, read_words

__all__ = ["LIKELY", "PLAIN", "Matcher", "Understood"]

_FORGET = re.compile(r"\b(?:never mind|forget (?:it|that|about it))\b")
_CANCEL = re.compile(r"\bcancel (?:it|that|this|everything|(?:the|my|our|this|that) \w+)\b")
_NEGATIONS = frozenset(("not", "don't", "dont", "never", "without"))
_NOISE = "a an the for to of on at in is it i you we he she they and or but so um uh hmm er oh ah"
_FUNCTION = frozenset(_NOISE.split())
"""What a recogniser makes of noise: it means nothing alone."""
_SHORT = 5
"""A sentence of up to so many words is read as an answer: a number in it counts."""
_LONG = 10
"""A sentence of more words that is like no example is misheard, or off the subject: its values are doubtful."""
LIKELY = 0.65
"""From this score (0 to 1) on, an intent is served that cannot be taken back, or that interrupts another one."""
PLAIN = 0.8
"""From this score (0 to 1) on, what is said beside something else is taken for an intent's."""
_BESIDE = 0.6
"""From this score on, what stands beside an example word for word is what the sentence is about."""
_SENTENCES = re.compile(
    r"(?<=[.!?;])\s+|,? (?:and|but) (?=(?:what|when|where|who|how|can|could|do|are|is|please|thank)\b)"
)
_KINDS = {"time": "time", "day": "friday", "number": "number", "one_of": "kind", "text": "name"}
"""The words that stand for values when sentences are compared."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a sentence says: its intents, values, and whether it is a yes or a no."""

    words: str
    values: dict[str, Value] = field(default_factory=dict)
    """Values by slot: only of the slots that the dialogue asked for or that may be filled now."""
    intents: tuple[tuple[str, float], ...] = ()
    """Every intent and its score (0 to 1), the best first."""
    polarity: bool | None = None
    """True for a yes, False for a no. None: neither, or not clearly."""
    only_polarity: bool = False
    """Whether the sentence says nothing but yes or no."""
    changes: bool = False
    """Whether a word announces a correction: actually, make it, instead."""
    forget: bool = False
    """Whether the caller gives up what they wanted: "never mind"."""
    cancels: bool = False
    """Whether the caller says "cancel it": what is under way, or what was done."""
    refused: str | None = None
    """The intent that the caller says they do not want, if they say nothing else."""

    @property
    def intent(self) -> str | None:
        """The best intent, or None if none is good enough."""
        return self.intents[0][0] if self.intents and self.intents[0][1] >= THRESHOLD else None


class Matcher:
    """Compares sentences with the examples of one playbook.

    Args:
        playbook: The playbook.
        vectors: Makes vectors of sentences; None compares by letters alone.
    """

    def __init__(self, playbook: Playbook, *, vectors: SentenceVectors | None) -> None:
        self.slots = playbook.slots
        self._reader = SlotReader(playbook.slots, playbook.intents.values())
        examples = {
            name: sorted({self._generic(example) for example in intent.examples} - {""})
            for name, intent in playbook.intents.items()
        }
        self._likeness = Likeness(examples, vectors, _KINDS.values())
        self._every_example = frozenset().union(*examples.values())
        # Every turn is read anew whenever a conversation is computed.
        self._understood = lru_cache(maxsize=1024)(self._understand)
        self._parted = lru_cache(maxsize=1024)(self._part)
        self._names = tuple(playbook.intents)
        simple = (
            (tuple(self._generic(example).split()), name)
            for name, intent in playbook.intents.items()
            if not intent.slots
            for example in intent.examples
        )
        self._simple = sorted(set(simple), key=lambda each: (-len(each[0]), each))

    def read(
        self,
        text: str,
        *,
        slots: Sequence[str],
        asked: str | None = None,
        known: Mapping[str, Value] | None = None,
    ) -> Understood:
        """Find what a sentence says.

        Args:
            text: The sentence, as a recogniser or a person wrote it.
            slots: The names of the slots that it may fill.
            asked: The slot that the bot has just asked for, if any.
            known: The values that slots have. A bare number is none of a number that is known while a time is not.
        """
        return self._understood(
            text, tuple(slots), asked, frozenset((name, value.value) for name, value in (known or {}).items())
        )

    def _understand(
        self, text: str, slots: tuple[str, ...], asked: str | None, known: frozenset[tuple[str, str | int]]
    ) -> Understood:
        number = asked is not None and self.slots[asked].type in ("number", "time")
        text, refused = self._wanted(text)
        words = read_words(text, number=number)
        ranked = self._rank(words) if refused is None else tuple((name, 0.0) for name in self._names)
        changes = bool(CHANGE.search(words.text))
        values = self._reader.values(text, words, slots, asked, dict(known)) if refused is None else {}
        length = len(words.text.split())
        if not ranked or ranked[0][1] < THRESHOLD:
            if length > (2 * _SHORT if changes else _SHORT):
                # Off the subject, or misheard: a number by chance is no answer.
                values = {name: value for name, value in values.items() if value.sure}
            if length > _LONG:
                values = {name: replace(value, doubtful=True) for name, value in values.items()}
        says, outright = polarity(words.text, question=text.rstrip().endswith("?"))
        return Understood(
            words=words.text,
            values=values,
            intents=ranked,
            polarity=says,
            only_polarity=outright and not values,
            changes=changes,
            forget=bool(_FORGET.search(words.text)),
            cancels=bool(_CANCEL.search(words.text)),
            refused=refused,
        )

    def _wanted(self, text: str) -> tuple[str, str | None]:
        """Return what was said without what is not wanted, and if nothing is left, all of it and what is not wanted."""
        text = text[:MAX_CHARACTERS]
        rest = without_refused(text)
        if rest == text or self._generic(text) in self._every_example:
            return text, None
        if rest:
            return rest, None
        ranked = self._rank(read_words(text))
        return text, ranked[0][0] if ranked[0][1] >= THRESHOLD else ""

    def says_no_first(self, text: str) -> bool:
        """Return whether the first sentence of a turn is a no, and nothing else."""
        first = _SENTENCES.split(text[:MAX_CHARACTERS], maxsplit=1)[0]
        return polarity(read_words(first).text) == (False, True)

    def split(self, text: str) -> tuple[list[str], str]:
        """Find the intents without slots that a turn names, beside something else perhaps.

        "Yes, that is right, thank you, goodbye" is a yes and a goodbye. Examples are found anywhere, and a sentence
        of several that is plainly an intent's, in whatever words.

        Args:
            text: The sentence.

        Returns:
            The names of these intents, in the order in which they were said, and the rest of the words.
        """
        names, rest = self._parted(text)
        return list(names), rest

    def _part(self, text: str) -> tuple[tuple[str, ...], str]:
        text, refused = self._wanted(text)
        if refused is not None:
            return (), read_words(text).text
        sentences = [each for each in _SENTENCES.split(text) if each.strip()]
        names: list[str] = []
        rest: list[str] = []
        for sentence in sentences:
            words = read_words(sentence)
            found, others = self._spotted(words)
            whole = self._rank(words)[0] if len(sentences) > 1 and not found and " " in words.text else None
            if whole and whole[1] >= LIKELY and self._is_simple(whole[0]) and polarity(others)[0] is None:
                found, others = (whole[0],), ""
            names += found
            rest.append(others)
        return tuple(names), " ".join(filter(None, rest))

    def _is_simple(self, name: str) -> bool:
        """Return whether an intent needs no values, so that it can be served beside another one."""
        return name in {name for _, name in self._simple}

    def _spotted(self, words: Words) -> tuple[tuple[str, ...], str]:
        """Find examples of intents without slots word for word, and return the rest of the words."""
        tokens = _tokens(words.text, self._spans(words))
        generic = [kind for kind, _ in tokens]
        owner: list[str | None] = [None] * len(tokens)
        for phrase in YES_PHRASES:  # "that is all right" says nothing of "that is all"
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
        return tuple(name for _, name in sorted(found)), rest

    def _spans(self, words: Words) -> list[tuple[Value, str]]:
        """Find every value in the words, with its kind."""
        spans = [(value, "time") for value in find_times(words) if value.sure]
        spans += [(value, "day") for value in find_days(words)]
        spans += [(value, "number") for value in count_people(words)]
        spans += [(value, "one_of") for value in self._reader.in_lists(words)]
        return spans

    def _rank(self, words: Words) -> tuple[tuple[str, float], ...]:
        said = set(_replace(words.text, self._spans(words)).split()) - _FUNCTION
        if said.issubset(_KINDS.values()) and len(said) < 2:
            return tuple((name, 0.0) for name in self._names)  # a value alone is nobody's
        ranked = self._ranked(words)
        named, rest = self._spotted(words)  # "hi, do you have a table": what stands beside the "hi" counts
        if named and len(rest.split()) > 2:
            others = self._ranked(read_words(rest))
            if others[0][1] >= _BESIDE and others[0][0] not in named:
                return others
        return ranked

    def _ranked(self, words: Words) -> tuple[tuple[str, float], ...]:
        said = _replace(words.text, self._spans(words))
        scores = self._likeness.scores(said, question=is_question(words.text))
        return tuple(sorted(scores.items(), key=lambda each: -each[1]))

    def _generic(self, example: str) -> str:
        """Replace values by the words for their kinds: `for {people}` becomes `for number`, and "for four" too."""
        kinds = {name: f"x{slot.type.replace('_', '')}x" for name, slot in self.slots.items()}
        words = read_words(PLACEHOLDER.sub(lambda match: f" {kinds[match[1]]} ", example))
        text = _replace(words.text, self._spans(words))
        for kind, word in _KINDS.items():
            text = text.replace(f"x{kind.replace('_', '')}x", word)
        return text


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
        tokens.append((_KINDS[kind], said))
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
