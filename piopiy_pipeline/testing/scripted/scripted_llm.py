"""An LLM that follows a script: a `LLMService` of pipecat's, with its real tool calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from random import Random
from typing import Any

from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings

from piopiy_pipeline.arguments import check_kind, shown
from piopiy_pipeline.compat.pipecat import constructor_options, push_llm_text, share_tools
from piopiy_pipeline.services.plain_adapter import PlainAdapter
from piopiy_pipeline.testing.scripted.faults import Fault, FaultPlan, Stalls, TimesOut
from piopiy_pipeline.testing.scripted.latency_profiles import Latency, as_profile
from piopiy_pipeline.testing.scripted.reply_script import Reply, ReplyScript, ScriptedResponse, ScriptOver
from piopiy_pipeline.testing.scripted.stand_in import StandIn

__all__ = ["Replies", "ScriptedLLM"]


class Replies:
    """What the LLM says and does, turn by turn. A value: it serves any number of calls.

        Replies(
            "For how many people?",
            (Tool("book_table", people=4, day="Friday"), "Booked. Anything else?"),
            lambda context: "Goodbye." if "bye" in context.get_messages()[-1]["content"] else "Pardon?",
        )

    Each question takes the next reply. A question that is asked again, because its answer failed, gets the same
    reply. A reply is text, a `Tool`, a function of pipecat's `LLMContext` that returns either of them or a fault, or
    a sequence of these: what follows a tool is said when the tool has returned.

    Args:
        *turns: The replies, in order.
        otherwise: The reply to every question after them. None: such a question ends the call with an error.
        latency: Seconds to the first word of each request.
        words_per_s: How fast the words come; None: all at once.
        faults: What goes wrong, by the number of the turn, from 1; a fault of turn 0 never comes.
        beside: What it writes when it is asked beside the conversation, for a summary or for the reading of a value
            that the caller gave: a text, or a function of the `LLMContext` that it is asked with.

    Raises:
        TypeError: Something is no reply, no latency or no fault, or `beside` is neither text nor a function.
        ValueError: `words_per_s` or a latency is out of range.
    """

    def __init__(
        self,
        *turns: Reply,
        otherwise: Reply | None = None,
        latency: Latency = 0.0,
        words_per_s: float | None = None,
        faults: Mapping[int, Fault] | None = None,
        beside: str | Callable[[LLMContext], str] | None = None,
    ) -> None:
        if beside is not None and not isinstance(beside, str) and not callable(beside):
            raise TypeError(f"Replies: beside must be text or a function of a context, not {shown(beside)}")
        as_profile(latency)
        FaultPlan({} if faults is None else faults)
        check_kind("Replies: words_per_s", words_per_s, (int, float, type(None)), "a number, or None")
        if words_per_s is not None and not words_per_s > 0:
            raise ValueError(f"Replies: words_per_s must be more than 0, not {shown(words_per_s)}")
        ReplyScript.check((*turns, *(() if otherwise is None else (otherwise,))))
        self.turns: Sequence[Reply] = turns
        self.otherwise = otherwise
        self.latency = latency
        self.words_per_s = words_per_s
        self.faults = dict(faults or {})
        self.beside = beside


class _Adapter(PlainAdapter):
    messages_for = "scripted"


class ScriptedLLM(StandIn, LLMService[Any]):
    """An LLM for tests.

    Args:
        script: What it says and does.
        random: Decides on the latencies.
        plan: The faults; by default those of the script.
        original: The service that this one stands for. Its tools and handlers count here, too.
        replies: Where in the script the call is, shared by all models of the call; None: at its beginning.
    """

    adapter_class = _Adapter

    def __init__(
        self,
        script: Replies,
        *,
        random: Random | None = None,
        plan: FaultPlan | None = None,
        original: LLMService[Any] | None = None,
        replies: ReplyScript | None = None,
    ) -> None:
        if original is None:
            super().__init__(settings=NO_SETTINGS.copy())
        else:
            super().__init__(**constructor_options(original))
            self.stand_for(original)
            share_tools(self, original)
        self._script = script
        self._replies = replies or ReplyScript(script.turns, script.otherwise)
        self._plan = plan or FaultPlan(script.faults)
        self._latency = as_profile(script.latency).sampler(random or Random(0))
        self._calls = 0

    def can_generate_metrics(self) -> bool:
        """Return True: the service reports the time to its first word."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; let everything else pass."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._respond(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Write what the script says is written beside the conversation.

        Raises:
            ScriptOver: The script does not say.
        """
        beside = self._script.beside
        if beside is None:
            raise ScriptOver(
                "the LLM was asked beside the conversation: say what it writes by Replies(beside=...)"
            )
        return beside if isinstance(beside, str) else beside(context)

    async def _respond(self, context: LLMContext) -> None:
        try:
            response = self._replies.respond(context)
        except ScriptOver as error:
            # Permanent, so that the call ends here and says why, instead of trying once more.
            await self.push_error(str(error), exception=error, force_treat_as_permanent=True)
            return
        self._plan.turn = response.turn
        fault = response.fault or self._plan.next()
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        try:
            await self._stream(response, fault, context)
        except TimeoutError as error:
            await self._call_event_handler("on_completion_timeout")
            await self.push_error("LLM completion timeout", exception=error)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def _stream(self, response: ScriptedResponse, fault: Fault | None, context: LLMContext) -> None:
        await self.start_ttfb_metrics()
        # A timeout is counted from the request; other faults come when the answer would have come.
        latency = self._latency(response.turn)
        delay = fault.delay_s if fault is not None else 0.0
        await _sleep(delay if isinstance(fault, TimesOut) else latency + delay)
        words = re.findall(r"\S+\s*", response.text)
        if fault is not None:
            words = words[: round(fault.share * len(words))]
        for i, word in enumerate(words):
            if i == 0:
                await self.stop_ttfb_metrics()
            elif self._script.words_per_s is not None:
                await _sleep(1 / self._script.words_per_s)
            await push_llm_text(self, word)
        if fault is not None:
            await self._fail(fault)
        if fault is None or fault.error is None:
            asked = _words_of(context)
            usage = LLMTokenUsage(
                prompt_tokens=asked, completion_tokens=len(words), total_tokens=asked + len(words)
            )
            await self.start_llm_usage_metrics(usage)
        if fault is None or not (fault.error or isinstance(fault, Stalls)):
            self._replies.completed(response)
            await self._use_tools(response, context)

    async def _fail(self, fault: Fault) -> None:
        if isinstance(fault, Stalls):
            await asyncio.Event().wait()  # until an interruption or the end cancels this
        error = fault.error
        if isinstance(error, TimeoutError):
            raise error
        if error is not None:
            await self.push_error(f"Error during completion: {error}", exception=error)

    async def _use_tools(self, response: ScriptedResponse, context: LLMContext) -> None:
        calls = []
        taken = {call["id"] for message in context.get_messages() for call in _calls_of(message)}
        for tool in response.tools:
            self._calls += 1
            while f"call_{self._calls}" in taken:  # by another model of the call, or before an agent was lost
                self._calls += 1
            calls.append(FunctionCallFromLLM(tool.name, f"call_{self._calls}", copy(tool.arguments), context))
        if calls:
            await self.run_function_calls(calls)


def _words_of(context: LLMContext) -> int:
    """Return how many words a model reads, which are its tokens here."""
    contents = [
        message.get("content") if isinstance(message, Mapping) else None for message in context.get_messages()
    ]
    return sum(len(content.split()) for content in contents if isinstance(content, str))


def _calls_of(message: Any) -> Sequence[Any]:
    return message.get("tool_calls") or () if isinstance(message, Mapping) else ()


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


NO_SETTINGS = LLMSettings(
    model="scripted",
    system_instruction=None,
    temperature=None,
    max_tokens=None,
    top_p=None,
    top_k=None,
    frequency_penalty=None,
    presence_penalty=None,
    seed=None,
    filter_incomplete_user_turns=None,
    user_turn_completion_config=None,
)
