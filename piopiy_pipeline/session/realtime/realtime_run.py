"""`RealtimeRun`: the session of a speech-to-speech model in one call.

The provider keeps the conversation. This sees to it that it is the one that the caller has heard: it tells the provider
after an interruption how far each item was heard, asks for answers when it is this side's business, has the model say
what the bot is told to say, and opens the session again, with the conversation, when it is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMRunFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import filter_queued, watch_processed, watch_taken
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.aside import written_aside
from piopiy_pipeline.session.realtime.bounded_wait import holds_within
from piopiy_pipeline.session.realtime.caller_items import CallerItems
from piopiy_pipeline.session.realtime.entries import Entries
from piopiy_pipeline.session.realtime.held_answers import HeldAnswers
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.session_changes import SessionChanges
from piopiy_pipeline.session.realtime.session_losses import SessionLosses
from piopiy_pipeline.session.realtime.spoken_answer import SayingMark, SpokenAnswer
from piopiy_pipeline.session.realtime.truncations import Truncations
from piopiy_pipeline.session.realtime.wanted_answers import WantedAnswers
from piopiy_pipeline.session.realtime.words_of_caller import WordsOfCaller
from piopiy_pipeline.session.realtime.written_answer import WrittenAnswer
from piopiy_pipeline.session.utterances import Utterance
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.turns.realtime_turns import RealtimeTurns

__all__ = ["RealtimeRun"]

OPEN_S = 5.0  # how long one attempt may take, in seconds
STANDS_S = 45.0  # all attempts to open a session, with the waits between them, take no longer, in seconds
OVER_S = 0.5  # a service knows that its answer is over so long behind its end at most, in seconds
UNHEARD_S = 8.0  # a new session waits so long at most for what is being said, in seconds: the lead is 5


class RealtimeRun:
    """Runs beside the pipeline of one call with a speech-to-speech model.

    Args:
        state: The call.
        service: The model's service, before it runs.
        user: The user's side of the context.
        output: The stage that speaks.
        turns: Who decides on turns; None: strategies of the author's.
        asked: Called when the provider is asked for an answer.
        make_provider: Makes what speaks the provider's protocol; takes `asked` and `lost`.
        report: Takes the service and what was wrong with it, and was mended.
        assistant: The assistant's side of the context, if a TTS says what the model writes; None: it speaks.
        has_ears: Whether an STT writes down what the provider hears, in its place.
    """

    def __init__(
        self,
        state: CallState,
        service: LLMService[Any],
        *,
        user: LLMUserAggregator,
        output: BotOutput,
        turns: RealtimeTurns | None,
        make_provider: Callable[..., RealtimeProvider],
        asked: Callable[[], None],
        report: Callable[[LLMService[Any], str], None],
        assistant: LLMAssistantAggregator | None = None,
        has_ears: bool = False,
    ) -> None:
        self._state = state
        self._service: Any = service
        self._user = user
        self._output = output
        self._turns = turns
        self._report = report
        self._wanted = WantedAnswers()
        self.begun = False
        """Whether the provider was told the conversation, or is being told."""
        self.begun_with: tuple[Any, ...] = ()
        """The messages that the session was begun with."""
        self._set_up = False
        self._losses = SessionLosses()
        self._session_key: object = None
        self.opens = False
        """Whether the session is being opened, which what the bot is to say waits for."""
        self._asks = False
        self._writes_down = not has_ears  # the provider does, and the conversation has no words otherwise
        self._asked_with = -1  # so many messages were in the conversation that is being answered
        self._provider = make_provider(asked=asked, lost=self._lost)
        self.changes: SessionChanges | None = None
        """Brings the session in line with what code has changed; None: its provider takes no changes."""
        if self._provider.takes_changes:
            self.changes = SessionChanges(self, self._provider, service, user.context)
        self._answer = (
            SpokenAnswer(service, self._provider, done=self._done)
            if assistant is None
            else WrittenAnswer(service, self._provider, assistant, session=self, done=self._done)
        )
        self.bound_by = self._answer.bound_by
        self._truncations = Truncations(state, self._provider, self._answer, user.context)
        self.held = HeldAnswers(
            state, service, self._provider, turns, user, has_ears=has_ears, ask_again=self._ask_for_results
        )
        """Keeps the model from answering while code has the caller's turns."""
        self._provider.session = self._in_session
        self._provider.wants_answer = self._wanted.answer
        items = CallerItems(service, output, turns, has_ears=has_ears)
        self.entries = Entries(
            state,
            service,
            user,
            output,
            self._provider,
            answers=lambda: self._answer.open,
            until_stands=self.until_stands,
            answer=self._answer_entry,
        )
        """What is put into the conversation in writing."""
        self.words = WordsOfCaller(
            state, user, output, self._provider, items, decides=turns is not None, typed=self.entries.typed
        )
        """What the caller has said, on its way into the conversation."""
        filter_queued(service, self._accepts)
        watch_taken(service, self._turn_over, UserStoppedSpeakingFrame)
        watch_taken(service, self._losses.service_ends, EndFrame)
        watch_taken(service, lambda *_: self._truncations.interrupted(), InterruptionFrame)
        watch_processed(service, self._cut, InterruptionFrame)
        filter_queued(user, self._user_accepts)
        output.text.on_cut = self._truncations.heard

    # ------------------------------------------------------------------ the session

    async def begin(self) -> None:
        """Tell the provider the conversation so far; nothing is said."""
        self.begun = True
        if self._service.is_usable and not (self._provider.connected and await self._open()):
            self._lost()

    async def _open(self) -> bool:
        if not await holds_within(lambda: self._provider.ready, OPEN_S):
            return False
        try:
            async with asyncio.timeout(OPEN_S):
                self.begun_with = tuple(self._user.context.get_messages())
                self.held.session_is_new()
                await self._provider.begin(self._user.context)
        except Exception as error:  # noqa: BLE001  whatever a provider's client raises, there is no session
            logger.warning("{}: {}", self._service, error_text(error))
            self._losses.not_opened(error)
            return False
        if not self._provider.connected:
            return False
        await self._service.stop_all_metrics()
        self._losses.opened(self._state.now())
        self._set_up, self._session_key = True, self._provider.session_key
        await self._ask()
        return True

    def check(self) -> None:
        """See to it that there is a session. Call this from time to time."""
        if not self._set_up or self.opens or self._state.ended:
            return
        if not self._provider.connected:
            self._lost()
        elif (key := self._provider.session_key) is not None and key is not self._session_key:
            self._session_key = key
            self._state.spawn(self._see_to(self._goes_on), "realtime_session")
        elif self._wanted and not (self._asks or self._provider.answers or self._answer.open):
            self._state.spawn(self._ask(), "realtime_ask")  # what was waited for has never come
        elif self._provider.is_to_end and not (self._asks or self._answer.open or self._state.recovery.busy):
            self._state.spawn(self._see_to(self.open_anew), "realtime_session")

    async def _goes_on(self) -> None:
        """Ask once more for an answer of which the rest is lost: the service has opened the session again itself."""
        owed = self._answer.open or self._provider.answers or self._answer.mark is not None
        self._losses.lost(self._state.now(), owed=owed)
        if not (gives_up := owed and self._losses.too_many):
            self._report(self._service, self._losses.mended)
        if owed:
            self._provider.answer_lost()
            self.opens = True
            was_told = await self._end_lost()
            if gives_up:
                await self._given_up()
                return
            await holds_within(lambda: self._output.settled, UNHEARD_S)
            self.opens = False
            if not was_told:
                self._wanted.answer()
        await self._ask()

    def _lost(self) -> None:
        begun = self._state.answered_at is not None and not (self._state.ended or self._losses.over)
        if begun and not self.opens and self._service.is_usable:
            self.opens = True
            self._state.spawn(self._see_to(self._reopen), "realtime_session")

    async def _see_to(self, opening: Callable[[], Awaitable[None]]) -> None:
        """Have a session opened. If that fails as nobody has foreseen, it is given up: the call would be mute."""
        try:
            await opening()
        except Exception as error:
            if self.opens or not self._set_up:
                self._losses.not_opened(error)
                await self._given_up()
            raise

    async def _reopen(self) -> None:
        """Open the session again, with the conversation as the caller has heard it."""
        owed = self._answer.aside is None and (self._provider.owes or self._answer.open)
        self._losses.lost(self._state.now(), owed=owed)
        self._losses.not_opened(self._provider.failure)
        logger.warning("{}: {}", self._service, self._losses.fault)
        self._set_up, self._answer.hides_errors, opened = False, True, False
        was_told = await self._end_lost()
        for wait_s in self._losses.waits:
            await asyncio.sleep(wait_s)
            opened = await self._opened_again()
            if opened or not self._service.is_usable or not self._losses.waits:
                break
        if not opened:
            await self._given_up()
            return
        self._answer.hides_errors = False
        await holds_within(lambda: self._output.settled, UNHEARD_S)
        if self._writes_down and self._provider.hear_again():
            self._wanted.drop_answers()  # the turn's end asks
        elif owed and not (was_told or self._wanted.has_answer):
            self._wanted.answer()
        self.opens = False
        self._report(self._service, self._losses.mended)
        if not await self._open():
            self._lost()

    async def _end_lost(self) -> bool:
        """End the answer that was lost. Returns whether it is what the model was told to say: the rest waits."""
        was_told, goes_on = self._answer.mark is not None, self._wanted.say_rest(self._answer)
        self._state.recovery.broke_off(open=self._answer.open and not goes_on)
        await self._answer.lost(goes_on=goes_on)
        return was_told

    async def _given_up(self) -> None:
        self._answer.hides_errors = self.opens = self._set_up = False
        why = f": {found}" if (found := self._losses.why or self._answer.hidden) else ""
        await self._service.set_usable(False)
        await self._service.push_error(self._losses.given_up + why, category=self._losses.category)

    @property
    def stands(self) -> bool:
        """Whether the provider knows the conversation."""
        return self._set_up

    async def open_anew(self) -> None:
        """Open another session with the conversation as it stands now. Nothing was lost, and nobody is told."""
        self.opens, self._set_up, self._answer.hides_errors, opened = True, False, True, False
        try:
            if self._answer.open or self._answer.mark:  # its rest would be of the session before
                self._provider.answer_lost()
                await self._end_lost()
            await self.words.settle()
            await self._truncations.wait()  # it would be the next one that is told
            opened = await self._opened_again()
            self._answer.session_is_new()
        except Exception as error:  # noqa: BLE001  it is seen to as if it were lost
            logger.opt(exception=error).error("{}: {}", self._service, error_text(error))
        finally:
            self.opens = self._answer.hides_errors = False
        if not (opened and await self._open()):
            self._lost()

    def answer_stalled(self) -> None:
        """Take note that an answer has come to a stand and was cut off, and will be asked for once more."""
        self._asked_with = -1
        if self._set_up and not (self.opens or self._asks):
            self._state.spawn(self._renew_stalled(), "realtime_stalled")

    async def _renew_stalled(self) -> None:
        """Open another session if this one does not give the answer up."""
        self._asks = True  # nobody else does meanwhile
        try:
            stalls = not await holds_within(lambda: not self._provider.stalls, OVER_S)
        finally:
            self._asks = False
        if stalls and self._set_up and not self.opens:
            self._provider.forget()
            self._provider.answer_lost()
            await self._answer.lost()  # who has had the model say it has it said once more
            await self.open_anew()
        else:
            await self._ask()

    async def _opened_again(self) -> bool:
        try:
            async with asyncio.timeout(OPEN_S):
                await self._provider.reopen(self._user.context)
        except Exception as error:  # noqa: BLE001  whatever a provider's client raises, the next may do
            logger.warning("{}: {}", self._service, error_text(error))
            self._losses.not_opened(error)
            return False
        return self._provider.connected and await holds_within(lambda: self._provider.ready, OPEN_S)

    # ------------------------------------------------------------------ asking

    async def until_said(self) -> None:
        """Wait until the model has given all answers that it was asked for, in bounded time."""
        await holds_within(
            lambda: not (self._asks or self._wanted or self._provider.answers or self._answer.open), UNHEARD_S
        )

    def say(self, utterance: Utterance, *, behind: bool = False) -> None:
        """Have the model say a text, ahead of its answers that wait or behind them. Returns at once."""
        number = self._state.utterances.add(utterance)
        mark = SayingMark(number, utterance.interruptible, utterance.into_context)
        self._wanted.say(utterance.text, mark, behind=behind)
        self._state.spawn(self._ask(), "realtime_say")

    async def write(self, text: str) -> str:
        """Have the model write what this asks for, beside the conversation. An empty text: it has not."""
        await self.until_stands()
        await self.until_said()
        if self._asks or not (self._set_up and self._provider.writes_aside) or self._provider.answers:
            return ""
        self._asks = True
        try:
            return await written_aside(self._provider, self._answer, text)
        finally:
            self._asks = False
            if self._wanted:
                self._state.spawn(self._ask(), "realtime_ask")

    @property
    def has_to_say(self) -> bool:
        """Whether the model is told to say something that is not all on its way to the caller yet."""
        return self._answer.mark is not None or self._wanted.has_sayings

    @property
    def is_about_to_ask(self) -> bool:
        """Whether the model is about to be asked for something, which it knows nothing of yet."""
        return self._asks or bool(self._wanted) or self.entries.wait

    async def respond(self, note: str | None = None) -> None:
        """Have the model answer the conversation so far, with a note in it."""
        if note is not None:
            self.entries.note(note)
        elif self.held.may_ask():
            if not self._is_asked:
                self._wanted.answer()
            await self._ask()

    @property
    def _is_asked(self) -> bool:
        """Whether an answer to the conversation as it stands is under way, or will be asked for."""
        if self._wanted.has_answer:
            return True
        unheard = self._answer.spoke and self._output.has_unheard
        under_way = self._answer.comes or self._provider.answers or unheard
        return under_way and self._answer.mark is None and self._asked_with == self._length

    @property
    def _length(self) -> int:
        """How many messages the conversation has but the caller's, which come when they are written down."""
        messages: list[Any] = self._user.context.get_messages()
        return sum(not isinstance(one, dict) or one.get("role") != "user" for one in messages)

    async def _ask(self) -> None:
        """Ask for the next answer, if none is under way."""
        if self._asks or not self._set_up or self.opens or self._state.ended:
            return
        self._asks = True
        try:
            while self._wanted and not (self._provider.answers or self._answer.open):
                await self._truncations.wait()
                await self.held.follow()
                if not self._provider.connected:
                    self._lost()
                    break
                wanted = self._wanted.next()
                self._answer.mark = wanted.mark
                self._provider.spares = self._answer.is_spared
                self._asked_with = self._length if wanted.text is None else -1
                await self._provider.ask(self._user.context, wanted.text)
        finally:
            self._asks = False

    def _done(self) -> None:
        self._provider.spares = False
        if not self.opens:
            self._losses.answered()
            self._provider.answered()
        if self._wanted:
            self._state.spawn(self._ask_next(), "realtime_ask")

    async def _ask_next(self) -> None:
        await holds_within(lambda: not self._provider.answers, OVER_S)
        await self._ask()

    def _accepts(self, frame: Frame, direction: FrameDirection) -> bool:
        """Drop contexts from above: the provider has heard the caller itself, and the conversation is one."""
        from_above = isinstance(frame, LLMContextFrame) and direction is FrameDirection.DOWNSTREAM
        return not from_above and self.held.accepts(frame, direction)

    async def _ask_for_results(self) -> None:
        """Have the service ask for an answer to what it has told the provider, if none has come since."""
        await self._service.queue_frame(LLMContextFrame(self._user.context), FrameDirection.UPSTREAM)

    def _in_session(self, settings: dict[str, Any]) -> None:
        """Change the settings of the session on their way."""
        if self._turns is not None and self._turns.in_session is not None:
            self._turns.in_session(settings)
        self.held.in_session(settings)

    async def _turn_over(self, _service: Any, _frame: Frame) -> None:
        if self._turns is not None and self._turns.asks and not self.held.has_turn:
            self._wanted.answer()
            self._state.spawn(self._ask(), "realtime_turn")

    def _user_accepts(self, frame: Frame, direction: FrameDirection) -> bool:
        """Have the model asked by this side, which knows whether it is asked already."""
        if isinstance(frame, LLMRunFrame):
            self._state.spawn(self.respond(), "realtime_ask")
            return False
        return True

    async def until_stands(self) -> None:
        """Wait until the provider has been told the conversation: what is new would come before it."""
        await holds_within(lambda: self._set_up and self._provider.connected, STANDS_S)

    async def _answer_entry(self) -> None:
        self._wanted.answer()
        await self._ask()

    async def _cut(self, _service: Any, _frame: Frame) -> None:
        """Have the provider give up the answer that was interrupted."""
        self._wanted.cut()
        await self._provider.cancel()
