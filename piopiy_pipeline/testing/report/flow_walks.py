"""`FlowWalks`: which nodes and edges of a flow calls have walked, and which none has.

Of all calls of a test session together: an edge that no test walks is a way through the conversation that nobody has
heard yet. Values and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from piopiy_pipeline.session.flow.flow_graph import FlowEdge, FlowGraph
from piopiy_pipeline.testing.report.simulated_call import SimulatedCall

__all__ = ["FlowWalks", "walk_of", "walks_of"]


@dataclass(slots=True)
class FlowWalks:
    """What calls have walked of one flow.

    Attributes:
        graph: The flow.
        calls: How many calls there were.
        nodes: How often each node was entered, by its name.
        edges: How often each edge was walked.
    """

    graph: FlowGraph
    calls: int = 0
    nodes: Counter[str] = field(default_factory=Counter)
    edges: Counter[FlowEdge] = field(default_factory=Counter)

    def add(self, steps: Iterable[tuple[str, str, str]]) -> None:
        """Add a call, by its steps: from which node, by which function, to which node."""
        self.calls += 1
        for before, function, node in steps:
            self.nodes[node] += 1
            if (edge := self.graph.edge_of(before, function, node)) is not None:
                self.edges[edge] += 1

    @property
    def nodes_never_walked(self) -> list[str]:
        """The nodes that no call has entered."""
        return [node for node in self.graph.nodes if not self.nodes[node]]

    @property
    def edges_never_walked(self) -> list[FlowEdge]:
        """The edges that no call has walked."""
        return [edge for edge in self.graph.edges if not self.edges[edge]]

    def lines(self) -> list[str]:
        """Return it as text, for a terminal."""
        nodes, edges = len(self.graph.nodes), len(self.graph.edges)
        walked = nodes - len(self.nodes_never_walked), edges - len(self.edges_never_walked)
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        shares = f"{walked[0]} of {nodes} nodes, {walked[1]} of {edges} edges walked"
        head = f"flow {self.graph.name}: {calls}, {shares}"
        missing = [f"  never walked: {edge}" for edge in self.edges_never_walked]
        return [head, *missing]


def walk_of(call: SimulatedCall) -> dict[str, Any] | None:
    """Return the flow of a call and its steps as JSON. None if it had no flow whose graph is known."""
    if call.flow is None:
        return None
    steps = [[e.data["before"], e.data["function"], e.data["node"]] for e in call.of("flow")]
    return {"graph": call.flow.to_json(), "steps": steps}


def walks_of(walks: Iterable[dict[str, Any] | None]) -> list[FlowWalks]:
    """Add up the walks of calls, for each flow. Those of another form of a flow of the same name are apart."""
    found: dict[FlowGraph, FlowWalks] = {}
    for walk in walks:
        if walk is not None:
            graph = FlowGraph.from_json(walk["graph"])
            found.setdefault(graph, FlowWalks(graph)).add([(b, f, n) for b, f, n in walk["steps"]])
    return sorted(found.values(), key=lambda each: each.graph.name)
