"""`ToolAnswers`: the answers of one model that use tools, and when they show that the model fails.

A model that writes tells all tool calls of an answer at once. A speech-to-speech model of OpenAI's mould tells each as
soon as it is complete, so there all that come before the end of the answer are counted as one. Nova and Ultravox use
the next tool when they have the result of the one before, without an end between them: each is an answer.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipecat.frames.frames import Frame, InterruptionFrame, LLMFullResponseEndFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import watch_pushes

__all__ = ["ToolAnswers"]

MAX_WORDLESS = 25
"""A model that gives as many answers one after the other that are tool calls without a word counts as failing."""
MAX_BROKEN = 3
"""After this many answers in a row of which no tool call can run, the model counts as failing."""


class ToolAnswers:
    """Those of one model.

    Args:
        service: The model's service, before it runs.
    """

    def __init__(self, service: LLMService[Any]) -> None:
        self.calls = 0
        """How many tool calls the answer under way has so far."""
        self.broken = 0
        """Of how many answers in a row no tool call can run."""
        self._broken_before = 0
        self._none_can_run = True
        self._wordless = 0
        self._tells_singly = hasattr(service, "send_client_event")  # OpenAI's mould
        self._over = True
        watch_pushes(service, self._ends, LLMFullResponseEndFrame, InterruptionFrame)

    def uses(self, ids: Sequence[str], context: LLMContext | None) -> None:
        """Count tool calls.

        Args:
            ids: The ids of the calls.
            context: The conversation that they answer.
        """
        if self._over or not self._tells_singly:
            self.calls = 0
            self._broken_before, self._none_can_run = self.broken, True
            silent = context is not None and _ends_with_tool_calls(context)
            self._wordless = self._wordless + 1 if silent else 0
        self._over = False
        self.calls += len(ids)

    def can_run(self, any_of_them: bool) -> None:
        """Take whether any of the calls that were counted last can run."""
        self._none_can_run = self._none_can_run and not any_of_them
        self.broken = self._broken_before + 1 if self._none_can_run else 0

    @property
    def fault(self) -> str | None:
        """Why no call of this answer is run; None: they are."""
        if self._wordless < MAX_WORDLESS:
            return None
        return f"{MAX_WORDLESS} tool calls in a row without a word to the caller"

    @property
    def are_useless(self) -> bool:
        """Whether the model counts as failing."""
        return self.broken >= MAX_BROKEN or self.fault is not None

    def _ends(self, _service: LLMService[Any], _frame: Frame) -> None:
        self._over = True


def _ends_with_tool_calls(context: LLMContext) -> bool:
    """Whether nobody has said anything since the last tool call."""
    messages: list[Any] = context.get_messages()
    for message in reversed(messages):
        if isinstance(message, Mapping) and message.get("role") != "tool":
            return bool(message.get("tool_calls"))
    return False
