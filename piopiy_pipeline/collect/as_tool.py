"""`as_tool`: a collection that the model may ask for."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.arguments import check_kind, check_seconds, shown
from piopiy_pipeline.collect import functions
from piopiy_pipeline.collect.collected import Collected, NotCollected, NoValueReason
from piopiy_pipeline.session import Call, current_call
from piopiy_pipeline.tools import tool

__all__ = ["as_tool"]

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MARGIN_S = 10.0
"""So much longer than the collection its tool may take, in seconds."""

_ADVICE = {
    NoValueReason.REFUSED: "Go on without it, or offer something else.",
    NoValueReason.ATTEMPTS: "It could not be understood. Offer another way.",
    NoValueReason.SILENCE: "The caller does not answer. Ask whether they are still there.",
    NoValueReason.TIMEOUT: "It took too long. Offer another way.",
}


def as_tool(
    collect: Callable[..., Awaitable[Collected[Any]]],
    *,
    when: str,
    name: str = "",
    timeout_s: float = 180.0,
    **options: Any,
) -> FunctionSchema:
    """Return a tool with which the model has a value collected.

    The model decides when, and your code how: what is asked, checked and read back is not the model's. If the agent is
    lost meanwhile, the tool runs again at the next instance and goes on in the same step.

    Args:
        collect: `collect_phone_number` or another of these functions, or one of your own with such a call and result.
        when: Tells the model when to use the tool.
        name: The tool's name. Empty: that of the function.
        timeout_s: All of it takes so many seconds at most.
        **options: The function's arguments but the call.

    Returns:
        The tool, for `VoiceAgent(tools=...)` or `LLMContext(tools=...)`.

    Raises:
        TypeError: The function has no such argument, or lacks one, or a value is of the wrong kind.
        ValueError: A value is out of range, `when` is empty, or the name is none of a tool.

    Example:
        ```python
        tools = [as_tool(collect_phone_number, when="you need a number to call back", region="DE")]
        ```
    """
    called = _checked(collect, when, name, timeout_s, options)

    @tool(timeout=timeout_s + MARGIN_S, idempotent=True)
    async def handler(params: FunctionCallParams) -> dict[str, Any]:
        call: Call | None = current_call.get()
        if call is None:
            raise RuntimeError("this tool is for calls: it runs within create_session")
        try:
            found = await collect(call, timeout_s=timeout_s, **({"name": called} | options))
        except NotCollected as error:
            return {"collected": False, "why": str(error.why), "note": _ADVICE.get(error.why, "")}
        if options.get("redact"):
            return {"collected": True, "note": "The value is kept by the system, and is not shown to you."}
        return {
            "collected": True,
            "value": _shown(found.value),
            "note": "It was confirmed: do not ask again.",
        }

    handler.collects_values = True  # type: ignore[attr-defined]  # a bot that cannot is refused before its call
    return FunctionSchema(
        name=called,
        description=f"Have the system ask the caller for it, and return what they say. Use it when {when}. Say nothing "
        "about it yourself.",
        properties={},
        required=[],
        handler=cast(Any, handler),  # what it returns is the result
    )


def _checked(
    collect: object, when: object, name: object, timeout_s: object, options: Mapping[str, Any]
) -> str:
    """Check all of it before there is a caller, and return the tool's name.

    Raises:
        TypeError: The function has no such argument, or lacks one, or a value is of the wrong kind.
        ValueError: A value is out of range, or empty.
    """
    if not callable(collect):
        raise TypeError(f"collect must be a function such as collect_phone_number, not {shown(collect)}")
    check_kind("as_tool: when", when, str, "a text that tells the model when to use the tool")
    if not str(when).strip():
        raise ValueError('as_tool: when is empty: write when to use the tool, such as "you need a number"')
    check_seconds("as_tool: timeout_s", timeout_s)
    check_kind("as_tool: name", name, str, "a text")
    called = str(name or getattr(collect, "__name__", "collect"))
    if not _TOOL_NAME.fullmatch(called):
        raise ValueError(f"as_tool: name={called!r}: a tool's name is up to 64 letters, digits, _ and -")
    given = {"timeout_s": timeout_s, "name": called} | dict(options)
    try:
        inspect.signature(collect).bind(None, **given)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"as_tool: {called}() cannot be called with a call and {', '.join(given)}: {error}"
        ) from None
    if collect in (getattr(functions, each) for each in functions.__all__):
        begun = collect(functions.ARGUMENTS_ONLY, **given)
        with contextlib.suppress(functions.ArgumentsChecked):
            begun.send(None)  # runs up to the end of its checks
    return called


def _shown(value: Any) -> Any:
    """Return a value as the model gets it."""
    if isinstance(value, (bool, str)):
        return value
    return str(value)
