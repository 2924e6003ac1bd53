"""Has answers begun ahead: at what is likely the end of the caller's turn, before it is decided that it is.

It stands before the strategies that decide when a turn ends, whichever they are, and sees what they see. When one
of them ends the turn, an answer to just these words is said; one to other words is dropped, and the model is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy, EagerUserTurnStopStrategy, NormalizedMatch

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.services.stt.withdrawn_interim import WithdrawnInterimFrame
from piopiy_pipeline.turns.caller_words import WordsSoFar
from piopiy_pipeline.turns.eager_budget import EagerBudget, EagerLimits
from piopiy_pipeline.turns.half_turns import HalfTurns
from piopiy_pipeline.turns.turn_end_policy import TurnEndPolicy

_UNFINISHED = (
    WordsSoFar.OPEN,
    WordsSoFar.DIGITS_MISSING,
    WordsSoFar.DICTATING,
    WordsSoFar.COMMA,
    WordsSoFar.OPENER,
)

WORDS_AFTER_S = 3.0
"""Words that come later than so long after a speech, and begin a turn, are not of it."""

__all__ = ["AnswersAhead", "BeginAhead", "EagerTurns", "eager_limits"]


class AnswersAhead(Protocol):
    """Begins an answer whose sound is kept back."""

    @property
    def alive(self) -> bool:
        """Whether an answer is kept back, and nothing has cut it off."""

    def may_begin(self) -> bool:
        """Return whether nothing else is being said or done that an answer would have to wait for."""

    async def begin(self, context: LLMContext) -> None:
        """Have the model answer this conversation, and keep the answer back."""

    async def confirm(self) -> None:
        """Say the answer: the caller's turn is over."""

    async def withdraw(self) -> None:
        """Drop the answer. Nobody has heard or seen any of it."""


def eager_limits(eager: bool | EagerLimits | None) -> EagerLimits | None:
    """Return the limits that an author asks for; None for no answers ahead.

    Raises:
        TypeError: It is neither of these.
    """
    if isinstance(eager, EagerLimits):
        return eager
    if eager is None or isinstance(eager, bool):
        return None if eager is False else EagerLimits()
    raise TypeError(f"eager must be True, False or EagerLimits, not {shown(eager)}")


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What an answer that was begun ahead answers."""

    text: str
    """What the caller has said."""
    messages: list[Any]
    """The conversation before it."""
    tools: Any

    @classmethod
    def of(cls, text: str, context: LLMContext) -> _Ahead:
        return cls(text, list(context.get_messages()), context.tools)

    def stands_before(self, context: LLMContext) -> bool:
        """Whether the conversation is still the one that was answered."""
        return self.messages == context.get_messages() and self.tools is context.tools


class EagerTurns(BaseUserTurnStopStrategy):
    """Pipecat's stop strategy that ends no turn, and has answers begun before another one does.

    Args:
        context: The conversation.
        limits: What may be wasted. None: no answer is begun ahead, and only the halves of a turn are joined.
        asked_for: Whether the author has asked for answers ahead, and not only left them on.
        policy: What decides when a turn ends, if something does that reads words. Where it waits longer than after
            words that tell nothing, no answer is begun.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(
        self,
        context: LLMContext,
        limits: EagerLimits | None = None,
        *,
        asked_for: bool = True,
        policy: TurnEndPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.budget = EagerBudget(limits)
        self.answers: AnswersAhead | None = None
        """Begins the answers. None: none are."""
        self.on_wasted: Callable[[str], None] | None = None
        """Told why an answer ahead was dropped, when it is counted."""
        self.heard_first: Callable[[], Awaitable[None]] | None = None
        """Waits until what the caller has heard before the turn is in the conversation. None: nothing is waited for."""
        self.asked_for = asked_for
        """Whether the author has asked for answers ahead, and not only left them on."""
        self._turn_context = context
        self._eager = limits is not None
        self._policy = policy
        self._match = NormalizedMatch()
        self._halves = HalfTurns()
        self._in_turn = False
        self._speaking = False
        self._speech_at: float | None = None  # since when speech is heard whose words are not known yet
        self._silent_at = 0.0
        self._began_silent = False
        self._fresh = False  # there are words of the speech before this silence
        self._finals: list[str] = []
        self._interim = ""
        self._interim_at = 0.0
        self._guess = ""  # what the interim transcripts made of the turn when the caller fell silent
        self._interims_right = 0
        self._ahead: _Ahead | None = None
        self._failed: str | None = None
        self._confirming = False

    def around(self, strategies: Sequence[BaseUserTurnStopStrategy]) -> list[BaseUserTurnStopStrategy]:
        """Return these strategies with this one around them.

        An answer is begun if they do not end the turn at once, and said or dropped when they do.
        """
        for one in strategies:
            if isinstance(one, EagerUserTurnStopStrategy):
                self._eager = False  # it begins answers itself
            ended, asked = one.trigger_user_turn_stopped, one.trigger_user_turn_inference_triggered
            one.trigger_user_turn_stopped = partial(self._over, one, ended)  # type: ignore[method-assign]
            one.trigger_user_turn_inference_triggered = partial(  # type: ignore[method-assign]
                self._asked_otherwise, asked
            )
        return [self, *strategies, BeginAhead(self)]

    def never(self, reason: str) -> None:
        """Begin no answer in this call. The halves of a turn are joined all the same."""
        self._eager = False
        logger.debug("no answer is begun ahead: {}", reason)

    # ------------------------------------------------------------------ what pipecat calls

    async def handle_user_turn_started(self) -> None:
        self._in_turn = True
        self._finals.clear()
        self._interim = self._guess = ""
        self._failed = None
        self.budget.turn_begins()
        now = self._now()
        recent = self._speaking or now - self._silent_at <= WORDS_AFTER_S
        self._halves.turn_began(now if self._speech_at is None or not recent else self._speech_at)
        self._began_silent = not self._speaking

    async def handle_user_turn_stopped(self) -> None:
        self._in_turn = False
        self._speech_at = None
        if not self._confirming:
            await self._withdraw("the turn has ended otherwise")

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        match frame:
            case VADUserStartedSpeakingFrame():
                self._speaking = True
                self._fresh = False
                self._guess = ""
                self._speech_begins(self._now() - frame.start_secs)
                await self._withdraw("the caller goes on")
            case VADUserStoppedSpeakingFrame():
                self._speaking = False
                self._silent_at = self._now()
                if self._interim and self._interim_at < self._now() - frame.stop_secs:
                    self._fresh = False  # the last words came later than it
                self._take_guess()
            case TranscriptionFrame() if not (self._in_turn or self._speaking):
                self._speech_at = None  # it was no turn, and what comes later is another speech
            case TranscriptionFrame() if self._in_turn and frame.text.strip():
                self._began_silent = False
                self._finals.append(frame.text.strip())
                self._interim = ""
                self._judge_guess()
                await self._words_changed()
            case InterimTranscriptionFrame() if self._in_turn:
                self._interim = frame.text.strip()
                self._interim_at = self._now()
                if self._interim:
                    self._take_guess()
                    await self._words_changed()
            case WithdrawnInterimFrame() if self._interim:
                self._interim = ""
                await self._words_changed()
            case BotStartedSpeakingFrame():
                self._halves.bot_began(self._now())
        return ProcessFrameResult.CONTINUE

    async def cleanup(self) -> None:
        await super().cleanup()
        self.answers = None

    def _speech_begins(self, now: float) -> None:
        """Note since when the caller speaks, and whether it is the speech that this turn has begun with.

        The strategy that begins the turn sees the VAD's frame first, so a turn may have begun without it.
        """
        if not self._in_turn:
            self._speech_at = now
        elif self._began_silent and not self._finals:
            self._halves.turn_began(now)
        self._began_silent = False

    # ------------------------------------------------------------------ beginning and dropping

    @property
    def _text(self) -> str:
        return " ".join((*self._finals, self._interim)).strip()

    async def _words_changed(self) -> None:
        self._fresh = True
        if self._ahead is not None and not self._same(self._ahead.text, self._text):
            await self._withdraw("there are other words")

    def _same(self, one: str, other: str) -> bool:
        """Whether an answer to one text answers the other: they differ in case and marks at most, and in no key."""
        return self._match.matches(one, other) and _keys_in(one) == _keys_in(other)

    def _take_guess(self) -> None:
        if self._interim and not self._speaking:
            self._guess = self._text

    def _judge_guess(self) -> None:
        """Learn from a final transcript whether an answer to the interim ones would have been right."""
        if self._guess:
            right = self._same(self._guess, self._text)
            self._interims_right = max(-2, min(2, self._interims_right + (1 if right else -1)))
            self._guess = ""

    async def begin_if_likely(self) -> None:
        """Have an answer begun if the caller has likely finished. `BeginAhead` calls it."""
        text = self._text
        if (
            self.answers is None
            or not self._eager
            or not self._in_turn
            or self._speaking
            or self._ahead is not None
            or not (text and self._fresh)
            or text == self._failed
            or (self._interim and self._interims_right < 0)
            or self._goes_on_likely()
            or not self.budget.may_begin(self._now())
            or not self.answers.may_begin()
        ):
            return
        self._ahead = _Ahead.of(text, self._turn_context)
        self.budget.begin(self._now())
        asked: list[Any] = [*self._ahead.messages, {"role": "user", "content": text}]
        logger.debug("an answer is begun ahead, to {!r}", text)
        await self.answers.begin(
            LLMContext(
                self._halves.joined(asked) or asked, self._turn_context.tools, self._turn_context.tool_choice
            )
        )

    def _goes_on_likely(self) -> bool:
        """Whether the words so far tell that more will come."""
        return self._policy is not None and self._policy.words_in(self._text) in _UNFINISHED

    async def _withdraw(self, reason: str) -> None:
        if self._ahead is None:
            return
        self._waste(reason)
        logger.debug("the answer that was begun ahead is dropped: {}", reason)
        if self.answers is not None:
            await self.answers.withdraw()

    def lost(self, reason: str) -> None:
        """Note that the answer ahead is none any more: it has failed, or was cut off. It is not tried again."""
        if self._ahead is not None:
            self._failed = self._ahead.text
            self._waste(reason)
            logger.debug("the answer that was begun ahead is lost: {}", reason)

    def _waste(self, reason: str) -> None:
        self._settle(used=False)
        if self.on_wasted is not None:
            self.on_wasted(reason)

    def _settle(self, *, used: bool) -> None:
        self._ahead = None
        self.budget.settle(used=used)

    # ------------------------------------------------------------------ the end of the turn

    async def _over(
        self, strategy: BaseUserTurnStopStrategy, ended: Callable[..., Any], **options: Any
    ) -> None:
        """End the turn as the strategy would, with the answer that was begun ahead if it answers these words."""
        if self.heard_first is not None:
            was_speaking = self._speaking
            await self.heard_first()
            if not self._in_turn or (self._speaking and not was_speaking):
                return  # the caller has gone on meanwhile: there will be another end
        ahead = self._ahead
        if ahead is None:
            await ended(**options)
            return
        if self.answers is None or not self.answers.alive:
            await self._withdraw("it was cut off")
            await ended(**options)
            return
        final = " ".join(self._finals)
        if not self._same(ahead.text, final):
            await self._withdraw("it answers other words")
            await ended(**options)
            return
        if not ahead.stands_before(self._turn_context):
            await self._withdraw("the conversation has changed")
            await ended(**options)
            return
        self._confirming = True
        try:
            await strategy.trigger_user_turn_finalized(confirms_speculation=True, **options)
        finally:
            self._confirming = False
        if self._in_turn:  # pipecat ends no turn while the caller speaks
            return
        if self._ahead is not ahead or self.answers is None:
            return
        self._settle(used=True)
        self.join_halves(self._turn_context)
        await self.answers.confirm()

    async def _asked_otherwise(self, asked: Callable[..., Any], **options: Any) -> None:
        await self._withdraw("the model is asked otherwise")
        await asked(**options)

    def join_halves(self, context: LLMContext) -> None:
        """Make one message of the two halves of a turn that was answered too early, when the second one is written."""
        joined = self._halves.written(context.get_messages(), self._now())
        if joined is not None:
            logger.debug("the caller has gone on: both halves are one turn")
            context.set_messages(joined)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _keys_in(text: str) -> list[str]:
    """Return the keys of a telephone in a text that would pass for marks."""
    return [one for one in text if one in "*#"]


class BeginAhead(BaseUserTurnStopStrategy):
    """Pipecat's stop strategy that ends no turn. It stands last, where it is known what the others make of the words.

    Args:
        turns: Begins the answers.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(self, turns: EagerTurns, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._eager_turns = turns

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Begin an answer, if this frame has made it likely that the caller has finished."""
        if isinstance(frame, (VADUserStoppedSpeakingFrame, TranscriptionFrame, InterimTranscriptionFrame)):
            await self._eager_turns.begin_if_likely()
        return ProcessFrameResult.CONTINUE
