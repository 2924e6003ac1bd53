"""`GeminiProvider`: Google's Gemini Live.

It has no items and no truncation: after an interruption the model knows all that it has sent. So it is told in words
what was heard. An answer is cut off by the beginning of the caller's turn, which pipecat's service tells it, and by any
content that the client sends (`BidiGenerateContentClientContent`: "a message here will interrupt any current model
generation"). Instructions, tools and voice are a session's from its set-up on: other ones are another session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pipecat.frames.frames import (
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text

from piopiy_pipeline.compat import gemini_calls, gemini_connection, gemini_session
from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.compat.realtime import spare
from piopiy_pipeline.session.model.system_message import system_message
from piopiy_pipeline.session.realtime.awaited_answer import AwaitedAnswer
from piopiy_pipeline.session.realtime.bounded_wait import POLL_S, holds_within
from piopiy_pipeline.session.realtime.gemini_caller import GeminiCaller
from piopiy_pipeline.session.realtime.gemini_tools import GeminiTools
from piopiy_pipeline.session.realtime.instructions import instruct_by_setting
from piopiy_pipeline.session.realtime.realtime_provider import (
    BEHIND_CUT_S,
    CLOSE_S,
    HEARD_NO_MORE,
    WORDS_S,
    RealtimeProvider,
    said_as_it_is,
)

__all__ = ["GeminiProvider"]

WORDS_APART_S = 0.15
"""Words that come later than this behind the ones before are others, in seconds."""
SEND_S = 3.0
"""A provider that takes nothing for so many seconds is lost."""
CUT_OFF = "(Your last answer was cut off here. Do not go on with it.)"
"""What the model is told when an answer is given up. That it is told anything, is what cuts the answer off."""
SPARED_S = 60.0
"""What the caller types waits so long at most for what must not be interrupted, in seconds."""
SAID = "You have said this to the caller: "


class GeminiProvider(RealtimeProvider):
    """A `RealtimeProvider`.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Not used: pipecat's service opens a lost session again itself, a few times.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._awaited = AwaitedAnswer(service, asked)
        self.stale_s = 1.0
        self.words_wait_s = 0.3
        self.takes_changes = self.writes_aside = True
        self.tells_changes = False
        self.cuts_by_itself = not gemini_session.turns_are_told(service)
        self._first_voice = gemini_session.voice_of(service)
        self._knows_heard = False  # the model was told what was heard of the last answer
        self._words_due = False  # the provider has not written down all of the caller's last turn
        self._notes: list[str] = []  # what the model is to know, as soon as it says nothing
        self._writes = True  # the session that stands, what the caller has said
        self._is_stale = False  # a session knows another conversation, or has another voice
        self._goes_away: object = None  # the session that Google has said it ends
        self.withholds: Callable[[], bool] = lambda: False
        """Whether the provider does not hear what the caller says in turns that begin now."""
        self._caller = GeminiCaller(service, lambda: self.withholds(), lambda: self.hears)
        self._tools = GeminiTools(
            service, begins=self._awaited.end, awaits=self._awaited.begin, ask=self._ask_for_result
        )
        instruct_by_setting(service)
        gemini_calls.keep_tools_quietly(service)
        gemini_calls.tell_results_once(service)
        spare(service, lambda: self.spares)
        gemini_connection.on_failure(service, self._failed)
        gemini_connection.close_in_time(service, CLOSE_S)
        gemini_connection.bound_sends(service, SEND_S)
        gemini_session.before_another(service, self._is_over)
        gemini_session.when_ready(service, self._goes_on)
        gemini_session.when_asked(service, self._awaited.begin)
        gemini_session.when_going_away(service, self._going_away)
        gemini_session.tell_empty_answers(
            service,
            lambda: self._awaited.is_due,
            in_doubt=self._awaited.seems_empty,
            goes_on=self._awaited.goes_on,
        )
        watch_taken(service, self._turn_over, UserStoppedSpeakingFrame)
        watch_pushes(service, self._begun, LLMFullResponseStartFrame)
        watch_pushes(service, self._told_words, TranscriptionFrame)

    @property
    def answers(self) -> bool:
        return gemini_session.answers(self._service) or self._awaited.is_due

    @property
    def stalls(self) -> bool:
        """True: nothing tells whether it has given an answer up, and what it still knows of it was not heard."""
        return True

    @property
    def connected(self) -> bool:
        return gemini_session.is_connected(self._service)

    @property
    def session_key(self) -> object:
        return gemini_session.session_of(self._service)

    @property
    def is_to_end(self) -> bool:
        goes = self._goes_away is not None and self._goes_away is self.session_key
        return goes and not (self.answers or self._caller.speaks or self._words_due)

    @property
    def ready(self) -> bool:
        """True: what it is told before the session stands, pipecat's service keeps."""
        return True

    async def begin(self, context: LLMContext) -> None:
        if self._is_stale:
            await self._begin_anew(context)
        elif not gemini_session.is_ready(self._service):
            await gemini_session.seed(self._service, context)
        while not gemini_session.is_ready(self._service) and self.connected:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(POLL_S)
        self.raise_failure()
        await self._goes_on()

    async def _begin_anew(self, context: LLMContext) -> None:
        await self._is_over()
        self._is_stale = False
        self._notes = []
        self._tools.forget()
        await gemini_session.begin_anew(self._service, context)

    async def _goes_on(self) -> None:
        """Have the session hear and know what came while there was none."""
        if gemini_session.hears(self._service):
            await self._caller.goes_on()
            await self._tools.goes_on()

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self._awaited.begin()
        if text is None and await self._tools.send_waiting():
            return
        await self._tell_notes()
        await gemini_session.ask(self._service, None if text is None else said_as_it_is(text))

    async def write(self, text: str) -> None:
        await holds_within(lambda: not self.spares, SPARED_S)  # it would cut that off
        await self._note(text)

    async def tell(self, messages: Sequence[Any]) -> None:
        """Put messages behind the conversation, when the answer under way is over: they would cut it off."""
        self._notes += [note for message in messages if (note := _note_of(message))]
        if not self.answers:
            await self._tell_notes()

    async def _tell_notes(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            await self._note(note)
        await self._tools.tell_waiting()

    async def _note(self, text: str) -> None:
        """Tell the model something; what the session that stands does not take, the next one is told."""
        if not await gemini_session.note(self._service, text):
            self._notes.append(text)

    async def write_aside(self, text: str) -> str | None:
        return await gemini_session.write_beside(self._service, text)

    async def cancel(self) -> None:
        if self.answers and not self.spares and not gemini_session.user_speaks(self._service):
            await gemini_session.note(self._service, CUT_OFF)
        self._awaited.end()

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        if self._knows_heard:
            return
        self._knows_heard = True
        await asyncio.sleep(BEHIND_CUT_S)
        await self._note(f"{HEARD_NO_MORE}{heard()}")

    def answer_lost(self) -> None:
        self._awaited.end()
        gemini_session.answer_given_up(self._service)

    async def _is_over(self) -> None:
        """Have it told what the session that is over has written down: the next one would go on with it in mid-word."""
        if self._caller.speaks:
            gemini_session.forget_words(self._service)  # the next one hears that turn from its beginning
        self._writes = False
        try:
            if self.settle is not None:
                await self.settle()
        finally:
            self._writes = True

    async def caller_words(self) -> None:
        if not self._words_due:
            return
        self._words_due = False
        until, length = self._now() + (WORDS_S if self._writes else 0.0), 0
        while self._now() < until:
            await asyncio.sleep(WORDS_APART_S)
            now = gemini_session.words_so_far(self._service)
            if now and now == length:
                break
            length = now
        await gemini_session.tell_words(self._service)
        await asyncio.sleep(POLL_S)  # until they have gone up the pipeline

    def forget(self) -> None:
        self._is_stale = True

    def renew(self, context: LLMContext, voice: str | None) -> None:
        instructed = system_message(context) is not None
        gemini_session.set_up_with(self._service, voice or self._first_voice, instructed=instructed)
        self.forget()

    async def reopen(self, context: LLMContext) -> None:
        if self._is_stale or not gemini_session.can_resume(self._service):
            await self._begin_anew(context)
        else:
            await gemini_session.open_again(self._service)
        while self.session_key is None and self.connected:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(POLL_S)
        self.raise_failure()

    def _going_away(self) -> None:
        self._goes_away = self.session_key

    def _failed(self, error: Exception) -> None:
        self.failure = error

    # ------------------------------------------------------------------ what the service does

    async def _ask_for_result(self) -> None:
        self._awaited.begin()
        await gemini_session.ask(self._service, None)

    def _told_words(self, _service: Any, _frame: Any) -> None:
        self._words_due = gemini_session.words_so_far(self._service) > 0

    async def _turn_over(self, _service: Any, _frame: Any) -> None:
        if not (self.hears and self._caller.is_heard):
            return
        self._words_due = True
        await self._tell_notes()
        self._awaited.begin()

    def _begun(self, _service: Any, _frame: Any) -> None:
        self._knows_heard = False
        self._awaited.end()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _note_of(message: Any) -> str:
    """Return what the model is told of a message: what it is told anything by, is the caller to it."""
    text = standard_message_text(message) or ""
    by_bot = isinstance(message, dict) and message.get("role") == "assistant"
    return f"{SAID}{text}" if by_bot and text else text
