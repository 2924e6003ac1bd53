"""Decides when the caller's turn is over: a state machine without I/O.

A fixed silence is too short for somebody who thinks, and too long after "yes". No sound tells a finished sentence
before another one from an end, but the words and the question before them often do: nobody stops after "with a",
and after the sixth digit of six there is nothing to wait for. So the silence to wait for is chosen by the words so far,
by what the bot has asked, and by how long this caller has paused before. While a sound is being made that may be
speech, the decision is put off until it is known what it was.

All times are seconds of one clock. Silence counts from the last sound of speech, which the VAD tells with its stop.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, Self

from piopiy_pipeline.arguments import check_kind, check_seconds, shown
from piopiy_pipeline.turns.caller_pauses import CallerPauses
from piopiy_pipeline.turns.caller_words import WordsSoFar
from piopiy_pipeline.turns.expected_answer import OPEN_ANSWER, ExpectedAnswer
from piopiy_pipeline.turns.turn_words import LastWord, TurnWords, words_say

__all__ = ["TurnEnd", "TurnEndPolicy", "TurnWaits"]

LOOK_AGAIN_S = 0.032
"""A window of the VAD: by the next one it may be known whether a sound is speech."""
SURE = 0.9
"""From here on smart-turn is sure. What it takes for unfinished is as often an end as a pause: that is not heeded."""
HOLD_AT_MOST_S = 0.4
"""A decision is put off by so much in all: noise may sound like the beginning of speech for ever."""
FINAL_S = 2.1
"""The final transcript of interim words may come this much later than they and the end of speech. After two seconds a
session takes the last interim for a final that is missing."""
RESUMED_S = 1.0
"""A caller who speaks within this time after the end of a turn had not finished it. In 95% of cut turns it is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaits:
    """How long a silence ends the turn, in seconds since the last sound, by what is known.

    Raises:
        ValueError: A time is not from 0 to 5.
        TypeError: A value is of the wrong kind.
    """

    answered: float = 0.2
    """The question is answered: yes please, the last digit, a number. The VAD's own delay is the least."""
    bare: float = 0.35
    """A bare yes or no answers the question: long enough for "thank you" to begin behind it."""
    neutral: float = 0.55
    """Nothing tells. Also where there are no words yet, or the language is not known."""
    long: float = 0.8
    """Nothing tells, and the caller has said much already: who tells a story pauses between its sentences."""
    unsure: float = 0.9
    """More may come: the recogniser ended with a comma or was not sure of the last word, or the words only open an
    answer, such as "good morning"."""
    open: float = 1.2
    """The last word is one that another has to follow, or fewer digits were said than were asked for."""
    dictating: float = 1.0
    """An address, a spelled name or a number of unknown length is being said."""
    crowded: float = 0.15
    """Added to `neutral` where voices go on behind the caller: soft words are not heard there, or misheard."""
    learns: bool = True
    """Whether `neutral` grows with the pauses of this caller."""
    smart_turn: bool = False
    """Whether the model smart-turn, which hears how it sounds, is asked where the words tell nothing. Where it is sure
    that the turn is over, `finished` is waited. It costs 50 ms of CPU time a pause."""
    finished: float = 0.4
    """The words tell nothing, and smart-turn is sure that the turn is over."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "bool":
                check_kind(f"TurnWaits: {one.name}", value, bool, "True or False")
                continue
            check_seconds(f"TurnWaits: {one.name}", value, zero=True)
            if value > 5:
                raise ValueError(f"TurnWaits: {one.name} must be 5 seconds at most, not {shown(value)}")

    @property
    def longest(self) -> float:
        """The longest of the waits, in seconds."""
        return max(float(getattr(self, one.name)) for one in fields(self) if one.type == "float")

    @classmethod
    def of(cls, turns: Literal["smart", "fast"] | float | Self | None) -> Self:
        """Return the waits that an author asks for.

        Raises:
            ValueError: There are no such waits.
        """
        if isinstance(turns, cls):
            return turns
        if turns is None or turns == "smart":
            return cls()
        if turns == "fast":
            return cls(neutral=0.4, long=0.6, unsure=0.5, open=0.9, dictating=0.8)
        if isinstance(turns, (int, float)) and not isinstance(turns, bool) and 0 < turns <= 5:
            return cls(
                answered=turns,
                bare=turns,
                neutral=turns,
                long=turns,
                unsure=turns,
                open=turns,
                dictating=turns,
                crowded=0.0,
                learns=False,
            )
        raise ValueError(
            f"turns={shown(turns)}: it is 'smart', 'fast', seconds from 0 to 5, a TurnWaits(...), or one of pipecat's "
            "strategies"
        )


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The decision that a turn is over, and what it was based on."""

    wait_s: float
    """The silence that was waited for."""
    silence_s: float
    """The silence that there was: longer, if words came late or a sound had to be judged."""
    words: WordsSoFar
    expected: ExpectedAnswer
    put_off_s: float = 0.0
    """How long the decision was put off, because the caller made a sound."""
    learnt: bool = False
    """Whether the caller's own pauses made the wait longer."""

    @property
    def reason(self) -> str:
        """The reasons, for people."""
        asked = "" if self.expected == OPEN_ANSWER else f" ({self.expected})"
        parts = [f"{self.words.value}{asked}"]
        if self.learnt:
            parts.append("this caller pauses longer")
        if self.put_off_s:
            parts.append(f"put off {self.put_off_s:.2f} s for a sound")
        return ", ".join(parts)


class TurnEndPolicy:
    """Is told what is heard, and says when the turn is over.

    Args:
        waits: How long to wait.
        pauses: What is known of the caller's pauses.
        language: The language of the words, by its code, until a transcript tells it.
        needs_words: Whether a turn without words does not end.
    """

    def __init__(
        self,
        waits: TurnWaits | None = None,
        *,
        pauses: CallerPauses | None = None,
        language: str = "en",
        needs_words: bool = True,
    ) -> None:
        self.waits = waits or TurnWaits()
        self.pauses = pauses or CallerPauses()
        self.language = language
        self.needs_words = needs_words
        self.stt_s = 0.0
        """How long after the VAD's stop a transcript may take that does not say that it is the last."""
        self.expected = OPEN_ANSWER
        """What the bot has asked."""
        self._words = TurnWords()
        self._speaking = False
        self._silent_since: float | None = None
        self._stt_due = 0.0
        self._final_due = 0.0
        self._look_at = 0.0
        self._opinion: float | None = None
        self._crowded = False
        self._put_off = 0.0
        self._under_way = False
        self._ended_at: float | None = None

    # ------------------------------------------------------------------ what is heard

    def turn_begins(self) -> None:
        """Note that a turn begins. What the VAD has told holds, and words before it are not part of the turn."""
        self._words = TurnWords()
        self._under_way = True

    def turn_ends(self, now: float) -> None:
        """Note that the turn is over, for whatever reason."""
        if self._under_way:
            self.pauses.turn_over()
            self._ended_at = now
        self._under_way = False
        self._words = TurnWords()

    def speech(self, now: float, *, since_s: float = 0.0) -> None:
        """Note that the VAD hears speech, which began `since_s` seconds ago."""
        if self._silent_since is not None:
            pause_s = now - since_s - self._silent_since
            if self._under_way:
                self.pauses.add(pause_s)
            elif self._ended_at is not None and now - self._ended_at <= RESUMED_S:
                self.pauses.add_cut(pause_s)
        self._ended_at = None
        self._opinion = None
        self._speaking = True
        self._silent_since = None
        self._words.fresh = self._words.finalized = False

    def silence(self, now: float, *, since_s: float, crowded: bool = False) -> None:
        """Note that the VAD has found the end of speech, `since_s` seconds ago, with voices behind or without."""
        self._crowded = crowded
        self._speaking = False
        self._silent_since = now - since_s
        self._stt_due = now + max(0.0, self.stt_s - since_s)
        self._final_due = now + FINAL_S
        self._look_at = self._put_off = 0.0

    def sounds_finished(self, probability: float) -> None:
        """Take how likely the turn is over by its sound, 0 to 1. It holds for the silence under way."""
        self._opinion = probability

    def interim(self, now: float, text: str) -> None:
        """Take the words so far of the speech under way."""
        self._words.interim = text.strip()
        self._final_due = now + FINAL_S
        self._words.finalized = False
        self._words.fresh = self._words.fresh or (not self._speaking and bool(text.strip()))

    def final(
        self,
        now: float,
        text: str,
        *,
        finalized: bool,
        language: str | None = None,
        last: LastWord | None = None,
    ) -> None:
        """Take a final transcript.

        Args:
            now: The time.
            text: What was said.
            finalized: Whether nothing more comes of this speech.
            language: Its language, if the recogniser knows.
            last: What the recogniser knows of the last word.
        """
        self.language = language or self.language
        words = self._words
        words.interim = ""
        if text.strip():
            words.finals.append(text.strip())
            words.fresh = True
            words.last = last or LastWord()
        words.finalized = words.finalized or finalized
        if not self._speaking and self._silent_since is None:  # words without speech: the VAD has missed it
            self._silent_since = self._stt_due = now

    # ------------------------------------------------------------------ what is decided

    def due(self) -> float | None:
        """Return when to ask `decide` again, which may be in the past. None: something must be heard before, or there
        is no turn.
        """
        if not self._under_way or self._speaking or self._silent_since is None:
            return None
        if self.needs_words and not self._words.finals:
            return None
        end = self._silent_since + self._wait()[0]
        if self.needs_words and not self._words.finalized:
            end = max(end, self._stt_due)
        if self.needs_words and self._words.interim:  # a turn is not over by words that would not be in it
            end = max(end, self._final_due)
        return max(end, self._look_at)

    def decide(self, now: float, *, sounding: bool = False) -> TurnEnd | None:
        """Return the end of the turn, or None if it is not over.

        Args:
            now: The time.
            sounding: Whether the caller makes a sound that may be the beginning of speech.
        """
        due = self.due()
        if due is None or now < due or self._silent_since is None:
            return None
        if sounding and self._put_off < HOLD_AT_MOST_S:
            self._put_off += LOOK_AGAIN_S
            self._look_at = now + LOOK_AGAIN_S
            return None
        wait_s, words, learnt = self._wait()
        return TurnEnd(
            round(wait_s, 3),
            round(now - self._silent_since, 3),
            words,
            self.expected,
            round(self._put_off, 3),
            learnt,
        )

    def _wait(self) -> tuple[float, WordsSoFar, bool]:
        words, waits = self.words_so_far(), self.waits
        match words:
            case WordsSoFar.ANSWERED:
                return waits.answered, words, False
            case WordsSoFar.BARE:
                return waits.bare, words, False
            case WordsSoFar.OPEN | WordsSoFar.DIGITS_MISSING:
                return waits.open, words, False
            case WordsSoFar.DICTATING:
                wait_s = waits.dictating
            case WordsSoFar.COMMA | WordsSoFar.DOUBTED | WordsSoFar.OPENER:
                wait_s = waits.unsure
            case WordsSoFar.LONG:
                wait_s = waits.long
            case WordsSoFar.NEUTRAL if self._opinion is not None and self._opinion >= SURE:
                wait_s, words = waits.finished, WordsSoFar.SOUNDS_FINISHED
            case _:
                wait_s = waits.neutral + (waits.crowded if self._crowded else 0.0)
        learnt_s = self.pauses.wait_s if waits.learns else 0.0
        return max(wait_s, learnt_s), words, learnt_s > wait_s

    def words_so_far(self) -> WordsSoFar:
        """Return what the words so far say about the end of the turn."""
        return self._words.so_far(self.expected, self.language)

    def words_in(self, text: str) -> WordsSoFar:
        """Return what a text says about the end of the turn, as the answer to what the bot has asked."""
        return words_say(text, self.expected, self.language)
