"""Runs the idempotent tools again that were running when another instance was lost with the call.

They run as the model's own calls do, in the model's service, and with their old idempotency keys; the model answers
their results. `conversation_of` has left their calls out of the conversation, because they come into it here.
"""

from __future__ import annotations

from loguru import logger
from pipecat.frames.frames import FunctionCallFromLLM
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.tool_options import register_advertised
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.providers.stage_errors import services_of

__all__ = ["repeat_tools"]


def repeat_tools(state: CallState, pipeline: CallPipeline) -> None:
    """Have the tools run again, if there are any. Returns at once."""
    runs = state.checkpoints.journal.repeated
    assistant = pipeline.find(LLMAssistantAggregator)
    if not runs or not isinstance(assistant, LLMAssistantAggregator):
        return
    for service in services_of(pipeline):
        if isinstance(service, LLMService):
            register_advertised(service, assistant.context)
        if isinstance(service, LLMService) and all(service.has_function(run.name) for run in runs):
            calls = [
                FunctionCallFromLLM(
                    context=assistant.context,
                    tool_call_id=run.tool_call_id,
                    function_name=run.name,
                    arguments=run.arguments,
                )
                for run in runs
            ]
            for run in runs:
                logger.info("the tool {} is run again after a loss, with the key {}", run.name, run.key)
            # The class's own: a switch of models lets a model's instance run only what it has just answered.
            state.spawn(LLMService.run_function_calls(service, calls), "repeated tools")
            return
    logger.error("no model has the tools that ran when the agent was lost: {}", [run.name for run in runs])
