"""`ToolOutcome`: what became of a tool's run, and its result as the model can take it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

__all__ = ["COMPLETED", "ToolOutcome", "cancelled_inside", "outcome_of", "speakable"]

COMPLETED = "COMPLETED"
"""What the model is told of a tool that has returned nothing."""


class ToolOutcome:
    """What a tool has returned or raised."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


async def outcome_of(work: Awaitable[Any]) -> ToolOutcome:
    """Await a tool. Whatever it raises ends its call and nothing else."""
    try:
        return ToolOutcome(await work)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return cancelled_inside()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except SystemExit as error:
        return ToolOutcome(error=RuntimeError(f"{error!r} ends the tool, and not the agent"))
    except BaseException as error:  # noqa: BLE001  whatever an author's tool raises is told to the model
        return ToolOutcome(error=_reportable(error))


def cancelled_inside() -> ToolOutcome:
    return ToolOutcome(error=RuntimeError("it was cancelled from inside"))


def _reportable(error: BaseException) -> Exception:
    """Return the error as pipecat can report it: an `Exception` that has a text."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  an author's own class, whose text is what fails
        text = f"{type(error).__name__}, which has no text"
    else:
        if isinstance(error, Exception):
            return error
    return RuntimeError(text).with_traceback(error.__traceback__)


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
