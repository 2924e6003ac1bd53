"""What of a conversation another persona gets: all of it, a summary, or nothing. And the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.resumed_conversation import is_about, tool_calls_with_results

__all__ = ["SUMMARY_S", "HandOffContext", "changed_conversation", "summary_by"]

HandOffContext = Literal["keep", "summary", "fresh"]
"""What the other one knows of the conversation: all of it, a summary, or nothing."""

SUMMARY_S = 6.0
"""How long a summary may take, in seconds: the caller waits for it."""
MAX_SUMMARY = 4000
MAX_TRANSCRIPT = 40_000
_PROMPT = (
    "Below is the beginning of a telephone call. Sum it up for a colleague who takes the call over: who calls, what "
    "they want, what was settled, and what is open. Use five sentences at most, and nothing that is not below.\n\n"
)


async def summary_by(write: Callable[[LLMContext], Awaitable[str | None]], messages: Sequence[Any]) -> str:
    """Have a model sum up a conversation.

    Args:
        write: Has the model answer a conversation of one message, in text.
        messages: The conversation.

    Raises:
        Exception: What the provider raises.
        TimeoutError: It takes longer than `SUMMARY_S`.
        ValueError: It has written nothing.
    """
    said = "\n".join(
        f"{'caller' if message['role'] == 'user' else 'bot'}: {message['content']}"
        for message in messages
        if isinstance(message, dict)
        and message.get("role") in ("user", "assistant")
        and isinstance(message.get("content"), str)
    )
    asked = LLMContext([{"role": "user", "content": f"{_PROMPT}{said[-MAX_TRANSCRIPT:]}"}])
    async with asyncio.timeout(SUMMARY_S):
        summary = await write(asked)
    if not summary or not summary.strip():
        raise ValueError("the model has written no summary")
    return summary.strip()[:MAX_SUMMARY]


def changed_conversation(
    messages: Sequence[Any], instructions: str, how: HandOffContext, *, before: str, summary: str = ""
) -> list[Any]:
    """Return the conversation as somebody else goes on with it.

    Calls of tools that have not returned stay: their results are to come.

    Args:
        messages: The conversation so far.
        instructions: The system prompt of whoever has the call now.
        how: What of it they know.
        before: Who had the call before; empty for the one that it began with.
        summary: The summary, if there is one.
    """
    system = {"role": "system", "content": instructions}
    rest = [message for message in messages if isinstance(message, dict)]
    if rest and rest[0].get("role") == "system":
        rest = rest[1:]
    whom = before or "a colleague"
    if how == "keep":
        note = f"You have taken the call over from {whom}. What is above was said before; go on from there."
        done, open_calls = _parted(rest)
        return [system, *done, {"role": "developer", "content": note}, *open_calls]
    _, open_calls = _parted(rest)
    if how == "fresh":
        return [system, *open_calls]
    note = f"You have taken the call over from {whom}. What was said before: {summary}"
    return [system, {"role": "developer", "content": note}, *open_calls]


def _parted(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Part the calls of tools without a result from the rest."""
    called = {
        str(call.get("id"))
        for message in messages
        for call in message.get("tool_calls") or ()
        if isinstance(call, dict)
    }
    waiting = called - tool_calls_with_results(messages)
    open_calls = [message for message in messages if is_about(message, waiting)]
    return [message for message in messages if not is_about(message, waiting)], open_calls
