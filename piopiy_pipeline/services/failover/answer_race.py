"""`AnswerRace`: which of several language models gives an answer. Without I/O; times are seconds of one clock.

The first model is asked. If its first word, or the rest of its first sentence, does not come in time, the next
one is asked beside it. The first whole sentence wins, or a tool call, and the others are dropped. Only whole
sentences are passed on, so that a model which falls silent in the middle of its answer leaves no half
sentence: the next model goes on where the last sentence ended.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pipecat.utils.string import match_endofsentence

__all__ = ["AnswerRace", "Ask", "Drop", "Lost", "Say", "Step", "Won", "sentence_end"]

SENTENCES = 2.0
"""A sentence may take this many times as long as a token."""
LONGEST_HELD = 600
"""So many characters without the end of a sentence are passed on all the same."""

_END = re.compile(r"[.!?…؟।]+[\"'”’»)\]]*(?=\s+\S)|[。！？]+[」』”’）]*(?=\s*\S)|\n(?=\s*\S)")


def sentence_end(text: str) -> int:
    """Return where the last whole sentence of `text` ends, in characters; 0 if there is none.

    Something has to follow it: a full stop at the very end may be the point of a number. What follows an
    abbreviation does not end a sentence (pipecat's rule, which its voices go by, too).
    """
    end = 0
    for match in _END.finditer(text):
        follows = len(text) - len(text[match.end() :].lstrip()) + 1
        if text[end : match.end()].strip() and (
            match.group() == "\n" or match_endofsentence(text[end:follows].lstrip())
        ):
            end = match.end()
    return end or (len(text) if len(text) >= LONGEST_HELD else 0)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a model. `said` is what the caller was told of this answer already: the model is to go on from there."""

    who: int
    said: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Cancel the request to a model. `late` tells whether it was asked before the one that has won."""

    who: int
    late: bool


@dataclass(frozen=True, slots=True)
class Won:
    """A model has won: nobody else speaks or uses tools from now on."""

    who: int


@dataclass(frozen=True, slots=True)
class Say:
    """Pass text on."""

    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """No model is left that could answer, or go on with the answer."""


Step = Ask | Drop | Won | Say | Lost


@dataclass(slots=True)
class _Runner:
    """A model that was asked and has not finished."""

    asked_at: float
    token_at: float | None = None  # its last one
    first_at: float | None = None
    held: str = ""  # text of it that was not passed on


class AnswerRace:
    """One answer.

    Args:
        order: The models, by their numbers, in the order in which they are asked.
        first_token_s: How long a model may take to its first word before the next one is asked beside it.
        between_tokens_s: How long it may take from one word to the next, and from its first word to the end
            of its first sentence.
    """

    def __init__(self, order: Sequence[int], *, first_token_s: float, between_tokens_s: float) -> None:
        self._left = deque(order)
        self._first_token_s = first_token_s
        self._between_tokens_s = between_tokens_s
        self._running: dict[int, _Runner] = {}
        self._said_at = 0.0
        self.asked: list[int] = []
        """Whom the race has asked, in order."""
        self.winner: int | None = None
        """Whose answer is passed on."""
        self.said = ""
        """The text that was passed on."""
        self.over = False
        """Whether nothing more will come."""

    def runs(self, who: int) -> bool:
        """Return whether a model was asked and has neither finished nor been dropped."""
        return who in self._running

    # ------------------------------------------------------------------ what happens

    def begin(self, now: float) -> list[Step]:
        """Begin, with the first model."""
        return self._ask(now)

    def token(self, who: int, text: str, now: float) -> list[Step]:
        """Take a piece of a model's answer."""
        runner = self._running.get(who)
        if runner is None:
            return []
        runner.held += text
        if text.strip():
            runner.token_at = now
            runner.first_at = now if runner.first_at is None else runner.first_at
        end = sentence_end(runner.held)
        return self._pass(who, end, now) if end else []

    def alive(self, who: int, now: float) -> None:
        """Note that a model writes something that is not said, such as the arguments of a tool."""
        runner = self._running.get(who)
        if runner is not None and runner.token_at is not None:
            runner.token_at = now
            self._said_at = now if self.winner == who else self._said_at

    def claims(self, who: int, now: float) -> list[Step]:
        """A model's answer is complete and uses tools. It may, if `winner` is this model afterwards."""
        runner = self._running.get(who)
        if runner is None:
            return []
        return self._pass(who, len(runner.held), now)

    def ended(self, who: int, now: float) -> list[Step]:
        """A model has written its whole answer. One without a word counts: the model chose to be silent."""
        runner = self._running.get(who)
        if runner is None:
            return []
        steps = self._pass(who, len(runner.held), now)
        del self._running[who]
        self.over = True
        return steps

    def prefer(self, who: int) -> None:
        """Ask a model before the others that were not asked yet."""
        if who in self._left:
            self._left.remove(who)
            self._left.appendleft(who)

    def failed(self, who: int, now: float) -> list[Step]:
        """A model has reported an error, or its answer is none."""
        if self._running.pop(who, None) is None:
            return []
        if self.winner == who:
            self.winner = None
        if self._running:  # another one is at it
            return []
        steps = self._ask(now)
        if not steps:
            self.over = True
            steps.append(Lost())
        return steps

    # ------------------------------------------------------------------ time

    def due(self) -> float | None:
        """Return when `overdue` has something to do; None if it never has."""
        if self.over or not self._running or not self._left:
            return None
        if self.winner is not None:
            runner = self._running[self.winner]
            token_at = max(runner.token_at or self._said_at, self._said_at)
            return min(token_at + self._between_tokens_s, self._said_at + SENTENCES * self._between_tokens_s)
        latest = self._running.get(self.asked[-1])
        if latest is None:
            return min(each.asked_at for each in self._running.values()) + self._first_token_s
        if latest.first_at is None:
            return latest.asked_at + self._first_token_s
        return latest.first_at + self._between_tokens_s

    def overdue(self, now: float) -> list[Step]:
        """Ask the next model, if the one before it is late. The winner, if it is late, is given up."""
        due = self.due()
        if due is None or now < due:
            return []
        if self.winner is None:
            return self._ask(now)
        late = self.winner
        return [Drop(late, late=True), *self.failed(late, now)]

    # ------------------------------------------------------------------ steps

    def _ask(self, now: float) -> list[Step]:
        if not self._left:
            return []
        who = self._left.popleft()
        self._running[who] = _Runner(asked_at=now)
        self.asked.append(who)
        return [Ask(who, self.said)]

    def _pass(self, who: int, end: int, now: float) -> list[Step]:
        steps: list[Step] = []
        runner = self._running[who]
        if self.winner is None:
            self.winner = who
            earlier = set(self.asked[: self.asked.index(who)])
            for other in [each for each in self._running if each != who]:
                del self._running[other]
                self._left.append(other)  # it may have to go on with this answer
                steps.append(Drop(other, late=other in earlier))
            steps.append(Won(who))
        text, runner.held = runner.held[:end], runner.held[end:]
        self._said_at = now
        if text:
            self.said += text
            steps.append(Say(text))
        return steps
