"""`quiet_actions`: pipecat's own actions of a flow, in the form that pipecat does not warn of as deprecated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["quiet_actions"]


def quiet_actions(manager: Any, kinds: Iterable[str]) -> None:
    """Have a flow manager's actions of these kinds take the manager. Without its insides, it warns as before."""
    handlers = getattr(getattr(manager, "_action_manager", None), "_action_handlers", None)
    if not isinstance(handlers, dict):
        return
    for kind in kinds:
        if kind in handlers:
            handlers[kind] = _with_manager(handlers[kind])


def _with_manager(handler: Callable[..., Any]) -> Callable[..., Any]:
    if len(inspect.signature(handler).parameters) > 1:
        return handler

    async def act(action: Any, manager: Any) -> None:
        await handler(action)

    return act
