"""`NodeByNode`: pipecat's flow manager, asked before each node that it enters, also one that an author's code sets.

pipecat enters the node of a function's result in a method of its own, and has no event for that. Only the agent's side
may import this module: the gateway does without pipecat.

Tested in `tests/session/flow`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from pipecat.flows import FlowManager, NodeConfig
from pipecat.flows.actions import ActionManager
from pipecat.flows.config import BUILT_IN_ACTIONS

from piopiy_pipeline.compat import CompatError, check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["NodeByNode", "check"]

_ENTERS: ContextVar[str] = ContextVar("enters", default="")


class NodeByNode(FlowManager):
    """A flow manager that is told of each node before it enters it, also of one that an author's code sets."""

    prepare: Callable[[NodeConfig], NodeConfig]
    may_enter: Callable[[str, NodeConfig], Awaitable[bool]]

    def __init__(self, **options: Any) -> None:
        self._own_actions: set[str] = set()
        self._next: tuple[str, NodeConfig] | None = None  # what is entered as soon as it may be
        self.entering = 0
        """How many nodes are on their way: asked for, and neither entered nor given up."""
        super().__init__(**options)
        handlers = self._action_manager._action_handlers
        for kind in BUILT_IN_ACTIONS & handlers.keys():
            handlers[kind] = _with_manager(handlers[kind])

    def register_action(self, action_type: str, handler: Callable[..., Any]) -> None:
        self._own_actions.add(action_type)
        super().register_action(action_type, handler)

    def unknown_action(self, actions: Iterable[Mapping[str, Any]]) -> str | None:
        """Return the kind of an action that nothing can do, if there is one: the node would never be entered."""
        for action in actions:
            kind = str(action.get("type") or "")
            if action.get("handler") is None and kind not in BUILT_IN_ACTIONS | self._own_actions:
                return kind
        return None

    async def initialize(self, initial_node: NodeConfig | None = None) -> None:
        await super().initialize(None if initial_node is None else self.prepare(initial_node))

    async def set_node_from_config(self, node_config: NodeConfig) -> None:
        await super().set_node_from_config(self.prepare(node_config))

    async def _set_node(self, node_id: str, node_config: NodeConfig) -> None:
        self.entering += 1
        try:
            await self._enter_when_it_may(node_id, node_config)
        finally:
            self.entering -= 1

    async def _enter_when_it_may(self, node_id: str, node_config: NodeConfig) -> None:
        waits = self._next is not None
        self._next = (node_id, node_config)
        if waits:
            return  # it is entered in the place of the one that was asked for before
        try:
            may = False
            asked = None
            while asked is not self._next:
                asked = self._next
                may = await self.may_enter(*asked)
        finally:
            self._next = None
        if may:
            await self.enter(*asked)

    async def enter(self, node_id: str, node_config: NodeConfig) -> None:
        """Enter a node that was prepared already."""
        token = _ENTERS.set(node_id)
        try:
            await super()._set_node(node_id, node_config)
        finally:
            _ENTERS.reset(token)

    @property
    def enters(self) -> str:
        """The node that is being entered by who asks: another one may be on its way at the same time."""
        return _ENTERS.get()


def _with_manager(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return pipecat's own handler in the form that pipecat does not warn of."""
    if len(inspect.signature(handler).parameters) > 1:
        return handler

    async def act(action: Any, manager: FlowManager) -> None:
        await handler(action)

    return act


def check() -> None:
    """Check that pipecat's flows are inside as this module needs it.

    Raises:
        CompatError: Says what an upgrade has changed.
    """
    check_attributes("pipecat-ai", [(FlowManager, "_set_node")], written_for=PIPECAT, used_in=__name__)
    assigned = {
        "_action_manager": FlowManager.__init__.__code__.co_names,
        "_action_handlers": ActionManager.__init__.__code__.co_names,
    }
    for name, names in assigned.items():
        if name not in names:
            raise CompatError(
                "pipecat-ai", f"a flow's manager sets no {name}", written_for=PIPECAT, used_in=__name__
            )


check()
