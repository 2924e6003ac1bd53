"""What a model of a test makes of notes: what providers are told beside the conversation, as text."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

__all__ = ["without_notes"]

ABOUT = (
    "A tool has returned",
    "The caller has interrupted",
    "Answer the caller now",
    "Async tool result",
    "Function ",
)
ABOUT_GOOGLES = ("(Your last answer", "The caller has interr")
"""Gemini Live is told these without brackets."""


def without_notes(context: LLMContext) -> LLMContext:
    """Return a conversation in which a note of the author's is a developer's, and those about the call are `{}`."""
    first, *rest = [dict(message) for message in context.get_messages() if isinstance(message, dict)]
    for message in rest:
        text = str(message.get("content"))
        note = (
            text.removeprefix("<instruction>")
            .removesuffix("</instruction>")
            .removeprefix("[")
            .removesuffix("]")
        )
        if note != text or text.startswith(ABOUT_GOOGLES):
            about = note.startswith((*ABOUT, *ABOUT_GOOGLES))
            message["role"], message["content"] = "developer", "{}" if about else note
    messages: list[Any] = [first, *rest]
    return LLMContext(messages, tools=context.tools)
