"""`Collection`: asks for one value until it is there, as a state machine without I/O and without a clock.

It is told what the caller says, presses or leaves unsaid, and returns what to do next. All of its state is small JSON
that every checkpoint has, so another instance of the agent goes on in the same step.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from piopiy_pipeline.collect.collected import NoValueReason
from piopiy_pipeline.collect.phrases import CollectPhrases
from piopiy_pipeline.collect.remarks import (
    asks,
    asks_to_repeat,
    refuses,
    restricts,
    split_at_remark,
    starts_over,
    waits,
)
from piopiy_pipeline.collect.value_reader import Reading, ValueReader
from piopiy_pipeline.collect.yes_no import key_answer, says_yes
from piopiy_pipeline.turns.caller_words import language_code, words_of

__all__ = ["Collection", "Doing", "NextStep"]

T = TypeVar("T")

MAX_TURNS = 40
"""So many answers are read, whatever comes of them."""
CORRECTION_TURNS = 3
"""A correction counts as so many of them."""
MAX_QUESTIONS = 5
"""So many questions in between go to the model; more of them count as attempts."""
_LONG = 6
"""So many words in which nothing of the value is are for the model."""


class Doing(StrEnum):
    """What is done next."""

    SAY = "say"
    READ = "read"
    """The model reads the `text` of the caller for the value: `Collection.read` is told what it wrote."""
    WAIT = "wait"
    """Nothing is said: the caller needs a moment."""
    ASK_MODEL = "ask_model"
    """The model answers what the caller has said, and the question is asked again."""
    FINISH = "finish"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class NextStep:
    """What is done next: what to say, or why it has failed."""

    doing: Doing
    text: str = ""
    why: NoValueReason | None = None


class Collection(Generic[T]):
    """The collection of one value.

    Args:
        reader: Reads the value.
        prompt: The question.
        phrases: What is said beside it.
        read_back: Whether the value is read back, and counts when the caller says yes.
        attempts: So many answers may be no such value, or a wrong one.
        silences: So many times the caller may say nothing.
        retry: The question after an answer that was none; None: the prompt again.
        typed: Whether the caller types and reads: a text chat.
        model_reads: Whether the model reads answers in which nothing of the value was found; that is read back.
    """

    def __init__(
        self,
        reader: ValueReader[T],
        *,
        prompt: str,
        phrases: CollectPhrases,
        read_back: bool,
        attempts: int = 3,
        silences: int = 3,
        retry: str | None = None,
        typed: bool = False,
        model_reads: bool = False,
    ) -> None:
        self.reader = reader
        self.attempts = 0
        """How many answers were no such value, or were a wrong one."""
        self._prompt = prompt
        self._retry = retry or prompt
        self._phrases = phrases
        self._read_back = read_back
        self._typed = typed
        self._model_reads = model_reads and bool(reader.model_task)
        self._most_attempts = attempts
        self._most_silences = silences
        self._silences = self._turns = self._questions = 0
        self._checking = False
        self._heard = False  # what was said last, as far as it is the value that is read back
        self._known = ""  # the question for a yes or a no that the caller has heard
        self._was_known = False  # when what was said last began
        self._was_asked = False  # by the instance before this one
        self._partial = False  # there is a part of the value, and the rest was asked for
        self._by: set[str] = set()
        self._last = prompt
        self._code = language_code(reader.language)

    # ------------------------------------------------------------------ what is known

    @property
    def checking(self) -> bool:
        """Whether the value was read back, and the caller is to say whether it is right."""
        return self._checking

    @property
    def expects(self) -> str:
        """What the next answer is made of: see `Call.expect`."""
        return "open" if self._checking else self.reader.expects

    @property
    def asks_yes_no(self) -> bool:
        """Whether a yes or a no is asked for: of a value that was read back, or as the value."""
        return self._checking or self.reader.expects == "yes_no"

    @property
    def is_known(self) -> bool:
        """Whether the caller has heard the yes-or-no question: `confirm`'s to its end, or the value that is read back.

        It stays known while it is asked again, until it is another one or the caller asks what it was.
        """
        return self.asks_yes_no and self._known == self._question

    def knows(self, heard: str | None) -> bool:
        """Return whether the caller knew the yes-or-no question when they answered.

        Args:
            heard: What they had heard by then of what was said last; None: all of it that was heard at all.
        """
        return self.is_known if heard is None else self._was_known or self._is_in(heard)

    def _is_in(self, heard: str) -> bool:
        """Return whether the question is in what was heard: the value that is read back, else all of it. The last word
        of more than three may be missing: people answer over that one.
        """
        if self._checking:
            return _plain(self._with_value("{value}")) in _plain(heard)
        words = words_of(self._last)
        return _plain(" ".join(words[:-1] if len(words) > 3 else words)) in _plain(heard)

    @property
    def _question(self) -> str:
        return self._with_value(self._phrases.check) if self._checking else self._prompt

    @property
    def how(self) -> str:
        """How the value was given: ``speech``, ``text``, ``keys``, ``both``, or nothing yet."""
        return "both" if len(self._by) > 1 else next(iter(self._by), "")

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "value": self.reader.state(),
            "checking": self._checking,
            "partial": self._partial,
            "read_back": self._read_back,
            "heard": self._heard,
            "known": self.is_known,
            "by": sorted(self._by),
            "counts": [self.attempts, self._silences, self._turns, self._questions],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what `state` has returned at another instance."""
        self.reader.restore(state["value"])
        self._checking, self._partial = bool(state["checking"]), bool(state["partial"])
        self._read_back = bool(state["read_back"])
        self._by = set(state["by"])
        self.attempts, self._silences, self._turns, self._questions = state["counts"]
        self._was_asked = bool(state.get("heard"))
        self._known = self._question if state.get("known") else ""
        self._was_known = self.is_known
        self._last = self._question if self._checking else self._asked_again

    # ------------------------------------------------------------------ what happens

    def begin(self) -> NextStep:
        """Ask, or ask again where another instance had asked."""
        asked = self._asked_again if self._partial else self._prompt
        return self._check() if self._checking else self._say(asked)

    def go_on(self) -> NextStep | None:
        """Ask, or return None where the instance before has asked, and nothing was lost: the caller is to answer."""
        asked = self._was_asked
        act = self.begin()
        self._heard = asked
        return None if asked else act

    def was_heard(self, text: str | None = None) -> None:
        """Note that the caller has heard what was said last, or this text of it: who has not heard a value read back
        has not agreed to it.
        """
        self._heard = text is None or self._is_in(text)
        if self._heard and self.asks_yes_no:
            self._known = self._question

    def hear(self, text: str, heard: str | None = None) -> NextStep:
        """Take a turn of the caller.

        Args:
            text: What they have said.
            heard: What they had heard by then: see `knows`.
        """
        knows = self.knows(heard)
        self._silences = 0
        self._turns += 1
        plain = " ".join(words_of(text))
        if self._turns > MAX_TURNS:
            return self._fail(NoValueReason.ATTEMPTS)
        repeats = asks_to_repeat(plain, self._code)
        refused = self.reader.kind != "confirm" and refuses(plain, self._code)
        anew = starts_over(plain)
        if anew and not (repeats or refused):
            self._start_over()
        if repeats or refused or anew:  # "excuse me, it's 4157" gives the value, and no more
            if value := self._value_beside(text):
                text, plain = value, " ".join(words_of(value))
            elif repeats:
                self._known = ""
                return self._say(self._last)
            else:
                return self._fail(NoValueReason.REFUSED) if refused else self._say(self._retry)
        if waits(plain):
            return NextStep(Doing.WAIT)
        if self._checking:
            return self._answer_to_check(text, plain, knows=knows)
        if not self._read_back and asks(text, plain, self._code, in_words=True):
            return self._not_found(text, plain)  # "is it 4157?": asked for only where it is read back
        reading = self.reader.hear(text)
        if self.asks_yes_no and reading is Reading.WHOLE and not knows:
            self.reader.clear()  # nobody agrees to a question that they have not heard
            return self._say(self._prompt)
        if reading is not Reading.NOTHING:
            self._by.add("text" if self._typed else "speech")
        elif self._reads_part and says_yes(text, self.reader.language, of_value=True) is False:
            return self._denied(unclear=len(words_of(text)) > 2)
        return self._after(reading, text, plain)

    def _value_beside(self, text: str) -> str:
        """Return what is said of the value beside a remark about it; empty if there is nothing of it."""
        remark, behind = split_at_remark(text, self._code)
        if self.asks_yes_no and not self._checking:
            return ""
        said = behind or ("" if self.reader.expects == "dictation" else text)
        if not said or (remark and self.reader.would_read(remark) is Reading.WHOLE):
            return ""  # a reader that takes any words for its value knows no remark
        reading = self.reader.would_read(said, checking=self._checking)
        is_part = reading is Reading.PART and self.reader.expects.startswith("digits")
        return said if is_part or reading in (Reading.WHOLE, Reading.INVALID) else ""

    def press(self, keys: str) -> NextStep:
        """Take keys that were pressed, without the key that ends them; none if that was pressed alone."""
        self._silences = 0
        self._turns += 1
        if self._turns > MAX_TURNS:
            return self._fail(NoValueReason.ATTEMPTS)
        if self._checking:
            return self._pressed_at_check(keys)
        reading = self.reader.press(keys)
        if reading is not Reading.NOTHING:
            self._by.add("keys")
        return self._after(reading, "", "")

    def silence(self) -> NextStep:
        """Take note that the caller has said nothing for a while."""
        self._silences += 1
        if self._silences > self._most_silences:
            return self._fail(NoValueReason.SILENCE)
        if self._checking or self._partial:
            return self.resume()
        written = self._phrases.no_answer if self._typed else ""
        return self._say(f"{written or self._phrases.silence} {self._asked_again}")

    def resume(self) -> NextStep:
        """Ask again, where the caller has not answered."""
        return self._check() if self._checking else self._say(self._asked_again)

    @property
    def _asked_again(self) -> str:
        """The question once more, or the one for the rest: whoever has not heard what to agree to hears all of it."""
        if self._partial:
            return self._with_value(self.reader.missing(self._word))
        return self._prompt if self.asks_yes_no and not self.is_known else self._retry

    # ------------------------------------------------------------------ deciding

    def _after(self, reading: Reading, text: str, plain: str) -> NextStep:
        if reading is not Reading.NOTHING:
            self._partial = reading is Reading.PART
        match reading:
            case Reading.WHOLE:
                if not self._read_back:
                    return NextStep(Doing.FINISH)
                self._checking = True
                return self._check()
            case Reading.PART:
                return self._say(self._asked_again)
            case Reading.INVALID:
                return self._again(self._with_value(self.reader.fault(self._word)))
            case _:
                if plain and self._model_reads and not asks(text, plain, self._code):
                    return NextStep(Doing.READ, text)
                return self._not_found(text, plain)

    def read(self, text: str, by_model: str) -> NextStep:
        """Take what the model has read in an answer: the value in the form of `ValueReader.model_task`, or nothing."""
        reading = self.reader.hear(by_model) if by_model else Reading.NOTHING
        if reading is Reading.NOTHING:
            return self._not_found(text, " ".join(words_of(text)))
        self._read_back = True
        self._by.add("text" if self._typed else "speech")
        return self._after(reading, "", "")

    def _not_found(self, text: str, plain: str) -> NextStep:
        if plain and self._is_for_model(text, plain):
            return NextStep(Doing.ASK_MODEL)
        hint = f" {self._phrases.key_hint}" if self.attempts and self._has_keys else ""
        act = self._again(f"{self._phrases.not_understood}{hint}")
        self._last = self._asked_again  # whoever has not heard it wants the question, and no apology
        return act

    @property
    def _reads_part(self) -> bool:
        """Whether a part of the value was read back, so that a no is about that part."""
        return self._partial and "{value}" in self.reader.missing(self._word)

    @property
    def _has_keys(self) -> bool:
        return type(self.reader).press is not ValueReader.press

    def _answer_to_check(self, text: str, plain: str, *, knows: bool) -> NextStep:
        before, reading = self.reader.state(), self.reader.hear(text, checking=True)
        if reading is not Reading.NOTHING:
            if self.reader.state() == before and says_yes(text, self.reader.language):
                return NextStep(Doing.FINISH)  # "yes, Friday"
            if reading is Reading.WHOLE:
                return self._corrected()
            self._checking = False
            return self._after(reading, text, plain)
        answer = says_yes(text, self.reader.language, of_value=True)
        if answer:  # not so "yes, but the week after"
            return self._unclear() if restricts(plain) else self._agreed(knows)
        if answer is False:
            return self._denied(unclear=len(words_of(text)) > 2)
        if self._is_for_model(text, plain):
            return NextStep(Doing.ASK_MODEL)
        return self._unclear()

    def _pressed_at_check(self, keys: str) -> NextStep:
        """Take keys behind a value that was read back: yes, no, or another value. Nothing else takes its place."""
        if (answer := key_answer(keys)) is not None:
            if answer:
                return self._agreed(self.is_known)
            return self._denied() if self.is_known else self._check()
        before, star = self.reader.state(), "*" in keys
        if star:  # it was wrong, whatever comes behind it
            self._start_over()
            keys = keys.rpartition("*")[2]
            if not keys:
                return self._denied()
        reading = self.reader.press(keys, checking=True)
        if reading is not Reading.WHOLE and not star:
            self.reader.restore(before)
            return self._unclear()
        self._checking, self._by = False, {"keys"}
        return self._after(reading, "", "")

    def _unclear(self) -> NextStep:
        """Read the value back once more after an answer that was neither yes nor no: an attempt, if it was heard."""
        if self.is_known:
            self.attempts += 1
        if self.attempts >= self._most_attempts:
            return self._fail(NoValueReason.ATTEMPTS)
        return self._check()

    def _agreed(self, knows: bool) -> NextStep:
        """Finish, if the caller knows what they have agreed to."""
        return NextStep(Doing.FINISH) if knows else self._check()

    def _corrected(self) -> NextStep:
        """Read the value back once more, after a correction."""
        self._turns += CORRECTION_TURNS - 1
        self._by.add("text" if self._typed else "speech")
        return self._check()

    def _denied(self, *, unclear: bool = False) -> NextStep:
        self._start_over()
        return self._again(self._phrases.what_is_wrong if unclear else self._phrases.again, retry=not unclear)

    def _start_over(self) -> None:
        self._checking = self._partial = False
        self._known = ""
        self._by.clear()
        self.reader.clear()

    def _is_for_model(self, text: str, plain: str) -> bool:
        if self._questions >= MAX_QUESTIONS:
            return False
        if asks(text, plain, self._code) or len(plain.split()) >= _LONG:
            self._questions += 1
            return True
        return False

    # ------------------------------------------------------------------ acting

    def _again(self, why: str, *, retry: bool = True) -> NextStep:
        self.attempts += 1
        if self.attempts >= self._most_attempts:
            return self._fail(NoValueReason.ATTEMPTS)
        return self._say(f"{why} {self._asked_again}" if retry else why)

    def _check(self) -> NextStep:
        return self._say(self._with_value(self._phrases.check))

    def _with_value(self, text: str) -> str:
        return text.replace("{value}", self.reader.written() if self._typed else self.reader.spoken())

    def _say(self, text: str) -> NextStep:
        self._last = text
        self._heard = False
        self._was_known = self.is_known
        return NextStep(Doing.SAY, text)

    @staticmethod
    def _fail(why: NoValueReason) -> NextStep:
        return NextStep(Doing.FAIL, why=why)

    def _word(self, name: str) -> str:
        return str(getattr(self._phrases, name))


def _plain(text: str) -> str:
    return f" {' '.join(words_of(text))} "
