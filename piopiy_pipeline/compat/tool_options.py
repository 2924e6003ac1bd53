"""What an author has said of a tool by pipecat's decorator `tool_options`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "check",
    "kept_by_decorator",
    "put_functions",
    "register_advertised",
    "take_functions",
    "timeout_by_decorator",
    "tool_handlers",
]


def kept_by_decorator(handler: object) -> bool | None:
    """Whether pipecat's `tool_options` lets a tool outlive interruptions. None: it was not used."""
    cancels = getattr(handler, "_pipecat_cancel_on_interruption", None)
    return None if cancels is None else not cancels


def timeout_by_decorator(handler: object) -> float | None:
    """The timeout that pipecat's `tool_options` gives a tool, in seconds, or None."""
    timeout: float | None = getattr(handler, "_pipecat_timeout_secs", None)
    return timeout


def register_advertised(service: LLMService[Any], context: LLMContext) -> None:
    """Register the tools that a context advertises with their handlers, before the model is asked at all."""
    service._sync_registered_tool_handlers(context.tools)


def tool_handlers(service: LLMService[Any], context: LLMContext) -> dict[str, Any]:
    """Return the handlers of the tools of a service that does not run yet, by their names."""
    found = {str(name): item.handler for name, item in service._functions.items()}
    advertised = getattr(context.tools, "standard_tools", ())
    return found | {schema.name: schema.handler for schema in advertised if schema.handler is not None}


def take_functions(service: LLMService[Any], names: Collection[str]) -> dict[str, Any]:
    """Take the handlers of these tools out of a service, so that no answer runs them, and return them."""
    return {name: service._functions.pop(name) for name in names if name in service._functions}


def put_functions(service: LLMService[Any], functions: Mapping[str, Any]) -> None:
    """Put handlers back that `take_functions` has taken out."""
    service._functions.update(functions)


def check() -> None:
    """Check that the decorator keeps what it is told where this module looks.

    Raises:
        CompatError: It does not. The message names what is missing.
    """

    async def tool() -> None: ...

    marked: object = tool_options(cancel_on_interruption=False, timeout_secs=1)(tool)
    names = ("_pipecat_cancel_on_interruption", "_pipecat_timeout_secs")
    check_attributes("pipecat-ai", [(marked, name) for name in names], written_for=PIPECAT, used_in=__name__)
    used = [(LLMService, "_sync_registered_tool_handlers"), (LLMService, "_functions")]
    check_attributes("pipecat-ai", used, written_for=PIPECAT, used_in=__name__)


check()
