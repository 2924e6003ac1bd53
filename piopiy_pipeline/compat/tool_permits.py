"""What a tool's run needs before it begins: a permit of the call, with the idempotency key that the tool can read.

`guard_tools` asks for it. Who gives it is the session, which keeps the journal of what has run; this package lies
below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar

from pipecat.services.llm_service import FunctionCallParams

__all__ = ["ToolParams", "ToolPermit", "ToolRecord", "current_tool_run", "is_idempotent", "mark_idempotent"]

current_tool_run: ContextVar[str] = ContextVar("piopiy_tool_run", default="")
"""The idempotency key of the tool's run in which this code runs; empty outside of tools."""

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK = "_piopiy_idempotent"


@dataclass
class ToolParams(FunctionCallParams):
    """What a tool gets as its first argument: pipecat's `FunctionCallParams`, and `idempotency_key`.

    Attributes:
        idempotency_key: Names this run. If the agent is lost while an idempotent tool runs, the tool runs again
            elsewhere with the same key, so that a server which has seen the key does its work once.
    """

    idempotency_key: str = ""

    @classmethod
    def of(cls, params: FunctionCallParams, key: str) -> ToolParams:
        """Return the parameters of a run with its key."""
        return cls(**{one.name: getattr(params, one.name) for one in fields(params)}, idempotency_key=key)


@dataclass(frozen=True, slots=True)
class ToolPermit:
    """Whether a run may begin: with `key`; or not, and the model gets `instead` as the result."""

    key: str = ""
    instead: Any = None


class ToolRecord(Protocol):
    """Is asked before a tool runs, and told its result."""

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, idempotent: bool
    ) -> ToolPermit:
        """Return whether the run may begin."""

    def end(self, tool_call_id: str, result: Any) -> None:
        """Take the final result of a run, JSON. A run that was not permitted has none."""


def mark_idempotent(function: _F) -> _F:
    """Note at a tool's function that it may be run again with the same key."""
    setattr(function, _MARK, True)
    return function


def is_idempotent(function: Callable[..., Any]) -> bool:
    """Return whether the function was marked so."""
    return bool(getattr(function, _MARK, False))
