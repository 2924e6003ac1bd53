"""`FlowGraph`: the nodes and edges of a flow, as its file has them. Values, without pipecat and without I/O.

The report of tests compares it with the steps of calls, and `draw_graph` makes a picture of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["EVERYWHERE", "FlowEdge", "FlowGraph"]

EVERYWHERE = "*"
"""The node of an edge that can be walked from any node: of a global function."""


@dataclass(frozen=True, slots=True, order=True)
class FlowEdge:
    """A way from one node to another.

    Attributes:
        before: The node that it leaves; ``"*"`` for any.
        function: The function that the model calls to walk it.
        node: The node that it leads to.
        case: Where the function's result decides: the value for which it leads there, and which field has it.
    """

    before: str
    function: str
    node: str
    case: str = ""

    def __str__(self) -> str:
        case = f" [{self.case}]" if self.case else ""
        return f"{self.before} --{self.function}{case}--> {self.node}"


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """A flow as a graph.

    Attributes:
        name: What the flow is called: the name of its file, without the ending.
        initial: The node that a call begins with.
        nodes: The names of all nodes, in the order of the file.
        edges: All edges. Two cases of one function that lead to the same node are one edge.
        ends: The nodes that end the call.
    """

    name: str
    initial: str
    nodes: tuple[str, ...]
    edges: tuple[FlowEdge, ...]
    ends: tuple[str, ...] = ()

    @classmethod
    def of_config(cls, config: Any, name: str) -> FlowGraph:
        """Return the graph of a `FlowConfig` of pipecat's."""
        found: list[FlowEdge] = []
        for function in config.global_functions:
            found += _edges(EVERYWHERE, function)
        for node_name, node in config.nodes.items():
            for function in node.functions:
                found += _edges(node_name, function)
        ends = tuple(
            node_name
            for node_name, node in config.nodes.items()
            if any(action.type == "end_conversation" for action in (*node.pre_actions, *node.post_actions))
        )
        return cls(name, config.initial_node, tuple(config.nodes), tuple(_joined(found)), ends)

    def edge_of(self, before: str, function: str, node: str) -> FlowEdge | None:
        """Return the edge that this step has walked, or None if the flow has no such edge."""
        for edge in self.edges:
            if edge.before in (before, EVERYWHERE) and (edge.function, edge.node) == (function, node):
                return edge
        return None

    def notes(self) -> list[str]:
        """Return what is probably not meant, in sentences: nodes that no way leads to, and calls that cannot end.

        The bot's code may enter nodes and hang up by itself, so these are no mistakes.
        """
        found = []
        reached = self._closure({self.initial, EVERYWHERE}, lambda edge: (edge.before, edge.node))
        if lost := [node for node in self.nodes if node not in reached]:
            found.append(f"no way in the file leads to {', '.join(lost)}")
        if not self.ends:
            found.append(
                "no node ends the call (end_conversation): only the caller or the bot's code hangs up"
            )
            return found
        ending = self._closure(set(self.ends), lambda edge: (edge.node, edge.before))
        if EVERYWHERE not in ending and (stuck := [node for node in self.nodes if node not in ending]):
            found.append(f"no way in the file leads from {', '.join(stuck)} to a node that ends the call")
        return found

    def _closure(self, nodes: set[str], step: Callable[[FlowEdge], tuple[str, str]]) -> set[str]:
        """Return all nodes that steps lead to, one after the other."""
        reached = nodes
        while more := {to for start, to in map(step, self.edges) if start in reached} - reached:
            reached |= more
        return reached

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        edges = [[edge.before, edge.function, edge.node, edge.case] for edge in self.edges]
        return {
            "name": self.name,
            "initial": self.initial,
            "nodes": list(self.nodes),
            "edges": edges,
            "ends": list(self.ends),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FlowGraph:
        """Return what `to_json` was made of."""
        edges = tuple(FlowEdge(*edge) for edge in data["edges"])
        return cls(data["name"], data["initial"], tuple(data["nodes"]), edges, tuple(data["ends"]))


def _edges(before: str, function: Any) -> list[FlowEdge]:
    target = function.transition_to
    if target is None:
        return []
    if isinstance(target, str):
        return [FlowEdge(before, function.name, target)]
    edges = [
        FlowEdge(before, function.name, node, f"{target.field} = {value}")
        for value, node in target.cases.items()
    ]
    if target.default is not None:
        edges.append(FlowEdge(before, function.name, target.default, "otherwise"))
    return edges


def _joined(edges: Iterable[FlowEdge]) -> list[FlowEdge]:
    """Join the cases of one function that lead to the same node: a call shows only where it went."""
    joined: dict[tuple[str, str, str], FlowEdge] = {}
    for edge in edges:
        key = edge.before, edge.function, edge.node
        if (first := joined.get(key)) is not None:
            case = f"{first.case}, {edge.case}" if first.case and edge.case else first.case or edge.case
            joined[key] = FlowEdge(*key, case)
        else:
            joined[key] = edge
    return list(joined.values())
