"""The first message of a conversation, if it is the system's: what a bot is told to be."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

__all__ = ["set_system_message", "system_message"]


def system_message(context: LLMContext) -> Any | None:
    """Return the system message that the conversation begins with, or None."""
    messages: list[Any] = context.get_messages()
    first = messages[0] if messages else None
    return first if isinstance(first, dict) and first.get("role") == "system" else None


def set_system_message(context: LLMContext, text: str) -> None:
    """Put a system message in the place of the one that the conversation begins with, or before everything."""
    messages: list[Any] = list(context.get_messages())
    rest = messages[1:] if system_message(context) is not None else messages
    context.set_messages([{"role": "system", "content": text}, *rest])
