"""Callers: a script of what somebody says and does on the telephone, or a coroutine that reacts.

    Caller().say(Path("book.wav")).until("how many").say(Path("four.wav")).press("1#").hangup()

    async def caller(line: CallerLine) -> None:
        await line.say(Path("book.wav"))
        if "how many" in await line.heard():
            await line.say(Path("four.wav"))

The same callers call in a simulation (`caller_link`) and over a gateway (`piopiy call`): each end of a call is a
`CallerEnd`. Nothing here needs pipecat, so that `piopiy call` starts quickly.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.testing.line.caller_arguments import check_step
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector
from piopiy_pipeline.testing.line.turn_taking import Habits, TurnTaking
from piopiy_pipeline.testing.line.utterance_audio import Recording, Spoken, load_recording
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall

__all__ = ["Caller", "CallerCoroutine", "CallerEnd", "CallerGaveUp", "CallerLine", "Habits"]


class CallerGaveUp(AssertionError):
    """The caller waited for something that did not come."""

    call: SimulatedCall | None = None
    """The call up to where they gave up, if it was simulated."""


class CallerEnd(Protocol):
    """The caller's end of a call, over whatever the call is carried. Times are seconds of the loop's clock."""

    caller_rate: int
    """The sample rate in Hz, of both directions."""
    line: Line
    """What lies between the caller and the bot."""
    detector: SpeechDetector
    """Follows what the caller hears."""
    on_tick: Callable[[float], None] | None
    """Called after every 20 ms of the call, with their time."""
    on_event: Callable[[str, dict[str, Any]], None] | None
    """Called with the kind and the data of every event of the conversation."""

    @property
    def answered_at(self) -> float:
        """When the call was answered, in seconds of the loop's clock."""
        ...

    @property
    def speaks_until(self) -> float:
        """When the speech in progress ends, or the last one has ended; infinity while it has not begun."""
        ...

    def now(self) -> float:
        """Return the time in seconds, of the loop's clock."""
        ...

    def speak(self, recording: Recording) -> asyncio.Future[None]:
        """Say this from the next 20 ms on, or after what is being said. The future is done when it was said."""
        ...

    def press(self, key: str) -> None:
        """Send one DTMF key to the bot."""
        ...

    def message(self, data: dict[str, object]) -> None:
        """Send a message of the client's application."""
        ...

    def mute(self, seconds: float) -> None:
        """Send no audio for so many seconds."""
        ...

    def hang_up(self) -> None:
        """End the call from the caller's side."""
        ...


class CallerLine:
    """What a caller can do and hear in a call. Times are in seconds since the call was answered.

    Args:
        end: The caller's end of the call. It is answered already.
        habits: When the caller speaks and gives up.
        needs_words: Whether the words of every recording must be known, because a scripted STT tells them.
    """

    def __init__(self, end: CallerEnd, *, habits: Habits | None = None, needs_words: bool = False) -> None:
        self._end = end
        self._needs_words = needs_words
        self._turns = TurnTaking(end.detector, answered_at=end.answered_at, habits=habits or Habits())
        self._waiting: list[tuple[Callable[[float], bool], asyncio.Future[None]]] = []
        self._said: list[str] = []  # the bot's turns, as heard
        self._read = 0  # so many of them the caller has reacted to
        self._speaking = 0  # recordings that are being said, or wait for that
        end.on_event = self._on_event
        end.on_tick = self._on_tick

    @property
    def habits(self) -> Habits:
        """When the caller speaks and gives up. May be changed during the call."""
        return self._turns.habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        self._turns.habits = habits

    # ------------------------------------------------------------------ doing

    async def say(
        self, what: Spoken, *, text: str | None = None, name: str | None = None, wait: bool = True
    ) -> None:
        """Say this now, whoever speaks.

        Args:
            what: The path of a WAV file, a sentence for a synthetic voice, or samples: int16 of shape
                ``[samples]`` at the rate of the call.
            text: Its words. If they are not given, a file's words are in a text file beside it
                (``yes.txt`` for ``yes.wav``).
            name: Its name in events and reports.
            wait: Whether to return when it was said, instead of at once.

        Raises:
            ValueError: It cannot be read or spoken, nobody speaks in it, or its words must be known and are
                not.
        """
        check_step("say", what=what, text=text, name=name, wait=wait)
        recording = self._load(what, text, name)
        self._turns.takes_turn()
        spoken = self._end.speak(recording)
        self._speaking += 1
        spoken.add_done_callback(self._has_spoken)
        if wait:
            await spoken

    async def pause(self, seconds: float) -> None:
        """Do nothing for so many seconds."""
        await asyncio.sleep(seconds)

    async def at(self, seconds: float) -> None:
        """Wait until so many seconds after the answer. Returns at once if they are over."""
        await asyncio.sleep(max(0.0, seconds - self.now))

    async def press(self, keys: str) -> None:
        """Press keys of the telephone, five a second.

        Args:
            keys: Of ``0-9``, ``*``, ``#`` and ``A-D``, in order.

        Raises:
            ValueError: A telephone has no such key.
        """
        check_step("press", keys=keys)
        self._turns.takes_turn()
        for n, key in enumerate(keys):
            if n:
                await asyncio.sleep(0.2)
            self._end.press(key)
        self._turns.acts_until(self._end.now())

    def send(self, data: dict[str, object]) -> None:
        """Send a message of the client's application: a JSON object."""
        self._end.message(data)

    def mute(self, seconds: float) -> None:
        """Let no audio leave the telephone for so many seconds, whatever is said. Returns at once."""
        self._end.mute(seconds)

    def hangup(self) -> None:
        """End the call from the caller's side."""
        self._end.hang_up()

    # ------------------------------------------------------------------ listening

    @property
    def now(self) -> float:
        """Seconds since the call was answered."""
        return self._end.now() - self._end.answered_at

    @property
    def transcript(self) -> tuple[str, ...]:
        """The bot's turns so far, as they were heard."""
        return tuple(self._said)

    @property
    def bot_speaking(self) -> bool:
        """Whether the bot can be heard."""
        return self._end.detector.sounding(self._end.now())

    async def heard(self) -> str:
        """Wait until it is the caller's turn to speak.

        Returns:
            What the bot has said since the last `heard` or `until`.
        """
        await self.my_turn()
        unread, self._read = self._said[self._read :], len(self._said)
        return " ".join(unread)

    async def my_turn(self) -> None:
        """Wait until the bot has answered and is silent, or does not answer at all: see `Habits`."""
        await self.when(self._turns.may_speak)

    async def until(self, wanted: str | re.Pattern[str], *, timeout_s: float | None = None) -> str:
        """Wait until the bot has said something. What it said before the last `until` or `heard` does not count.

        Args:
            wanted: A pattern, searched for in each turn; in a text, case does not matter.
            timeout_s: How long to wait at most, in seconds; None is `Habits.until_s`.

        Returns:
            All of the turn that matched.

        Raises:
            CallerGaveUp: The bot did not say it in time.
        """
        pattern = re.compile(wanted, re.IGNORECASE) if isinstance(wanted, str) else wanted
        limit = self.habits.until_s if timeout_s is None else timeout_s

        def matching() -> int | None:
            numbers = range(self._read, len(self._said))
            return next((n for n in numbers if pattern.search(self._said[n])), None)

        try:
            await self.when(lambda _: matching() is not None, timeout_s=limit)
        except TimeoutError:
            said = "; ".join(map(repr, self._said[self._read :])) or "nothing"
            raise CallerGaveUp(
                f"the caller waited {limit:g} s for the bot to say /{pattern.pattern}/; it said {said}"
            ) from None
        at = matching()
        assert at is not None
        self._read = at + 1
        return self._said[at]

    async def speech(self, *, after: float = 0.0, timeout_s: float | None = None) -> None:
        """Wait until the bot speaks, and has begun its answer `after` seconds ago.

        Args:
            after: Seconds since the beginning of the answer to what the caller said or did last.
            timeout_s: How long to wait at most, in seconds; None is `Habits.until_s`.

        Raises:
            CallerGaveUp: No answer was that long.
        """
        limit = self.habits.until_s if timeout_s is None else timeout_s
        try:
            await self.when(lambda now: self._turns.may_interrupt(now, after), timeout_s=limit)
        except TimeoutError:
            raise CallerGaveUp(
                f"the caller waited {limit:g} s to interrupt the bot after {after:g} s of an answer, and it "
                "never spoke for so long"
            ) from None

    async def speech_or_my_turn(self, *, after: float = 0.0) -> None:
        """Wait as `speech` does, or until it is the caller's turn because the answer was shorter."""
        await self.when(lambda now: self._turns.may_interrupt(now, after) or self._turns.may_speak(now))

    async def silence(self, seconds: float) -> None:
        """Wait until nobody has spoken, and the bot has shown no sign of life, for so many seconds."""
        await self.when(lambda now: self._turns.silent_for(now) >= seconds)

    async def when(self, true: Callable[[float], bool], *, timeout_s: float | None = None) -> None:
        """Wait until a condition holds.

        Args:
            true: The condition. It is asked every 20 ms, with the loop's time.
            timeout_s: How long to wait at most, in seconds; None is without limit.

        Raises:
            TimeoutError: It did not hold in time.
            Exception: What the condition raises.
        """
        if true(self._end.now()):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(entry := (true, done))
        try:
            async with asyncio.timeout(timeout_s):
                await done
        finally:
            self._waiting.remove(entry)

    # ------------------------------------------------------------------ inside

    def _load(self, what: Spoken, text: str | None, name: str | None) -> Recording:
        def through(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
            return self._end.line.recording(pcm, self._end.caller_rate)

        recording = load_recording(what, self._end.caller_rate, text=text, name=name, through=through)
        if self._needs_words and not recording.text:
            raise ValueError(
                f"a scripted STT does not know the words of {recording.name}: say(..., text=...), or write "
                "them into a .txt file beside it"
            )
        return recording

    def _has_spoken(self, _: object) -> None:
        self._speaking -= 1
        self._turns.acts_until(self._end.speaks_until)

    def _on_tick(self, now: float) -> None:
        if self._speaking:
            self._turns.acts_until(self._end.speaks_until)
        self._turns.heard()
        for true, done in list(self._waiting):
            try:
                if not done.done() and true(now):
                    done.set_result(None)
            except Exception as error:  # noqa: BLE001  the caller's own, who waits for this
                done.set_exception(error)

    def _on_event(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "bot_turn":
            self._said.append(str(data.get("text", "")))
        self._turns.noted(kind, data, self._end.now())


CallerCoroutine = Callable[[CallerLine], Awaitable[Any]]
"""A caller that reacts: a coroutine function of a `CallerLine`. When it returns, the caller hangs up."""

Step = Callable[[CallerLine], Awaitable[None]]


@dataclass(frozen=True)
class Caller:
    """A script of what a caller does. A value: every step returns a longer script.

    Steps follow each other; `say` waits until it is the caller's turn. After the last step the caller listens to
    the answer and hangs up, unless the bot has hung up before. One script may be used for many calls.

    Attributes:
        steps: What the caller does, in order.
        habits: When the caller speaks and gives up.
    """

    steps: tuple[Step, ...] = ()
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        check_step("Caller", steps=self.steps, habits=self.habits)

    def say(
        self, what: Spoken, *, text: str | None = None, name: str | None = None, wait: bool = True
    ) -> Self:
        """Wait until it is the caller's turn, and say this.

        Args:
            what: The path of a WAV file, a sentence for a synthetic voice, or samples: int16 of shape
                ``[samples]`` at the rate of the call.
            text: Its words. If they are not given, a file's words are in a text file beside it.
            name: Its name in events and reports.
            wait: Whether the script goes on when it was said, instead of at once.

        Returns:
            A new caller with this step at the end.
        """
        check_step("say", what=what, text=text, name=name, wait=wait)

        async def step(line: CallerLine) -> None:
            await line.my_turn()
            await line.say(what, text=text, name=name, wait=wait)

        return self._then(step)

    def interrupt(
        self,
        what: Spoken,
        *,
        after: float = 1.0,
        text: str | None = None,
        name: str | None = None,
        insist: bool = True,
    ) -> Self:
        """Interrupt the bot's answer with this.

        Args:
            what: What to say, as in `CallerLine.say`; `text` and `name` too.
            after: Seconds since the beginning of the answer.
            text: Its words.
            name: Its name in events and reports.
            insist: Whether the caller gives up (`CallerGaveUp`) when no answer is that long. If not, they
                speak when it is their turn.
        """
        check_step("interrupt", what=what, after=after, text=text, name=name, insist=insist)

        async def step(line: CallerLine) -> None:
            await (line.speech(after=after) if insist else line.speech_or_my_turn(after=after))
            await line.say(what, text=text, name=name)

        return self._then(step)

    def pause(self, seconds: float) -> Self:
        """Do nothing for so many seconds."""
        check_step("pause", seconds=seconds)
        return self._then(lambda line: line.pause(seconds))

    def press(self, keys: str) -> Self:
        """Press keys of the telephone, such as ``"123#"``, without waiting for the bot."""
        check_step("press", keys=keys)
        return self._then(lambda line: line.press(keys))

    def mute(self, seconds: float) -> Self:
        """Let no audio leave the telephone for so many seconds. The script goes on meanwhile."""
        check_step("mute", seconds=seconds)

        async def step(line: CallerLine) -> None:
            line.mute(seconds)

        return self._then(step)

    def until(self, wanted: str | re.Pattern[str], *, timeout_s: float | None = None) -> Self:
        """Wait until the bot has said something. The arguments are those of `CallerLine.until`."""
        check_step("until", wanted=wanted, timeout_s=timeout_s)

        async def step(line: CallerLine) -> None:
            await line.until(wanted, timeout_s=timeout_s)

        return self._then(step)

    def hangup(self) -> Self:
        """Hang up, whatever the bot is doing."""

        async def step(line: CallerLine) -> None:
            line.hangup()

        return self._then(step)

    def _then(self, step: Step) -> Self:
        return type(self)((*self.steps, step), self.habits)

    async def __call__(self, line: CallerLine) -> None:
        """Go through the script, in the call that `line` belongs to."""
        line.habits = self.habits
        for step in self.steps:
            await step(line)
        await line.my_turn()
        await line.silence(self.habits.hangup_after_s)
