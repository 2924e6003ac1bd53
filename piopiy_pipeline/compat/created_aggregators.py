"""``llm.create_context_aggregator(context)``, which pipecat's services had until 1.0, and Piopiy's SDK 0.6.1 has.

Raw pipelines that were written with that SDK begin so. It is the pair that pipecat makes today of any context. This is
the one method that is put onto a class of pipecat's; a pipecat that has it again keeps its own. It is there from the
import of Piopiy's transport on, without which no raw pipeline has a call. Tested in ``tests/piopiy/test_samples.py``.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregatorParams,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.llm_service import LLMService

__all__ = ["allow_created_aggregators"]


def _create_context_aggregator(
    self: LLMService[Any],
    context: LLMContext,
    *,
    user_params: LLMUserAggregatorParams | None = None,
    assistant_params: LLMAssistantAggregatorParams | None = None,
) -> LLMContextAggregatorPair:
    """Return the two stages that keep a context: `LLMContextAggregatorPair(context)`.

    Args:
        self: The service, which needs not to know of it any more.
        context: The context.
        user_params: Of the caller's stage.
        assistant_params: Of the bot's stage.
    """
    return LLMContextAggregatorPair(context, user_params=user_params, assistant_params=assistant_params)


def allow_created_aggregators() -> None:
    """Give pipecat's services that method, if they have none."""
    if not hasattr(LLMService, "create_context_aggregator"):
        LLMService.create_context_aggregator = _create_context_aggregator  # type: ignore[attr-defined]
