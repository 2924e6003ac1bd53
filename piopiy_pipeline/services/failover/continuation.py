"""How a model goes on with an answer that another one has begun."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

__all__ = ["continued"]

GO_ON = (
    "Your answer was cut off by a technical fault. The caller has heard it as far as it is written here. Go on "
    "exactly where it stops, in the same language, without repeating anything and without mentioning this."
)


def continued(context: LLMContext, said: str) -> LLMContext:
    """Return a copy of a conversation in which a model is to go on with an answer.

    Args:
        context: The conversation.
        said: The answer so far, as the caller was told.
    """
    messages: list[Any] = [
        *context.get_messages(),
        {"role": "assistant", "content": said},
        {"role": "developer", "content": GO_ON},
    ]
    return LLMContext(messages, context.tools, context.tool_choice)
