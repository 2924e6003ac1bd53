"""Has a model take its instructions from the context, without pipecat's warning to the bot's author about it.

Instructions stand here as the first message of the conversation: they are handed over with it, and come back with it
when another instance takes the call over. pipecat warns of that, once for each adapter, in the middle of the first
answer, and the author cannot change it. Only the agent's side may import this module: the gateway does without pipecat.

Tested in ``tests/session/model/test_system_message_warnings.py``.
"""

from __future__ import annotations

from typing import Any

from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["accept_system_message"]


def accept_system_message(service: LLMService[Any]) -> None:
    """Have a service take a system message in the context without a warning."""
    service.get_llm_adapter()._warned_context_system_message = True


check_attributes(
    "pipecat-ai",
    [(BaseLLMAdapter, "_warned_context_system_message"), (LLMService, "get_llm_adapter")],
    written_for=PIPECAT,
    used_in=__name__,
)
