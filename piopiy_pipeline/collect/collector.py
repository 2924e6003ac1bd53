"""Carries out what a `Collection` decides, on a call: the asyncio side of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from loguru import logger

from piopiy_pipeline.collect.collected import Collected, NotCollected, NoValueReason
from piopiy_pipeline.collect.collection import Collection, Doing, NextStep
from piopiy_pipeline.collect.value_reader import ValueReader
from piopiy_pipeline.collect.yes_no import key_answer, says_yes
from piopiy_pipeline.compat.tool_permits import current_tool_run
from piopiy_pipeline.late_keys import REPEAT_S, LateKeys
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.processors.keys import KeyEntry
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.events import CollectionEvent
from piopiy_pipeline.session.held_turns import TurnListener
from piopiy_pipeline.turns.caller_words import language_code

__all__ = ["Collector"]

T = TypeVar("T")

KEYS_END_S = 3.0
"""Keys that end with no ``#`` end after so many seconds without one."""
MAX_WAITING = 16
"""So many acts wait to be carried out. Of more, the oldest has been overtaken."""
LOOK_S = 0.25
"""How often it is looked whether the caller is still speaking, in seconds."""
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What reading a state that is of another version, or damaged, may raise."""
NOTE = (
    "The system is asking the caller for this: {kind}. They have just said something else. Answer that in one or two "
    "short sentences. Do not ask for the value yourself: the system asks for it again right after you."
)

READ = (
    "Somebody on the telephone was asked for this: {kind}. You get what a speech recogniser has made of the answer. "
    "Reply with {form}, or with none if the answer does not have it. Add nothing, and make nothing up."
)


class Collector(Generic[T]):
    """Collects one value on one call.

    Args:
        call: The call.
        name: What the value is called in events, and by which another instance finds it again.
        redact: Whether it is kept out of the record and of the conversation.
        silence_s: The caller is asked again after so many seconds of silence.
        timeout_s: All of it takes so many seconds at most.
    """

    def __init__(self, call: Call, *, name: str, redact: bool, silence_s: float, timeout_s: float) -> None:
        self._call = call
        self._name = name
        self._redact = redact
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._acts: deque[NextStep] = deque(maxlen=MAX_WAITING)
        self._there = asyncio.Event()
        self._entry = KeyEntry(terminator="#", timeout_s=KEYS_END_S)
        self._keys = ""
        self._timer: asyncio.TimerHandle | None = None
        self._asking = True  # the question is being said, or is about to be
        self._ahead = False  # keys of the entry were pressed before the question
        self._aside = ""  # what the caller said while the bot spoke on
        self._stopping: asyncio.Task[None] | None = None
        self._failed: Exception | None = None  # what reading an answer has raised: a checksum of the author's

    async def collect(self, prepare: Callable[[str], Collection[T]]) -> Collected[T]:
        """Collect it.

        Args:
            prepare: Makes the collection for the language of the call.

        Raises:
            NotCollected: The caller has not given it.
            RuntimeError: Something else is being collected in this call.
            Exception: What a reader or a checksum of the author's raises.
        """
        call = self._call
        await call.until_answered()
        if call.ended:
            raise NotCollected(self._name, NoValueReason.HANGUP)
        turns = call.hold_turns(
            TurnListener(self._on_turn, self._on_aside, self._on_keys, lambda: self._entry.begun),
            redact=self._redact,
        )
        self._turns, self._prepare = turns, prepare
        self._collection = collection = prepare(self._language)
        self._key = call.collected.key_of(self._name, current_tool_run.get())
        if (done := call.collected.done(self._key)) is not None:
            try:
                return self._as_before(done)
            except DAMAGED as error:
                self._cannot_be_read(error)
        if (saved := call.collected.progress(self._key)) is not None:
            try:
                collection.restore(saved)
            except DAMAGED as error:
                self._cannot_be_read(error)
                self._collection = collection = prepare(self._language)
        why: NoValueReason | None = NoValueReason.CANCELLED
        with turns:
            try:
                self._note()
                self._report("begun")
                try:
                    async with asyncio.timeout(self._timeout_s):
                        why = await self._run(await self._begin())
                except TimeoutError:
                    why = NoValueReason.TIMEOUT
            finally:
                self._close()
                self._finish(why)
        collection = self._collection
        if why is not None:
            turns.keys_ahead.take()
            raise NotCollected(self._name, why, collection.attempts)
        reader = collection.reader
        return Collected(reader.value, collection.how, collection.attempts, reader.spoken())

    def _as_before(self, done: dict[str, Any]) -> Collected[T]:
        reader: ValueReader[T] = self._collection.reader
        if done.get("why"):
            raise NotCollected(self._name, NoValueReason(done["why"]), done["attempts"])
        return Collected(reader.from_json(done["value"]), done["how"], done["attempts"], done["spoken"])

    def _cannot_be_read(self, error: Exception) -> None:
        logger.warning(
            "{}: what another instance has left cannot be read ({}): it is asked anew", self._name, error
        )

    # ------------------------------------------------------------------ acting

    async def _begin(self) -> NextStep:
        """Ask, or wait for the answer if another instance has asked and given the call away: return what comes next."""
        act = self._collection.go_on() if self._call.collected.moved else self._collection.begin()
        self._take(self._turns.keys_ahead.take())
        self._ahead = self._entry.begun
        if act is not None:
            return self._next() or act
        self._expect()
        return await self._answer()

    async def _run(self, act: NextStep) -> NoValueReason | None:
        while True:
            if self._call.ended:
                return self._ended()
            match act.doing:
                case Doing.FINISH:
                    return None
                case Doing.FAIL:
                    return act.why
                case Doing.READ:
                    act = await self._read(act.text)
                    continue
                case Doing.ASK_MODEL if self._turns.has_model:
                    note = NOTE.format(kind=self._collection.reader.kind.replace("_", " "))
                    await self._turns.ask_model(note, until=self._there.is_set)
                    act = self._next() or self._collection.resume()
                    continue
                case Doing.ASK_MODEL:
                    act = self._collection.resume()
                    continue
                case Doing.SAY:
                    self._expect()
                    self._aside = ""
                    self._asking = True
                    heard = await self._turns.say(act.text)
                    if heard and not self._acts:  # else something else is asked by now
                        self._collection.was_heard()
                        self._note()
                    if heard and self._aside:
                        self._on_turn(self._aside)
            act = await self._answer()

    def _ended(self) -> NoValueReason:
        return NoValueReason.MOVED if self._turns.moved else NoValueReason.HANGUP

    async def _read(self, text: str) -> NextStep:
        """Have the model read an answer, and return what comes next."""
        task = READ.format(
            kind=self._collection.reader.kind.replace("_", " "), form=self._collection.reader.model_task
        )
        written = await self._turns.read_by_model(task, text)
        if (act := self._next()) is not None:  # the caller has gone on meanwhile
            return act
        act = self._collection.read(text, "" if written.lower().strip(" .") == "none" else written)
        self._note()
        return act

    def _expect(self) -> None:
        try:
            self._call.expect(self._collection.expects)
        except RuntimeError:  # another strategy ends the turns, and heeds no such thing
            return

    async def _answer(self) -> NextStep:
        """Return what comes next: of what the caller does, or of their silence."""
        self._asking = False
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        while True:
            if (act := self._next()) is not None:
                return act
            if self._call.ended:
                return NextStep(Doing.FAIL, why=self._ended())
            if self._turns.caller_speaks or self._entry.begun:
                quiet_since = loop.time()
            elif loop.time() - quiet_since >= self._silence_s:
                act = self._collection.silence()
                self._note()
                return act
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._there.wait()
            except TimeoutError:
                continue

    def _next(self) -> NextStep | None:
        """Return the act that was decided last: those before it were overtaken by what the caller has done since."""
        if self._failed is not None:
            raise self._failed
        act = self._acts[-1] if self._acts else None
        self._acts.clear()
        self._there.clear()
        return act

    # ------------------------------------------------------------------ what the caller does: nothing here waits

    @property
    def _is_over(self) -> bool:
        """Whether it is decided that the value is there, or is not to be had: what comes later is not for it."""
        return bool(self._acts) and self._acts[-1].doing in (Doing.FINISH, Doing.FAIL)

    def _on_turn(self, text: str) -> None:
        if self._is_over:
            return
        self._look_at_cut_off()
        self._follow_language()
        heard = self._turns.heard_before
        self._decide(lambda: self._collection.hear(text, heard))

    @property
    def _language(self) -> str:
        """The language in which the call is: the caller's, where the bot follows it, else that of the voice."""
        return self._call.language or self._turns.language

    def _follow_language(self) -> None:
        """Read and ask in the caller's language from now on, if they have changed it."""
        if language_code(self._language) == language_code(self._collection.reader.language):
            return
        try:
            collection = self._prepare(self._language)
            collection.restore(self._collection.state())
        except (
            StageError,
            *DAMAGED,
        ) as error:  # dates of the language need an extra, or a reader is of one language
            logger.warning("{}: is not collected in {}: {}", self._name, self._language, error)
            return
        self._collection = collection

    def _on_aside(self, text: str) -> None:
        """Keep an answer until the bot has spoken, if the caller knew the question: a "no" to a value is always one."""
        collection = self._collection
        answer = says_yes(text, self._language, of_value=collection.checking)
        if not collection.asks_yes_no or answer is None:
            return
        if collection.knows(self._turns.heard_before) or (collection.checking and not answer):
            self._aside = text

    def _on_keys(self, keys: str) -> None:
        self._take(keys, cut_off=self._ahead or not self._entry.begun)

    def _take(self, keys: str, *, cut_off: bool = False) -> None:
        """Take keys; those behind the value are for the next question. The first that counts cuts the bot off."""
        for place, key in enumerate(keys):
            if self._acts and self._acts[-1].doing is Doing.FINISH:
                self._turns.keys_ahead.keep(keys[place:])
                return
            if not self._entry.begun and (self._late.has(key, self._call_now()) or not self._may_answer()):
                continue
            if cut_off:
                self._ahead = cut_off = False
                self._stopping = asyncio.ensure_future(self._turns.stop_speaking())
            self._press(key)

    @property
    def _late(self) -> LateKeys:
        return self._turns.keys_ahead.late

    def _may_answer(self) -> bool:
        """Return whether the caller knows what a key would answer: nobody agrees to a question that is being said.

        If its end was not heard, and it is not being said either, it is asked again.
        """
        collection = self._collection
        self._look_at_cut_off()
        if collection.checking or not collection.asks_yes_no or collection.knows(self._turns.heard):
            return True
        if not self._asking:
            self._decide(collection.resume)
        return False

    def _press(self, key: str) -> None:
        now = self._call_now()
        if key == "#" and not self._entry.begun:
            self._entered("")
            return
        if (entry := self._entry.press(key, now)) is not None:
            self._entered(entry)
            return
        self._keys += key
        checking = self._collection.checking
        quick = checking and (self._keys == "*" or key_answer(self._keys) is not None)
        if not checking and self._collection.reader.keys_suffice(self._keys):
            self._entered(self._entry.take(), answer=key if self._collection.asks_yes_no else "")
        elif not quick:
            self._await_more(KEYS_END_S)
        elif self._timer is None:
            self._await_more(REPEAT_S)

    @staticmethod
    def _call_now() -> float:
        return asyncio.get_running_loop().time()

    def _await_more(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._keys_over)

    def _keys_over(self) -> None:
        if entry := self._entry.take():
            self._entered(entry)

    def _look_at_cut_off(self) -> None:
        """Note how much was heard of what the caller has cut off."""
        if self._turns.cut_off:
            self._collection.was_heard(self._turns.cut_off)

    def _entered(self, keys: str, *, answer: str = "") -> None:
        if self._is_over:
            return
        if keys:
            self._late.ended(self._call_now(), answer=answer)
        self._look_at_cut_off()
        self._keys = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._decide(lambda: self._collection.press(keys))
        self._turns.checkpoint()

    def _decide(self, read: Callable[[], NextStep]) -> None:
        """Read what the caller has said or pressed. What an author's code raises comes to whoever awaits the value."""
        try:
            self._acts.append(read())
        except Exception as error:  # noqa: BLE001  a reader's or a checksum's: it is raised where the value is awaited
            self._failed = self._failed or error
        else:
            self._note()
        self._there.set()

    # ------------------------------------------------------------------ what is kept

    def _note(self) -> None:
        self._call.collected.note(self._key, self._collection.state())

    def _finish(self, why: NoValueReason | None) -> None:
        collection, reader = self._collection, self._collection.reader
        value = None if why else reader.to_json(reader.value)
        if why is NoValueReason.CANCELLED or self._call.ended:
            self._call.collected.drop(self._key)
        else:
            outcome = {"value": value, "how": collection.how, "attempts": collection.attempts}
            outcome |= {"why": why.value} if why else {"spoken": reader.spoken()}
            self._call.collected.finish(self._key, outcome)
            self._turns.checkpoint()
        self._report(why.value if why else "collected", value)

    def _report(self, outcome: str, value: Any = None) -> None:
        collection = self._collection
        how = collection.how if outcome == "collected" else ""
        shown = None if self._redact else value
        kind = collection.reader.kind
        self._turns.report(CollectionEvent(self._name, kind, outcome, collection.attempts, how, shown))

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._stopping is not None:
            self._stopping.cancel()
