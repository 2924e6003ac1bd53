"""Answers that are begun before the caller's turn is over: `EagerTurns` says when, this keeps them back.

The model and the voice work as ever, on a copy of the conversation. What they make stops in the transport, which
is the only place where it could be heard; tools stop before they run; and the record of the call learns of the
answer when it is confirmed. An answer that is withdrawn has left no trace but its cost, which is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, FunctionCallFromLLM, InterruptionFrame, LLMContextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.live_events import MODEL_WRITES, LiveEvents
from piopiy_pipeline.session.model.asked_ahead import models_of
from piopiy_pipeline.session.model.first_sentence import FirstSentence, Push
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.transports.frames import EagerContextFrame, EagerWithdrawnFrame
from piopiy_pipeline.turns.eager_turns import EagerTurns

__all__ = ["EagerAnswers"]

MAX_UNSEEN = 2000
"""So many frames of an answer are shown to a client when the answer is confirmed."""
MAX_UNTOLD = 50
"""So many reports about an answer are made when the answer is confirmed."""
MAX_UNDER_WAY = 16
"""So many interruptions may be on their way to the transport when an answer is begun."""


class EagerAnswers:
    """Begins, says and drops the answers ahead of one call.

    Args:
        state: The call.
        turns: Says when.
        user: The user's side of the context, from which the model is asked.
        stage: What answers: a model, or a switch of models. Its tools are held, and what it writes.
        output: The transport, which keeps the sound back.
        live: Is told of answers that are confirmed.
        wrote: Called with what the stage writes, when it may be known.
        asked: Called when an answer is confirmed, as if the model had been asked now.
        written: Called when all of an answer is written that is no answer ahead, or not any more.
        is_free: Whether nothing keeps the bot from answering at once.
    """

    def __init__(
        self,
        state: CallState,
        turns: EagerTurns,
        *,
        user: LLMUserAggregator,
        stage: FrameProcessor,
        output: BotOutput,
        live: LiveEvents,
        wrote: Callable[[FrameProcessor, Frame], None],
        asked: Callable[[], None],
        written: Callable[[], None],
        is_free: Callable[[], bool],
    ) -> None:
        self._state = state
        self._turns = turns
        self._user = user
        self._output = output
        self._live = live
        self._wrote = wrote
        self._asked = asked
        self._is_written = written
        self._is_free = is_free
        self._decided: asyncio.Future[bool] | None = None
        self._question: EagerContextFrame | None = None
        self._interruptions: deque[int] = deque(maxlen=MAX_UNDER_WAY)
        self._confirming = False
        self._complete = False
        self._begun_at = 0.0
        self._unseen: deque[tuple[FrameProcessor, Frame]] = deque(maxlen=MAX_UNSEEN)
        self._untold: deque[Callable[[], None]] = deque(maxlen=MAX_UNTOLD)
        self._text = FirstSentence(stage, spawn=state.spawn, other_speech=self._speech_passes)
        for service in models_of(stage):
            self._hold_tools(service)
        self._hold_questions(stage)
        watch_pushes(stage, self._on_output, *MODEL_WRITES)
        watch_pushes(user, self._on_question, InterruptionFrame, LLMContextFrame)
        output.ahead.on_cut = self._cut_off
        turns.answers = self
        turns.on_wasted = self._wasted

    # ------------------------------------------------------------------ what `EagerTurns` calls

    def may_begin(self) -> bool:
        """Return whether nothing else is being said or done that an answer would have to wait for."""
        return self._is_none_kept and self._is_free()

    @property
    def alive(self) -> bool:
        """Whether an answer is kept back, and nothing has cut it off."""
        return self._decided is not None and self._output.ahead.holds

    async def begin(self, context: LLMContext) -> None:
        """Have the model answer this conversation, and keep the answer back."""
        self._decided = asyncio.get_running_loop().create_future()
        self._complete = False
        self._begun_at = self._state.now()
        self._unseen.clear()
        self._untold.clear()
        self._output.ahead.hold(earlier=frozenset(self._interruptions))
        self._text.begin()
        self._question = EagerContextFrame(context)
        await self._user.push_frame(self._question)

    async def confirm(self) -> None:
        """Say the answer: the caller's turn is over."""
        decided, self._decided = self._decided, None
        if decided is None:
            return
        self._confirming = True
        self._asked()
        self._live.on_context_output(self._user, LLMContextFrame(self._user.context))
        self._live.turn_answered(begun=self._turns.budget.take_begun(), saved_s=self._saved_s())
        self._output.ahead.release(partial(self._confirmed, decided))

    def _confirmed(self, decided: asyncio.Future[bool]) -> None:
        """Go on as after any question: everybody knows that the caller's turn is over."""
        self._confirming = False
        while self._unseen:
            self._wrote(*self._unseen.popleft())
        while self._untold:
            self._untold.popleft()()
        if self._complete:
            self._is_written()
        self._text.release()
        decided.set_result(True)

    async def withdraw(self, push: Push | None = None) -> None:
        """Drop the answer. Nobody has heard or seen any of it.

        Args:
            push: Pushes the frame that has the stages drop it; None: from the user's side of the context.
        """
        decided, self._decided = self._decided, None
        if decided is None:
            return
        decided.set_result(False)
        if self._question is not None:
            self._question.withdrawn = True
        self._unseen.clear()
        self._untold.clear()
        self._text.drop()
        await self._output.ahead.withdraw()
        await (push or self._user.push_frame)(EagerWithdrawnFrame(), FrameDirection.DOWNSTREAM)

    @property
    def _is_none_kept(self) -> bool:
        return self._decided is None and not self._confirming

    def _saved_s(self) -> float:
        """How much of the model's and the voice's time has passed during the caller's silence, in seconds."""
        audio_at = self._output.ahead.audio_at
        return (self._state.now() if audio_at is None else audio_at) - self._begun_at

    def _wasted(self, reason: str) -> None:
        if self._output.can_hold:  # older gateways do not know the event
            self._live.answer_dropped(reason, wasted=self._turns.budget.wasted)

    # ------------------------------------------------------------------ what the session calls

    def when_said(self, tell: Callable[[], None]) -> None:
        """Call this at once if no answer is kept back; else when that is confirmed, and never if it is dropped."""
        if self._is_none_kept:
            tell()
        else:
            self._untold.append(tell)

    async def make_way(self) -> None:
        """Drop the answer that is kept back, if there is one, because something else is said.

        Returns when the voice has dropped it, so that it does not drop what is said with it.
        """
        if self._decided is not None:
            await self._lose("something else is to be said")
            await self._output.ahead.withdrawal_passed()

    async def _speech_passes(self, push: Push) -> None:
        await self._lose("something else is to be said", push)

    async def failed(self, what: str) -> bool:
        """Drop the answer that is kept back, because a provider has failed.

        Returns:
            Whether there was one. The model is asked again when the turn is over, and that counts.
        """
        if self._decided is None:
            return False
        logger.info("an answer that was begun ahead has failed: {}", what)
        await self._lose("it has failed")
        return True

    def answer_failed(self, what: str) -> bool:
        """Do as `failed` does, and return at once."""
        if self._decided is None:
            return False
        self._state.spawn(self.failed(what), "eager_failed")
        return True

    def written(self) -> None:
        """Note that a model has written all of its answer."""
        if self._is_none_kept:
            self._is_written()
        else:
            self._complete = True

    def _cut_off(self) -> None:
        """Drop the answer that is kept back, because an interruption has come to the transport behind its question."""
        if self._decided is not None:
            self._state.spawn(self._lose("it was cut off"), "eager_cut")

    async def _lose(self, reason: str, push: Push | None = None) -> None:
        if self._decided is not None:
            self._turns.lost(reason)
            await self.withdraw(push)

    # ------------------------------------------------------------------ what is held

    async def _on_question(self, stage: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            self._interruptions.append(frame.id)
        elif isinstance(frame, LLMContextFrame) and not isinstance(frame, EagerContextFrame):
            self._turns.join_halves(frame.context)
            self._live.turn_answered(begun=self._turns.budget.take_begun())
            await self._lose("the model is asked something else")

    def _on_output(self, stage: FrameProcessor, frame: Frame) -> None:
        if self._is_none_kept:
            self._wrote(stage, frame)
        else:
            self._unseen.append((stage, frame))

    def _hold_questions(self, stage: FrameProcessor) -> None:
        """Let the model take no question that was withdrawn meanwhile: a withdrawal overtakes its question."""
        take = stage.process_frame

        async def take_if_wanted(frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, EagerContextFrame):
                if frame.withdrawn:
                    return
                self._text.begin()  # once more: an interruption that left earlier has ended it
            await take(frame, direction)

        stage.process_frame = take_if_wanted  # type: ignore[method-assign]

    def _hold_tools(self, service: LLMService[Any]) -> None:
        """Let a model use tools only when the caller's turn is over."""
        run = service.run_function_calls

        async def run_when_decided(function_calls: Sequence[FunctionCallFromLLM]) -> None:
            if self._decided is not None and function_calls:
                if not await asyncio.shield(self._decided):
                    return
                for call in function_calls:
                    call.context = self._user.context  # and not the copy that was asked
            await run(function_calls)

        service.run_function_calls = run_when_decided  # type: ignore[method-assign]
