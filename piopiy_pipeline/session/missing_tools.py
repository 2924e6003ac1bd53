"""Tells an author of tools that a playbook calls and the bot does not have, before the call is answered."""

from __future__ import annotations

from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.playbook.service import PlaybookLLMService
from piopiy_pipeline.session.providers.stage_errors import services_of

__all__ = ["tell_missing_tools"]


def tell_missing_tools(pipeline: CallPipeline, *, come_later: bool) -> None:
    """Log a warning that names them.

    Args:
        pipeline: The stages of the call.
        come_later: Whether a flow or personas give the model tools while the call goes on: then its first answer tells.
    """
    assistant = pipeline.find(LLMAssistantAggregator)
    if come_later or not isinstance(assistant, LLMAssistantAggregator):
        return
    for service in services_of(pipeline):
        if isinstance(service, PlaybookLLMService):
            service.check_tools(assistant.context)
