"""Ends the caller's turn by `TurnEndPolicy`: the asyncio side of it, as pipecat's turn-stop strategy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_stop import BaseUserTurnStopStrategy

from piopiy_pipeline.services.stt.withdrawn_interim import WithdrawnInterimFrame
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer, expected_answer
from piopiy_pipeline.turns.turn_end_policy import TurnEnd, TurnEndPolicy
from piopiy_pipeline.turns.turn_words import LastWord

__all__ = ["PolicyTurnEnd"]

MAX_PROPERTIES = 64
"""So many parameters of tools are compared with a question."""


class PolicyTurnEnd(BaseUserTurnStopStrategy):
    """Pipecat's stop strategy that waits as long as its policy says.

    Args:
        policy: Decides.
        context: The conversation, whose last message of the bot says what was asked. None: nothing is known.
        sounding: Whether the caller makes a sound that may be the beginning of speech.
        crowded: Whether voices go on behind the caller.
        judge: Asks at a silence how likely the turn is over by its sound. None: nobody is asked.
        **kwargs: Arguments of pipecat's base class.
    """

    def __init__(
        self,
        policy: TurnEndPolicy,
        *,
        context: LLMContext | None = None,
        sounding: Callable[[], bool] = lambda: False,
        crowded: Callable[[], bool] = lambda: False,
        judge: Callable[[], asyncio.Future[float]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.policy = policy
        self.last: TurnEnd | None = None
        """The last decision."""
        self._turn_context = context
        self._sounding = sounding
        self._crowded = crowded
        self._judge = judge
        self._asked: asyncio.Future[float] | None = None  # about the silence under way
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._read: tuple[str, str, ExpectedAnswer] | None = None
        self._author_expects: ExpectedAnswer | None = None

    def expect(self, answer: ExpectedAnswer | str) -> None:
        """Take what the author says that the bot asks for. It holds until the end of the caller's next turn.

        Args:
            answer: ``"yes_no"``, ``"number"``, ``"digits"``, ``"digits:6"``, ``"dictation"`` or ``"open"``.

        Raises:
            ValueError: There is no such kind of answer.
        """
        self._author_expects = ExpectedAnswer.of(answer)

    # ------------------------------------------------------------------ what pipecat calls

    async def handle_user_turn_started(self) -> None:
        self.policy.turn_begins()
        self._look_at_question()
        await self._look()

    async def handle_user_turn_stopped(self) -> None:
        self._author_expects = None
        self.policy.turn_ends(self._now())
        self._clear_timer()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Take a frame that reaches the user's side of the context."""
        now = self._now()
        match frame:
            case VADUserStartedSpeakingFrame():
                self._asked = None
                self.policy.speech(now, since_s=frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                self._look_at_question()
                self.policy.silence(now, since_s=frame.stop_secs, crowded=self._crowded())
                self._ask()
            case TranscriptionFrame():
                language = str(frame.language) if frame.language else None
                last = LastWord.of(frame.result)
                self.policy.final(now, frame.text, finalized=frame.finalized, language=language, last=last)
            case InterimTranscriptionFrame():
                self.policy.interim(now, frame.text)
            case WithdrawnInterimFrame():
                self.policy.interim(now, "")
            case STTMetadataFrame():
                self.policy.stt_s = frame.ttfs_p99_latency
                return ProcessFrameResult.CONTINUE
            case _:
                return ProcessFrameResult.CONTINUE
        await self._look()
        return ProcessFrameResult.CONTINUE

    async def cleanup(self) -> None:
        await super().cleanup()
        self._clear_timer()
        self._asked = None
        task, self._ending = self._ending, None
        if task is not None and not task.done():
            await self.task_manager.cancel_task(task)

    # ------------------------------------------------------------------ what was asked

    def _look_at_question(self) -> None:
        text = _last_of_bot(self._turn_context.get_messages()) if self._turn_context is not None else ""
        if self._author_expects is not None:
            self.policy.expected = self._author_expects
        elif self._read is None or self._read[:2] != (text, self.policy.language):
            language = self.policy.language
            found = expected_answer(text, language, _properties(self._turn_context))
            self._read = (text, language, found)
            self.policy.expected = found
        else:
            self.policy.expected = self._read[2]

    # ------------------------------------------------------------------ how it sounds

    def _ask(self) -> None:
        if self._judge is None:
            return
        try:
            self._asked = self._judge()
        except BlockingIOError as error:  # an opinion that comes too late is none
            logger.debug("nobody is asked whether the turn sounds finished: {}", error)
            return
        self._asked.add_done_callback(self._judged)

    def _judged(self, answer: asyncio.Future[float]) -> None:
        if answer.cancelled():
            return
        if (error := answer.exception()) is not None:
            logger.warning("smart-turn could not be asked: {}", error)
        elif answer is self._asked:
            self.policy.sounds_finished(answer.result())
            self._clear_timer()
            self._timer_fired()

    # ------------------------------------------------------------------ time

    async def _look(self) -> None:
        """End the turn, or look again when the policy says."""
        self._clear_timer()
        due = self.policy.due()
        if due is None:
            return
        if self._decided():
            await self.trigger_user_turn_stopped()
        else:
            self._set_timer()

    def _decided(self) -> bool:
        end = self.policy.decide(self._now(), sounding=self._sounding())
        if end is not None:
            self.last = end
            logger.debug("the turn is over after {:.2f} s of silence: {}", end.silence_s, end.reason)
        return end is not None

    def _set_timer(self) -> None:
        due = self.policy.due()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(max(due, self._now()), self._timer_fired)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_fired(self) -> None:
        self._timer = None
        if self._ending is not None and not self._ending.done():
            return
        if self._decided():
            self._ending = self.task_manager.create_task(
                self.trigger_user_turn_stopped(), f"{self}::turn_end"
            )
        else:
            self._set_timer()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _last_of_bot(messages: Sequence[Any]) -> str:
    """Return the text that the bot said last, as far as it was heard."""
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") == "assistant":
            content = message.get("content")
            if isinstance(content, str) and content.strip():
                return content
            if isinstance(content, list):
                texts = [part.get("text") for part in content if isinstance(part, Mapping)]
                if text := " ".join(one for one in texts if isinstance(one, str)).strip():
                    return text
    return ""


def _properties(context: LLMContext | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the parameters of the bot's tools, by name."""
    tools = getattr(context.tools, "standard_tools", ()) if context is not None else ()
    found = (
        (name, schema)
        for tool in tools
        for name, schema in (getattr(tool, "properties", None) or {}).items()
        if isinstance(schema, Mapping)
    )
    return [pair for pair, _ in zip(found, range(MAX_PROPERTIES), strict=False)]
