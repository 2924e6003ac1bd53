"""What a model writes beside the conversation, and what that costs: pipecat's `run_inference` returns the text alone.

The tokens stand in what the provider's client returns to pipecat. It is looked at there, in the task that asks. Clients
that are not known here, and services without one, ask as ever, and nobody knows what it has cost. Only the agent's
side may import this module: the gateway does without pipecat.

Tested in `tests/session/test_usage.py` and `tests/compat/test_side_requests.py`.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipecat
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat import CompatError, check_attributes, check_parameters
from piopiy_pipeline.compat.pipecat import PIPECAT
from piopiy_pipeline.compat.system_messages import accept_system_message

__all__ = ["ask_beside", "check"]

_METHODS = (
    ("chat.completions", "create"),  # OpenAI's protocol
    ("responses", "create"),
    ("beta.messages", "create"),  # Anthropic
    ("aio.models", "generate_content"),  # Google
)
"""Where in a service's client its requests are made."""
_SOURCES = ("openai/base_llm.py", "openai/responses/llm.py", "anthropic/llm.py", "google/llm.py")
"""Where pipecat makes these clients, below `services`: to import them all takes seconds, and their packages."""
_LISTENED = "_piopiy_listened"
_returned: contextvars.ContextVar[list[Any] | None] = contextvars.ContextVar("piopiy_returned", default=None)


async def ask_beside(
    service: LLMService[Any], context: LLMContext, **options: Any
) -> tuple[str | None, LLMTokenUsage | None]:
    """Have a model write something that is no part of the conversation.

    Args:
        service: The model.
        context: What it is asked.
        options: Of pipecat's `run_inference`.

    Returns:
        The text, and how many tokens it took; None where that is not known.

    Raises:
        Exception: What the provider's client raises.
    """
    _listen(service)
    accept_system_message(service)
    returned: list[Any] = []
    token = _returned.set(returned)
    try:
        text = await service.run_inference(context, **options)
    finally:
        _returned.reset(token)
    return text, _used(service, returned[-1]) if returned else None


def _listen(service: LLMService[Any]) -> None:
    client = getattr(service, "_client", None)
    for path, name in _METHODS:
        part = client
        for step in path.split("."):
            part = getattr(part, step, None)
        method = getattr(part, name, None)
        if method is not None and not getattr(method, _LISTENED, False):
            setattr(part, name, _listened(method))


def _listened(method: Callable[..., Any]) -> Callable[..., Any]:
    async def listened(*given: Any, **named: Any) -> Any:
        response = await method(*given, **named)
        if (returned := _returned.get()) is not None:
            returned.append(response)
        return response

    setattr(listened, _LISTENED, True)
    return listened


def _used(service: Any, response: Any) -> LLMTokenUsage | None:
    usage = getattr(response, "usage", None)
    if usage is not None and hasattr(service, "_token_usage"):
        used: LLMTokenUsage = service._token_usage(usage)
        return used
    if usage is not None and hasattr(usage, "input_tokens"):
        return _tokens(
            usage.input_tokens, usage.output_tokens, getattr(usage, "cache_read_input_tokens", None)
        )
    usage = getattr(response, "usage_metadata", None)
    if usage is None:
        return None
    return _tokens(usage.prompt_token_count, usage.candidates_token_count, usage.cached_content_token_count)


def _tokens(given: int | None, written: int | None, cached: int | None) -> LLMTokenUsage:
    given, written = given or 0, written or 0
    return LLMTokenUsage(
        prompt_tokens=given,
        completion_tokens=written,
        total_tokens=given + written,
        cache_read_input_tokens=cached,
    )


def check() -> None:
    """Check that pipecat asks beside the conversation as this module needs it.

    Raises:
        CompatError: An upgrade has changed that. The message says what.
    """
    check_attributes(
        "pipecat-ai",
        [(LLMService, "run_inference")],
        written_for=PIPECAT,
        used_in=__name__,
    )
    check_parameters(
        "pipecat-ai",
        LLMService.run_inference,
        ("context", "max_tokens", "system_instruction"),
        written_for=PIPECAT,
        used_in=__name__,
    )
    services = Path(pipecat.__file__).parent / "services"
    for source in _SOURCES:
        path = services / source
        if not path.is_file() or "self._client" not in path.read_text(encoding="utf-8"):
            raise CompatError(
                "pipecat-ai", f"services/{source} sets no _client", written_for=PIPECAT, used_in=__name__
            )


check()
