"""`ToolOutcome`: what became of a tool's run, and its result as the model can take it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from piopiy_pipeline.compat.interrupts import is_operators

__all__ = ["COMPLETED", "ToolOutcome", "outcome_of", "result_of", "speakable"]

COMPLETED = "COMPLETED"
"""What the model is told of a tool that has returned nothing."""


class ToolOutcome:
    """What a tool has returned or raised."""

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


async def outcome_of(begin: Callable[[], Awaitable[Any]]) -> ToolOutcome:
    """Begin a tool and await it. Whatever it raises ends its call and nothing else, `GeneratorExit` included.

    A `KeyboardInterrupt` of the operator's passes.
    """
    try:
        return ToolOutcome(await begin())
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return ToolOutcome(error=error)
    except BaseException as error:
        if is_operators(error):
            raise
        return ToolOutcome(error=error)


def result_of(run: asyncio.Task[ToolOutcome]) -> ToolOutcome:
    """Return the outcome of a run that is over. A tool may have cancelled its own task."""
    try:
        return run.result()
    except asyncio.CancelledError as error:
        return ToolOutcome(error=error)


def speakable(result: Any) -> Any:
    """Return a tool's result as pipecat and the model can take it: JSON, and never empty.

    Args:
        result: Anything. What is no JSON becomes text.
    """
    try:
        value = json.loads(json.dumps(result, default=str), parse_constant=str)  # NaN is no JSON
    except (TypeError, ValueError, RecursionError):
        value = repr(result)
    if value is None:
        return COMPLETED
    return value or {"result": value}
