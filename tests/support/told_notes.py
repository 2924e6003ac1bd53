"""What a model of a test makes of notes: what Ultravox and Nova Sonic are told beside the conversation, as text."""

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
        if note != text:
            message["role"], message["content"] = "developer", "{}" if note.startswith(ABOUT) else note
    messages: list[Any] = [first, *rest]
    return LLMContext(messages, tools=context.tools)
