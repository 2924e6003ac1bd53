"""`PlainAdapter`: what pipecat's `LLMService` requires, for a service that takes the conversation as it is.

pipecat's default adapter would import the OpenAI SDK, which takes 0.3 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext

__all__ = ["PlainAdapter"]


class PlainAdapter(BaseLLMAdapter[dict[str, Any]]):
    """The conversation as it is, and its tools as plain dicts."""

    messages_for: ClassVar[str]
    """By which name the conversation may have messages that are for this service alone."""

    @property
    def id_for_llm_specific_messages(self) -> str:
        return self.messages_for

    async def get_llm_invocation_params(self, context: LLMContext, **kwargs: Any) -> dict[str, Any]:
        return {"messages": context.get_messages()}

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[Any]:
        return [schema.to_default_dict() for schema in tools_schema.standard_tools]

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        return [dict(message) for message in context.get_messages() if isinstance(message, Mapping)]
