"""The picture of a flow: its nodes from the first one down, and its edges with the functions that walk them.

Nodes stand in the order of the file. An edge to the next one is a line, one that leads further down goes round on the
right, and one that leads back on the left, so that no edge crosses a node.

SVG as text, and nothing else is needed to draw or to see it. With the walks of calls, what none has walked is dashed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from piopiy_pipeline.session.flow.flow_graph import EVERYWHERE, FlowEdge, FlowGraph
from piopiy_pipeline.testing.report.flow_walks import FlowWalks

__all__ = ["flow_svg"]

_WIDTH, _HEIGHT, _GAP = 150, 40, 76
_MARGIN = 24
_SWING = 34
"""How far an edge goes round, in pixels for each node that it passes; at least two of them."""
_LINE = 14
"""The height of a label, in pixels."""
_LETTER = 6.4
"""The width of a letter of a label, in pixels."""
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.n{fill:#f4f6fb;stroke:#4361a8;stroke-width:1.5}"
    ".e{fill:none;stroke:#4361a8;stroke-width:1.5}.l{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:4px}"
    ".never{stroke:#c0392b;stroke-dasharray:5 4}.l.never{fill:#c0392b;stroke:#fff;stroke-dasharray:none}"
    ".end{stroke-width:3}"
)


def flow_svg(graph: FlowGraph, walks: FlowWalks | None = None) -> str:
    """Draw a flow.

    Args:
        graph: The flow.
        walks: What calls have walked of it. Without, nothing is dashed.

    Returns:
        An ``<svg>`` element.
    """
    names = [*graph.nodes, *[EVERYWHERE] * any(edge.before == EVERYWHERE for edge in graph.edges)]
    rows = {name: row for row, name in enumerate(names)}
    drawn = list(_edges(graph.edges, rows))
    left = max([0.0, *(each.reach for each in drawn if each.side < 0)]) + _MARGIN
    right = max([0.0, *(each.reach for each in drawn if each.side > 0)]) + _MARGIN
    width = round(left + _WIDTH + right)
    height = 2 * _MARGIN + len(names) * _HEIGHT + (len(names) - 1) * _GAP
    parts = [each.svg(left, walks) for each in drawn]
    parts += [_node(name, left, rows[name], graph, walks) for name in names]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="The flow {escape(graph.name)}"><style>{_STYLE}</style>'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="#4361a8"/></marker></defs>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class _DrawnEdge:
    """An edge and where it runs: ``side`` is 1 on the right, -1 on the left, 0 straight down."""

    edge: FlowEdge
    side: int
    swing: float
    start: tuple[float, float]
    end: tuple[float, float]
    label_at: float

    @property
    def reach(self) -> float:
        """How far it reaches beside the nodes, with its label, in pixels."""
        return self.swing * 0.75 + 8 + _LETTER * (len(self.edge.function) + 5)

    def svg(self, left: float, walks: FlowWalks | None) -> str:
        (x1, y1), (x2, y2) = (self.start[0] + left, self.start[1]), (self.end[0] + left, self.end[1])
        if self.side:
            out = x1 + self.side * self.swing
            path = f"M{x1:.0f} {y1:.0f}C{out:.0f} {y1:.0f} {out:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
            x, anchor = x1 + self.side * (0.75 * self.swing + 4), "start" if self.side > 0 else "end"
        else:
            path = f"M{x1:.0f} {y1:.0f}L{x2:.0f} {y2:.0f}"
            x, anchor = x1 + 5, "start"
        count = 0 if walks is None else walks.edges[self.edge]
        never = " never" if walks is not None and not count else ""
        label = self.edge.function + (f" ×{count}" if count else "")
        drawn = f'<path class="e{never}" d="{path}" marker-end="url(#arrow)"/>'
        return (
            f"<g><title>{escape(str(self.edge))}</title>{drawn}"
            f'<text class="l{never}" x="{x:.0f}" y="{self.label_at:.0f}" text-anchor="{anchor}">'
            f"{escape(label)}</text></g>"
        )


def _edges(edges: Iterable[FlowEdge], rows: dict[str, int]) -> Iterator[_DrawnEdge]:
    """Yield where each edge runs. Those that would lie on each other are moved apart."""
    straight: Counter[str] = Counter()
    ports: Counter[tuple[str, int]] = Counter()
    taken: list[tuple[int, float]] = []
    for edge in edges:
        above, below = rows[edge.before], rows[edge.node]
        top, goal = (_MARGIN + row * (_HEIGHT + _GAP) for row in (above, below))
        if below == above + 1:
            x = _WIDTH / 2 - 56 + 56 * straight[edge.before]
            lift = 18 + 20 * (straight[edge.before] % 3)
            straight[edge.before] += 1
            yield _DrawnEdge(edge, 0, 0, (x, top + _HEIGHT), (x, goal), top + _HEIGHT + lift)
            continue
        side = 1 if below > above else -1
        x = _WIDTH if side > 0 else 0.0
        out = 8 + 6 * (ports[edge.before, side] % 4)
        ports[edge.before, side] += 1
        into = 22 + 5 * (ports[edge.node, side] % 3)
        ports[edge.node, side] += 1
        start, end = (x, top + out), (x, goal + into)
        label = (start[1] + end[1]) / 2 + 4
        while any(each == side and abs(label - at) < _LINE for each, at in taken):
            label += _LINE
        taken.append((side, label))
        swing = _SWING * max(2, abs(below - above)) if above != below else 1.3 * _SWING
        yield _DrawnEdge(edge, side, swing, start, end, label)


def _node(name: str, left: float, row: int, graph: FlowGraph, walks: FlowWalks | None) -> str:
    x, y = round(left), _MARGIN + row * (_HEIGHT + _GAP)
    count = 0 if walks is None else walks.nodes[name]
    kinds = ["n"] + ["end"] * (name in graph.ends)
    if walks is not None and not count and name != EVERYWHERE:
        kinds.append("never")
    label = "any node" if name == EVERYWHERE else name
    shown = label if len(label) <= 22 else f"{label[:21]}…"
    times = f" ×{count}" if count else ""
    return (
        f'<g><title>{escape(label)}</title><rect class="{" ".join(kinds)}" x="{x}" y="{y}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="8"/><text x="{x + _WIDTH // 2}" y="{y + _HEIGHT // 2 + 4}" text-anchor="middle">'
        f"{escape(shown + times)}</text></g>"
    )
