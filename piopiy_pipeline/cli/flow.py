"""`piopiy flow` reads the file of a flow, says what is wrong with it, and draws it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.flow_findings import checked_flow
from piopiy_pipeline.cli.options import require_writable

if TYPE_CHECKING:
    from piopiy_pipeline.session.flow.flow_graph import FlowGraph

__all__ = ["flow"]

_ANY = "*"


def flow(
    file: Annotated[
        Path, typer.Argument(metavar="FLOW.yaml", help="The file of a flow.", show_default=False)
    ],
    bot: Annotated[
        Path | None,
        typer.Option(
            metavar="BOT.py", help="Check that its functions are in this file, too.", show_default=False
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw it into this file.", show_default=False)
    ] = None,
) -> None:
    """Check a flow, and show its nodes with the ways that lead on.

    A mistake is one line with file and line. What is probably not meant, such as a node that no way leads to, is a note
    on stderr. The bot's file is read and not run.

    Example:

      piopiy flow booking.yaml --bot my_bot.py --svg booking.svg
    """
    if svg is not None:
        require_writable("--svg", svg)
    graph = checked_flow(file, bot)
    for node in graph.nodes:
        marks = ["first"] * (node == graph.initial) + ["ends the call"] * (node in graph.ends)
        print(f"{node} ({', '.join(marks)})" if marks else node)
        _print_ways(graph, node)
    if any(edge.before == _ANY for edge in graph.edges):
        print("in any node")
        _print_ways(graph, _ANY)
    for note in graph.notes():
        print(f"note: {note}", file=sys.stderr)
    if svg is not None:
        from piopiy_pipeline.testing.report.flow_picture import flow_svg

        try:
            svg.write_text(flow_svg(graph), encoding="utf-8")
        except OSError as error:
            raise BadInput(f"--svg {svg}: {error.strerror or error}") from None


def _print_ways(graph: FlowGraph, node: str) -> None:
    for edge in graph.edges:
        if edge.before == node:
            case = f" [{edge.case}]" if edge.case else ""
            print(f"  {edge.function}{case} -> {edge.node}")
