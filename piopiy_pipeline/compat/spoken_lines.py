"""A conversation as text of two sides: all that Ultravox and Nova Sonic can be told of one.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipecat.processors.aggregators import async_tool_messages
from pipecat.processors.aggregators.llm_context import standard_message_text

__all__ = ["SpokenLine", "lines_of", "returned_call"]


class SpokenLine(NamedTuple):
    """Something of a conversation.

    Attributes:
        text: The words.
        by_bot: Whether the bot has said it.
        is_note: Whether nobody has said it: what code has put in, or what a tool has returned.
    """

    text: str
    by_bot: bool
    is_note: bool


def returned_call(message: Any) -> str | None:
    """Return which use of a tool a message has the result of. None: it has none, or says that the tool runs."""
    if not isinstance(message, dict):
        return None
    envelope = _envelope_of(message)
    if envelope is not None:
        return str(envelope.tool_call_id) if envelope.kind == "final" else None
    is_result = message.get("role") == "tool" and message.get("content") not in ("IN_PROGRESS", "CANCELLED")
    return str(message.get("tool_call_id")) if is_result else None


def _envelope_of(message: Any) -> Any:
    return async_tool_messages.parse_message(message)


def lines_of(messages: Sequence[Any]) -> list[SpokenLine]:
    """Return a conversation without its instructions."""
    found = []
    for n, message in enumerate(messages):
        text, role = (
            standard_message_text(message),
            message.get("role") if isinstance(message, dict) else None,
        )
        envelope = _envelope_of(message) if isinstance(message, dict) else None
        if not text or (n == 0 and role == "system"):
            continue
        if role == "tool" or envelope is not None:
            if returned_call(message) is not None:
                result = text if envelope is None else envelope.result or "COMPLETED"
                found.append(SpokenLine(f"A tool has returned: {result}", by_bot=False, is_note=True))
        else:
            is_note = role in ("system", "developer")
            found.append(SpokenLine(text, by_bot=role == "assistant", is_note=is_note))
    return found
