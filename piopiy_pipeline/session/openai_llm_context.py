"""`OpenAILLMContext` of Piopiy's SDK: a context whose tools may be written as OpenAI's API has them.

`piopiy.processors.aggregators.openai_llm_context` leads here, which pipecat has given up. Its second half,
``llm.create_context_aggregator(context)``, is `compat.created_aggregators`. Tested in ``tests/piopiy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext

__all__ = ["OpenAILLMContext"]


class OpenAILLMContext(LLMContext):
    """A context of pipecat's, with the constructor and the methods of its predecessor.

    Args:
        messages: As for pipecat's `LLMContext`.
        tools: A `ToolsSchema`, or a list of functions and schemas, where a schema may be a table of OpenAI's API:
            ``{"type": "function", "function": {"name": ..., "description": ..., "parameters": {...}}}``.
        tool_choice: As for pipecat's `LLMContext`.

    Raises:
        TypeError: A tool is neither.
    """

    def __init__(
        self, messages: list[Any] | None = None, tools: Any = NOT_GIVEN, tool_choice: Any = NOT_GIVEN
    ) -> None:
        super().__init__(messages, _schemas(tools), tool_choice)

    @classmethod
    def from_messages(cls, messages: list[Any]) -> Self:
        """Return a context with these messages."""
        return cls(list(messages))

    def set_tools(self, tools: Any = NOT_GIVEN) -> None:
        """Set the tools, written as for the constructor."""
        super().set_tools(_schemas(tools))

    def get_messages_for_persistent_storage(self) -> list[Any]:
        """Return the messages."""
        return list(self.messages)


def _schemas(tools: Any) -> Any:
    return [_schema(tool) for tool in tools] if isinstance(tools, Sequence) else tools


def _schema(tool: Any) -> Any:
    if not isinstance(tool, dict):
        return tool
    function = tool.get("function", tool)
    try:
        parameters = function.get("parameters", {})
        return FunctionSchema(
            function["name"],
            function.get("description", ""),
            parameters.get("properties", {}),
            parameters.get("required", []),
        )
    except (AttributeError, KeyError) as error:
        raise TypeError(
            f"tools: {str(tool)[:200]} is no tool of OpenAI's form: its 'function' has no {error}"
        ) from None
