"""`CallerTurns`: what code can do in a call while it has the caller's turns, in the place of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.call import EndReason, Turn
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.processors.keys import KeysToText
from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.default_lines import language_of
from piopiy_pipeline.session.events import CollectionEvent
from piopiy_pipeline.session.held_turns import REDACTED, HeldTurns, KeysAhead, TurnListener
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.providers.stage_errors import services_of
from piopiy_pipeline.session.realtime.bounded_wait import holds_within
from piopiy_pipeline.session.speaker import Speaker

if TYPE_CHECKING:
    from piopiy_pipeline.session.realtime.realtime_run import RealtimeRun

__all__ = ["CallerTurns", "share_late_keys"]

ANSWER_S = 30.0
"""How long an answer of the model to a question in between is waited for, in seconds."""
TURN_S = 3.0
"""How long the end of a turn is waited for whose words are there, in seconds."""
KEYS_S = 1.0
"""So long after the turns were held, keys are no turns yet, in seconds: they are kept for the next question."""
READ_S = 4.0
"""How long the model may take to read an answer, in seconds."""
MAX_READ_TOKENS = 100
LOOK_S = 0.1
"""How often it is looked whether the answer is over, in seconds."""
BEGINS_S = 5.0
"""An answer that has not begun after so many seconds is not waited for, in seconds."""


class CallerTurns:
    """The turns of one call, held. `Call.hold_turns` returns it, to be used as a context manager.

    Args:
        state: The call.
        pipeline: Its stages.
        speaker: Says texts.
        monitor: Knows who is heard.
        interrupt: Cuts off what the bot says.
        is_free: Whether nobody waits for the bot to say something.
        listener: Is told of the caller.
        redact: Whether what both sides say meanwhile is kept out of record and conversation.
        keeps_model: Whether a model of text of this pipeline can be kept from answering.
        realtime: The session of a model that hears the caller itself.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        speaker: Speaker,
        monitor: CallMonitor,
        *,
        interrupt: Callable[[], Awaitable[None]],
        is_free: Callable[[], bool],
        listener: TurnListener,
        redact: bool,
        keeps_model: bool = True,
        realtime: RealtimeRun | None = None,
    ) -> None:
        self._keeps_model = keeps_model
        self._realtime = realtime
        self._state = state
        self._pipeline = pipeline
        self._speaker = speaker
        self._monitor = monitor
        self._interrupt = interrupt
        self._is_free = is_free
        self._held = HeldTurns(listener, redact=redact)
        self._off: list[Callable[[], None]] = []
        self._bot_turns = 0
        self.cut_off = ""
        """What was heard of what the bot has said last, if the caller has cut it off."""

    @property
    def language(self) -> str:
        """The language of the voice, else of the STT, else ``en``."""
        return language_of(services_of(self._pipeline))

    @property
    def has_model(self) -> bool:
        """Whether there is a model that could answer a question in between."""
        return any(self._pipeline.find(kind) is not None for kind in (LLMService, ModelSwitch))

    @property
    def moved(self) -> bool:
        """Whether the call goes on at another instance."""
        return self._state.ended and self._state.end.result().reason is EndReason.MOVED

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller is speaking, or words of theirs are on their way."""
        guard = self._monitor.guard
        return bool((guard is not None and guard.caller_speaks) or self._monitor.unheard_words)

    def __enter__(self) -> Self:
        if self._realtime is not None and (obstacle := self._realtime.held.obstacle):
            raise StageError(obstacle, "llm")
        hears = next((one for one in services_of(self._pipeline) if is_realtime(one)), None)
        if self._realtime is None and hears is not None:
            raise StageError(
                f"{type(hears).__name__} answers each turn of the caller by itself, and it is not known how to keep it "
                "silent: values are collected with OpenAI's or Azure's service, or in a chain of stt, llm and tts",
                "llm",
            )
        if self._realtime is None and self.has_model and not self._keeps_model:
            raise StageError(
                "values are collected in a chain with one model (or a list of them as one stage) between the two sides "
                "of its context: here nothing could keep the model from answering",
                "llm",
            )
        if self._state.held_turns is not None:
            raise RuntimeError("something else is being collected in this call: one value after the other")
        self._state.keys_ahead.stop_keeping()  # of the question before: this one hears the keys itself
        events = self._state.events
        self._off = [
            events.on("user_turn", self._user_turn),
            events.on("backchannel", lambda turn: self._held.listener.on_backchannel(turn.text)),
            events.on("dtmf", self._held.listener.on_keys),
            events.on("bot_turn", self._bot_turn),
        ]
        self._keys_to_text(suspended=True)
        self._state.give_turns(self._held)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for off in self._off:
            off()
        off = self._state.events.on("dtmf", self._keep_keys)
        # The stage sees a key later than the listener, and behind the last one a "#" may come.
        timer = asyncio.get_running_loop().call_later(KEYS_S, self._resume_keys)
        self._off = [off, timer.cancel]
        self._state.keys_ahead.keep_until(self._stop_keeping)
        if self._state.held_turns is self._held:
            self._state.give_turns(None)

    def _keep_keys(self, keys: str) -> None:
        if self._state.held_turns is None:
            self._state.keys_ahead.keep(keys)

    def _stop_keeping(self) -> None:
        for off in self._off:
            off()

    def _resume_keys(self) -> None:
        self._state.keys_ahead.stop_keeping()
        if self._state.held_turns is None:
            self._state.keys_ahead.take()
            self._keys_to_text(suspended=False)

    def _keys_to_text(self, *, suspended: bool) -> None:
        stage = self._pipeline.find(KeysToText)
        if isinstance(stage, KeysToText):
            stage.suspended = suspended

    def _user_turn(self, turn: Turn) -> None:
        if self._held.redact:
            self._redact(turn.text)
        self._held.listener.on_turn(turn.text)

    def _redact(self, text: str) -> None:
        """Take the words of a turn out of the conversation, if they are in it: a page's text comes there later."""
        user = self._pipeline.find(LLMUserAggregator)
        if not isinstance(user, LLMUserAggregator):
            return
        messages: list[Any] = user.context.get_messages()
        found = False
        for message in reversed(messages):  # a turn may be in it in several pieces
            if not isinstance(message, dict) or message.get("role") != "user":
                if found:
                    return
                continue
            words = standard_message_text(cast(Any, message)).strip()
            if not words or not (words in text or text in words):
                return
            message["content"], found = REDACTED, True

    def _bot_turn(self, turn: Turn) -> None:
        self._bot_turns += 1
        self.cut_off = turn.text if turn.interrupted else ""

    @property
    def heard(self) -> str | None:
        """What the caller has heard by now of the text that was said last. None: all of it."""
        return self._held.heard

    @property
    def heard_before(self) -> str | None:
        """What they had heard of it when they began to speak. None: all of it, or nobody knows when they began."""
        return self._held.heard_before

    @property
    def keys_ahead(self) -> KeysAhead:
        """The keys that were pressed before there was a question for them."""
        return self._state.keys_ahead

    # ------------------------------------------------------------------ acting

    async def say(self, text: str) -> bool:
        """Say a text; the caller can cut it off. Return whether it was heard in full."""
        self.cut_off = ""
        self._held.begin_text(caller_speaks=self.caller_speaks or self._monitor.owed_final)
        if heard := await self._speaker.say(text, into_context=not self._held.redact):
            self._held.end_text()
        return heard

    async def stop_speaking(self) -> None:
        """Cut off what the bot is saying, because a key was pressed."""
        if not self._is_free():
            await self._interrupt()

    async def ask_model(self, note: str, *, until: Callable[[], bool]) -> None:
        """Have the model answer what the caller has just said, and wait until that was heard.

        Args:
            note: Goes into the conversation first, as a message that is not the caller's.
            until: Nothing is waited for any more as soon as this is true.
        """
        self._held.let_model_answer(True)
        try:
            if self._realtime is not None:  # an STT may write the words down before the turn is over
                await holds_within(lambda: not self._monitor.users_turn, TURN_S)
            before, asked_at = self._bot_turns, self._state.now()
            await self._speaker.respond(note)
            while not (self._state.ended or until()):
                waited_s = self._state.now() - asked_at
                answered = self._bot_turns > before
                if waited_s > ANSWER_S or (self._is_idle() and (answered or waited_s > BEGINS_S)):
                    return
                await asyncio.sleep(LOOK_S)
        finally:
            self._held.let_model_answer(False)

    async def read_by_model(self, task: str, text: str) -> str:
        """Have the model do a task with a text, beside the conversation. Return what it writes; nothing if it cannot.

        Args:
            task: What to do.
            text: What to do it with.
        """
        if self._realtime is not None:
            return await self._written_aside(f"{task}\n\n{text}")
        stage = next(
            (found for kind in (LLMService, ModelSwitch) if (found := self._pipeline.find(kind)) is not None),
            None,
        )
        service = stage.active if isinstance(stage, ModelSwitch) else stage
        if not isinstance(service, LLMService):
            return ""
        messages: list[Any] = [{"role": "system", "content": task}, {"role": "user", "content": text}]
        try:
            async with asyncio.timeout(READ_S):
                return (
                    await self._state.ask_beside(service, LLMContext(messages), max_tokens=MAX_READ_TOKENS)
                    or ""
                ).strip()
        except NotImplementedError:
            return ""
        except Exception as error:  # noqa: BLE001  of any provider's client: the caller is asked again
            logger.warning("the model has not read an answer: {}", error_text(error))
            return ""

    async def _written_aside(self, text: str) -> str:
        """Have a model that hears the caller itself write what this asks for; nothing if it cannot."""
        assert self._realtime is not None
        try:
            async with asyncio.timeout(READ_S):
                return (await self._realtime.write(text)).strip()
        except Exception as error:  # noqa: BLE001  of any provider's client: the caller is asked again
            logger.warning("the model has not read an answer: {}", error_text(error))
            return ""

    def _is_idle(self) -> bool:
        recovery = self._state.recovery
        return not (recovery.answer_open or recovery.sentence_announced or self._monitor.speaking)

    # ------------------------------------------------------------------ telling

    def checkpoint(self) -> None:
        """Have the gateway know how far it has come."""
        self._state.checkpoints.part_changed()

    def report(self, event: CollectionEvent) -> None:
        """Tell the author's handlers and the record."""
        self._state.report_collection(event)


def share_late_keys(state: CallState, pipeline: CallPipeline) -> None:
    """Have the stage that makes words of keys, if there is one, know the late keys of the call, and note its own."""
    stage = pipeline.find(KeysToText)
    if isinstance(stage, KeysToText):
        stage.late = state.keys_ahead.late
