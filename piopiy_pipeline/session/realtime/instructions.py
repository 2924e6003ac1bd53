"""Has the instructions of a speech-to-speech model go to its provider as the setting that they are.

They stand in the context as its first message, whoever reads it. pipecat's adapters take them out of there with a
warning, and Google's makes something of them that the caller says, in a conversation that has nothing else yet.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.session.model.system_message import system_message

__all__ = ["instruct_by_setting"]


def instruct_by_setting(service: LLMService[Any]) -> None:
    """Have a service that does not run yet give its provider the context's system message as its setting."""
    adapter = service.get_llm_adapter()
    params = adapter.get_llm_invocation_params

    async def with_setting(context: LLMContext, **options: Any) -> Any:
        first = system_message(context)
        if first is None:
            return await params(context, **options)
        rest = LLMContext(context.get_messages()[1:], tools=context.tools, tool_choice=context.tool_choice)
        options["system_instruction"] = options.get("system_instruction") or standard_message_text(first)
        found = await params(rest, **options)
        if rest.get_messages() or "messages" not in found:
            return found
        return {**found, "messages": []}  # Google's adapter says it once more, as words of the caller

    adapter.get_llm_invocation_params = with_setting
