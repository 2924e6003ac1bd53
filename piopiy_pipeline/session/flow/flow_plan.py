"""`FlowPlan`: the flow that an author gave a call, read and checked before the call is answered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.compat.tool_permits import is_idempotent
from piopiy_pipeline.session.flow.flow_file import FlowFileError, join_flow, read_flow
from piopiy_pipeline.session.flow.flow_graph import FlowGraph

if TYPE_CHECKING:
    from pipecat.flows import Flow, FlowConfig, NodeConfig

__all__ = ["FlowPlan", "FlowSource", "author_of"]

FlowSource: TypeAlias = "str | Path | FlowConfig | Flow | NodeConfig | Sequence[NodeConfig]"
"""A flow: its file, pipecat's `FlowConfig` or `Flow`, its first node, or its nodes with the first one first."""
_OWN = (__name__.partition(".")[0], "piopiy")
"""The packages whose code is not the author's."""


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """A flow that can run.

    Attributes:
        name: What it is called on records and in reports.
        initial: Its first node.
        nodes: All nodes by name, as far as they are known before the call.
        functions: What the model may use in each node.
        graph: Its nodes and edges; None of a flow whose nodes are made by functions.
        repeatable: The functions of a file that may be run again after a loss: idempotent tools, and what runs no code.
    """

    name: str
    initial: NodeConfig
    nodes: Mapping[str, NodeConfig] = field(default_factory=dict)
    functions: Sequence[Any] = ()
    graph: FlowGraph | None = None
    repeatable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, flow: FlowSource, handlers: Any = None, folder: Path | None = None) -> FlowPlan:
        """Read a flow.

        Args:
            flow: The flow.
            handlers: Where the functions are that a file or a `FlowConfig` names.
            folder: Where a file is looked for that is not in the current folder.

        Raises:
            FlowFileError: The flow has a mistake.
            TypeError: It is no flow.
        """
        from pipecat.flows import Flow, FlowConfig

        if isinstance(flow, str | Path):
            if not str(flow).strip():
                raise FlowFileError("flow is empty: name the flow's file")
            path = Path(flow)
            if folder is not None and not path.exists() and (folder / path).exists():
                path = folder / path
            return cls._of_flow(join_flow(read_flow(path), handlers or {}, path), path.stem, handlers)
        if isinstance(flow, FlowConfig):
            return cls._of_flow(join_flow(flow, handlers or {}), "flow", handlers)
        if isinstance(flow, Flow):
            return cls._of_flow(flow, "flow")
        if isinstance(flow, list | tuple | dict) and not flow:
            raise FlowFileError("flow is empty: give one NodeConfig at least")
        nodes = [flow] if isinstance(flow, Mapping) else flow
        if not isinstance(nodes, Sequence) or not all(isinstance(node, Mapping) for node in nodes):
            raise TypeError(
                f"flow is a file, a FlowConfig, a Flow, a NodeConfig or a list of NodeConfigs, not {shown(flow)}"
            )
        for node in nodes:
            if "task_messages" not in node:
                raise FlowFileError(f"the node {node.get('name', '')!r} has no task_messages")
        named = {str(node["name"]): node for node in nodes if node.get("name")}
        if len(named) < len(nodes):
            raise FlowFileError(
                "each node of a flow needs a name of its own: by it, another agent finds the node after a loss"
            )
        return cls("flow", nodes[0], named)

    @classmethod
    def _of_flow(cls, flow: Flow, name: str, handlers: Any = None) -> FlowPlan:
        config = flow.config
        return cls(
            name,
            flow.initial_node,
            {node: flow.node(node) for node in config.nodes},
            flow.global_functions,
            FlowGraph.of_config(config, name),
            frozenset(
                function.name
                for functions in (
                    config.global_functions,
                    *(node.functions for node in config.nodes.values()),
                )
                for function in functions
                if function.transition_only or _is_repeatable(function.name, handlers)
            ),
        )


def _is_repeatable(name: str, handlers: Any) -> bool:
    """Return whether the author has marked a function that a file names as idempotent."""
    spaces = handlers if isinstance(handlers, list | tuple) else [handlers]
    found = [each.get(name) if isinstance(each, Mapping) else getattr(each, name, None) for each in spaces]
    return any(is_idempotent(function) for function in found if callable(function))


def author_of() -> tuple[dict[str, Callable[..., Any]], Path | None]:
    """Return what an author's code sees where it calls this package, and the folder of its file.

    Returns:
        The functions by name: those of its module, and its local ones before them.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _OWN:
        frame = frame.f_back
    seen = {**frame.f_globals, **frame.f_locals}
    file = frame.f_globals.get("__file__")
    names = {name: value for name, value in seen.items() if callable(value)}
    return names, Path(file).parent if isinstance(file, str) else None
