"""Callers: a script of what somebody says and does on the telephone, or a coroutine that reacts.

    Caller().say(Path("book.wav")).until("how many").say(Path("four.wav")).press("1#").hangup()

    async def caller(line: CallerLine) -> None:
        await line.say(Path("book.wav"))
        if "how many" in await line.heard():
            await line.say(Path("four.wav"))

A caller knows what a person would: what was said, as far as it was heard, and when the bot was silent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.line.line import Line
from piopiy_pipeline.testing.line.utterance_audio import Recording, Spoken, load_recording
from piopiy_pipeline.testing.report.event_log import EventLog
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall

__all__ = ["Caller", "CallerCoroutine", "CallerGaveUp", "CallerLine", "Habits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """When a caller takes the word, in seconds.

    They speak `settle_s` after the bot's last sound, once its answer is complete; if it never is,
    after `patience_s` in which nothing is heard. When nothing was said at all they speak after
    `no_greeting_s` at the beginning of the call and after `no_answer_s` later on. They wait for what
    the bot is to say (`until`) for `until_s`. After the last step of a script they hang up when
    nothing was heard for `hangup_after_s`.
    """

    settle_s: float = 0.5
    patience_s: float = 2.5
    no_greeting_s: float = 4.0
    no_answer_s: float = 8.0
    until_s: float = 60.0
    hangup_after_s: float = 8.0


class CallerGaveUp(AssertionError):
    """The caller waited for something that did not come."""

    call: SimulatedCall | None = None
    """The call up to where they gave up."""


class CallerLine:
    """The caller's end of the line: what a caller can do and hear. Times are of the call's clock."""

    def __init__(
        self,
        link: CallerLink,
        log: EventLog,
        *,
        rate: int,
        line: Line,
        habits: Habits,
        needs_words: bool = False,
    ) -> None:
        self.habits = habits
        self._link = link
        self._log = log
        self._rate = rate
        self._line = line
        self._needs_words = needs_words
        self._waiting: list[tuple[Callable[[float], bool], asyncio.Future[None]]] = []
        self._said: list[str] = []  # the bot's turns, as heard
        self._read = 0  # so many of them the caller has reacted to
        self._spoke_until = float("-inf")
        self._stretches = 0  # that the bot had begun when the caller last spoke
        self._answers = 0  # the bot's complete turns since then
        self._tools = 0
        self._event_at = log.now()
        log.listen(self._noted)
        link.on_tick = self._ticked

    # ------------------------------------------------------------------ doing

    async def say(
        self, what: Spoken, *, text: str | None = None, name: str | None = None, wait: bool = True
    ) -> None:
        """Say this now: a WAV file, a sentence (in a synthetic voice), or samples.

        Returns when it was said; with `wait=False` at once. `text` are its words. Raises `ValueError`
        for what cannot be said.
        """
        recording = self._load(what, text, name)
        self._took_the_word()
        spoken = self._link.speak(recording)
        spoken.add_done_callback(lambda _: self._took_the_word())
        if wait:
            await spoken

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long."""
        await asyncio.sleep(seconds)

    async def at(self, seconds: float) -> None:
        """Wait until so many seconds after the answer; when they are over already, go on."""
        await asyncio.sleep(max(0.0, seconds - self.now))

    async def press(self, keys: str) -> None:
        """Press these keys (0-9, *, #), five a second."""
        if wrong := set(keys) - set("0123456789*#ABCD"):
            raise ValueError(f"press({keys!r}): a telephone has no key {sorted(wrong)[0]!r}")
        for n, key in enumerate(keys):
            if n:
                await asyncio.sleep(0.2)
            self._link.press(key)
        self._took_the_word()

    def send(self, data: dict[str, object]) -> None:
        """Send a message of the client's application."""
        self._link.message(data)

    def mute(self, seconds: float) -> None:
        """From now on no audio leaves the telephone for so long, whatever is said. Returns at once."""
        self._link.mute(seconds)

    def hangup(self) -> None:
        """Hang up."""
        self._link.hang_up()

    # ------------------------------------------------------------------ listening

    @property
    def now(self) -> float:
        """Seconds since the call was answered."""
        return self._log.now() - self._log.zero

    @property
    def transcript(self) -> tuple[str, ...]:
        """The bot's turns so far, as they were heard."""
        return tuple(self._said)

    @property
    def bot_speaking(self) -> bool:
        """Whether the bot can be heard."""
        return self._link.ear.silent_for(self._log.now()) <= 0.3

    async def heard(self) -> str:
        """Wait until it is the caller's turn to speak, and return what the bot has said since the last time."""
        await self.my_turn()
        unread, self._read = self._said[self._read :], len(self._said)
        return " ".join(unread)

    async def my_turn(self) -> None:
        """Wait until the bot has answered and is silent, or does not answer at all."""
        await self.when(self._may_speak)

    async def until(self, wanted: str | re.Pattern[str], *, timeout_s: float | None = None) -> str:
        """Wait until the bot has said something that matches `wanted`, and return all of that turn.

        What was said before the last `until` or `heard` does not count. Raises `CallerGaveUp`.
        """
        pattern = re.compile(wanted, re.IGNORECASE) if isinstance(wanted, str) else wanted
        limit = self.habits.until_s if timeout_s is None else timeout_s

        def said() -> int | None:
            return next(
                (n for n in range(self._read, len(self._said)) if pattern.search(self._said[n])), None
            )

        try:
            await self.when(lambda _: said() is not None, timeout_s=limit)
        except TimeoutError:
            told = "; ".join(map(repr, self._said[self._read :])) or "nothing"
            raise CallerGaveUp(
                f"the caller waited {limit:g} s for the bot to say /{pattern.pattern}/; it said {told}"
            ) from None
        at = said()
        assert at is not None
        self._read = at + 1
        return self._said[at]

    async def speech(self, *, after: float = 0.0, timeout_s: float | None = None) -> None:
        """Wait until the bot has been speaking for `after` seconds. Raises `CallerGaveUp`."""
        limit = self.habits.until_s if timeout_s is None else timeout_s
        ear = self._link.ear

        def spoken(now: float) -> bool:
            return (
                ear.stretches > self._stretches and ear.silent_for(now) <= 0.3 and now - ear.began_at >= after
            )

        try:
            await self.when(spoken, timeout_s=limit)
        except TimeoutError:
            raise CallerGaveUp(
                f"the caller waited {limit:g} s to interrupt the bot after {after:g} s of an answer, and it "
                "never spoke for so long"
            ) from None

    async def silence(self, seconds: float) -> None:
        """Wait until nobody has spoken, and nothing has happened, for so long."""
        await self.when(lambda now: now - self._quiet_since(now) >= seconds)

    async def when(self, true: Callable[[float], bool], *, timeout_s: float | None = None) -> None:
        """Wait until `true(now)`, asked every 20 ms. Raises `TimeoutError`."""
        if true(self._log.now()):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (true, done)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await done
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    # ------------------------------------------------------------------ inside

    def _load(self, what: Spoken, text: str | None, name: str | None) -> Recording:
        recording = load_recording(what, self._rate, text=text, name=name, through=self._through)
        if self._needs_words and not recording.text:
            raise ValueError(
                f"a scripted STT does not know the words of {recording.name}: say(..., text=...), or write "
                "them into a .txt file beside it"
            )
        return recording

    def _through(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        return self._line.recording(pcm, self._rate)

    def _took_the_word(self) -> None:
        self._spoke_until = self._log.now()
        self._stretches = self._link.ear.stretches
        self._answers = 0

    def _ticked(self, now: float) -> None:
        for entry in list(self._waiting):
            true, done = entry
            if not done.done() and true(now):
                self._waiting.remove(entry)
                done.set_result(None)

    def _noted(self, kind: str, data: dict[str, Any]) -> None:
        match kind:
            case "bot_turn":
                self._said.append(str(data["text"]))
                if not data.get("interrupted") and not self._link.speaking:
                    self._answers += 1
            case "tool":
                self._tools += 1
                self._answers = 0  # there is an answer to come that knows the result
            case "tool_result":
                self._tools -= 1
            case "user_turn" | "error":
                pass
            case _:
                return
        self._event_at = self._log.now()

    def _quiet_since(self, now: float) -> float:
        if self._link.speaking:
            return now
        return max(self._spoke_until, self._link.ear.last_sound_at, self._event_at)

    def _may_speak(self, now: float) -> bool:
        if self._link.speaking:
            return False
        silent = self._link.ear.silent_for(now)
        if self._answers and silent >= self.habits.settle_s and not self._link.bot_playing:
            return True
        if self._link.ear.stretches > self._stretches and not self._tools:
            patience = self.habits.patience_s
        elif self._spoke_until == float("-inf"):
            patience = self.habits.no_greeting_s
        else:
            patience = self.habits.no_answer_s
        return now - self._quiet_since(now) >= patience


CallerCoroutine = Callable[[CallerLine], Awaitable[Any]]
"""A caller that reacts. When it returns, it has hung up."""

Step = Callable[[CallerLine], Awaitable[None]]


@dataclass(frozen=True)
class Caller:
    """A script. Every step returns a longer one; a script may be used for many calls.

    Steps follow each other: `say` waits until it is the caller's turn. Behind the last one the caller
    listens to the answer and hangs up, unless the bot has done so.
    """

    steps: tuple[Step, ...] = ()
    habits: Habits = field(default_factory=Habits)

    def say(
        self, what: Spoken, *, text: str | None = None, name: str | None = None, wait: bool = True
    ) -> Self:
        """When it is the caller's turn, say this. As `CallerLine.say`."""

        async def step(line: CallerLine) -> None:
            await line.my_turn()
            await line.say(what, text=text, name=name, wait=wait)

        return self._then(step)

    def interrupt(
        self, what: Spoken, *, after: float = 1.0, text: str | None = None, name: str | None = None
    ) -> Self:
        """Cut in with this, `after` seconds into the bot's answer."""

        async def step(line: CallerLine) -> None:
            await line.speech(after=after)
            await line.say(what, text=text, name=name)

        return self._then(step)

    def pause(self, seconds: float) -> Self:
        """Do nothing for so long."""
        return self._then(lambda line: line.pause(seconds))

    def press(self, keys: str) -> Self:
        """Press keys of the telephone: ``"123#"``. It does not wait for the bot."""
        return self._then(lambda line: line.press(keys))

    def mute(self, seconds: float) -> Self:
        """From here on no audio leaves the telephone for so long; the script goes on meanwhile."""

        async def step(line: CallerLine) -> None:
            line.mute(seconds)

        return self._then(step)

    def until(self, wanted: str | re.Pattern[str], *, timeout_s: float | None = None) -> Self:
        """Wait until the bot has said something that matches this pattern."""

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
        """Go through the script."""
        line.habits = self.habits
        for step in self.steps:
            await step(line)
        await line.my_turn()
        await line.silence(self.habits.hangup_after_s)
