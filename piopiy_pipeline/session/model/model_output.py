"""`ModelOutput`: watches what a call's language models write, before the next stage gets it.

It takes out what is not for the caller (`ThoughtFilter`), sees to it that all text can be encoded, and notices
an answer that has failed without an error: one that ends without a word and without a tool call, whatever the
reason: an empty or blank text, a refusal, a content filter, nothing but thoughts. Such an answer would be
silence for the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    FunctionCallInProgressFrame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMarkerFrame,
    LLMTextFrame,
    LLMThoughtTextFrame,
    OutputAudioRawFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.compat.llm_stream import why_answer_ended
from piopiy_pipeline.compat.system_messages import accept_system_message
from piopiy_pipeline.services.failover.sentence_end_frame import SentenceEndFrame
from piopiy_pipeline.session.limits.answer_budget import AnswerBudget
from piopiy_pipeline.session.limits.stream_guards import StreamGuards
from piopiy_pipeline.session.model.thoughts import ThoughtFilter
from piopiy_pipeline.text import has_words, well_formed, well_formed_json
from piopiy_pipeline.transports.frames import CutAnswerEndFrame, EagerContextFrame, EagerWithdrawnFrame

__all__ = ["ModelOutput"]

_TOOL_FRAMES = (FunctionCallsStartedFrame, FunctionCallInProgressFrame)
_WRITTEN = (
    LLMTextFrame,
    LLMThoughtTextFrame,
    LLMFullResponseStartFrame,
    LLMFullResponseEndFrame,
    OutputAudioRawFrame,
    ErrorFrame,
    LLMMarkerFrame,
)
_HIGH_SURROGATES = ("\ud800", "\udbff")
MARKS = 200
"""So many characters before the first word of an answer are kept for it: a list's dash, a quotation mark."""


@dataclass(slots=True)
class _ModelAnswer:
    """The answer that one model is writing, or has written last."""

    budget: AnswerBudget
    thoughts: ThoughtFilter = field(default_factory=ThoughtFilter)
    half: str = ""  # the first half of a surrogate pair, whose second half is in the next piece
    marks: str = ""  # what is written so far has no word yet
    begun: bool = False  # a word is written
    counts: bool = False  # it is under way, and nothing has come of it yet that makes it an answer
    complete: bool = False
    cut: bool = False  # it was given up because thoughts were said, or it was too long
    used_tools: bool = False
    alone: bool = True  # no switch looks after its sentences
    chooses_silence: bool = False  # a playbook
    speaks: bool = False  # it has audio of its own


class ModelOutput:
    """Handlers for the frames that go into and come out of the LLM services of one call.

    Args:
        asked: Called when a model was asked, so that an answer has to come.
        cut: Called when an interruption has come to a model.
        written: Called when a model has written all of its answer.
        failed: Called with a service, what is wrong with its answer, and whether the answer still goes on.
        may_be_silent: Whether an answer without words is all right now, because the call is ending.
        guards: Says how long an answer may be, and cuts off one that is longer.
    """

    def __init__(
        self,
        asked: Callable[[], None],
        cut: Callable[[], None],
        written: Callable[[], None],
        failed: Callable[[FrameProcessor, str, bool], None],
        may_be_silent: Callable[[], bool],
        guards: StreamGuards,
    ) -> None:
        self._asked = asked
        self._cut = cut
        self._written = written
        self._failed = failed
        self._may_be_silent = may_be_silent
        self._guards = guards
        self._answers: dict[LLMService[Any], _ModelAnswer] = {}

    def watch(self, service: LLMService[Any], *, alone: bool = True) -> None:
        """Watch a service. Handlers that are added to it later see the text without its thoughts.

        Args:
            service: The service.
            alone: Whether it stands in no switch, which breaks up long sentences itself.
        """
        silent = bool(getattr(service, "may_answer_nothing", False))
        accept_system_message(service)
        self._answers[service] = _ModelAnswer(self._guards.budget(), alone=alone, chooses_silence=silent)
        watch_taken(service, self._on_input, LLMContextFrame, InterruptionFrame)
        watch_pushes(service, self._on_output, *_WRITTEN, *_TOOL_FRAMES)

    def _on_input(self, service: LLMService[Any], frame: Frame) -> None:
        if isinstance(frame, LLMContextFrame):
            _make_well_formed(frame.context)
            if not (frame.speculation or isinstance(frame, EagerContextFrame)):
                self._asked()
        elif isinstance(frame, InterruptionFrame) and not isinstance(frame, EagerWithdrawnFrame):
            self._cut()

    async def _on_output(self, service: LLMService[Any], frame: Frame) -> None:
        answer = self._answers[service]
        match frame:
            case LLMTextFrame():
                if not answer.complete:
                    self._text(service, answer, frame)
                    if answer.budget.breaks_sentence(frame.text) and answer.alone:
                        await service.push_frame(SentenceEndFrame())
            case LLMThoughtTextFrame():
                frame.text = answer.budget.written(frame.text)
                self._check_length(service, answer)
            case LLMFullResponseStartFrame():
                answer.thoughts.begin()
                answer.budget.begin()
                answer.half = answer.marks = ""
                answer.begun = answer.speaks = False
                answer.counts, answer.complete, answer.cut, answer.used_tools = True, False, False, False
            case LLMFullResponseEndFrame():
                answer.counts = answer.counts and not isinstance(frame, CutAnswerEndFrame)
                await self._end(service, answer)
            case OutputAudioRawFrame():
                answer.counts, answer.speaks = False, True
            case ErrorFrame() | LLMMarkerFrame():  # a marker says that the model chose to wait
                answer.counts = False
            case _ if isinstance(frame, _TOOL_FRAMES):
                answer.counts, answer.used_tools = False, True

    def _text(self, service: LLMService[Any], answer: _ModelAnswer, frame: LLMTextFrame) -> None:
        text = answer.half + answer.budget.written(frame.text)
        answer.half = ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, answer.half = text[:-1], text[-1]
        thought_out = answer.thoughts.feed(well_formed(text))
        frame.text = "" if answer.cut else self._from_first_word(answer, answer.budget.said(thought_out))
        if has_words(frame.text):
            answer.counts = False
        if answer.thoughts.stray_end and not answer.cut:
            answer.cut = True
            answer.counts = False
            frame.text = answer.marks = ""
            self._failed(service, "its thoughts were not marked as such, and were said", True)
        self._check_length(service, answer)

    def _check_length(self, service: LLMService[Any], answer: _ModelAnswer) -> None:
        if answer.budget.fault is not None:
            answer.cut, answer.counts = True, False
            self._guards.answer_overran(service, answer.budget.fault)

    @staticmethod
    def _from_first_word(answer: _ModelAnswer, text: str) -> str:
        """Return what may go on of the text: marks wait for the first word, and without one they leave nothing."""
        if answer.begun or answer.speaks or answer.chooses_silence:
            return text
        text = (answer.marks + text)[-MARKS:] if not has_words(text) else answer.marks + text
        answer.begun = has_words(text)
        answer.marks = "" if answer.begun else text
        return text if answer.begun else ""

    async def _end(self, service: LLMService[Any], answer: _ModelAnswer) -> None:
        if answer.complete:
            return
        rest = "" if answer.cut else answer.thoughts.finish() + well_formed(answer.half)
        rest = self._from_first_word(answer, rest)
        answer.complete = True
        self._guards.answer_ended(service)
        if not _is_cancelled() or answer.budget.fault is not None:
            self._written()
        if rest:
            answer.counts = answer.counts and not has_words(rest)
            await service.push_frame(LLMTextFrame(rest))
        promised = answer.thoughts.tool_call and not answer.used_tools  # what it has said is no answer yet
        if answer.chooses_silence or _is_cancelled() or self._may_be_silent():
            pass
        elif promised:
            self._failed(service, "it wrote a tool call as text, which its server should have parsed", False)
        elif answer.counts:
            why = why_answer_ended(service) or ("only thoughts" if answer.thoughts.thought else "")
            self._failed(service, f"it answered nothing{f' ({why})' if why else ''}", False)
        answer.counts = False


def _is_cancelled() -> bool:
    """Whether the answer ends because the task that writes it is cancelled: by an interruption, or by the end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _make_well_formed(context: LLMContext) -> None:
    """Make every text of a conversation one that can be encoded, so that a provider's client can send it."""
    messages = context.get_messages()
    formed = [well_formed_json(message) for message in messages]
    if formed != messages:
        context.set_messages(formed)
