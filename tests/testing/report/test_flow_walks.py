"""The report says which nodes and edges of a flow the calls of a session have walked, and which none has."""

from __future__ import annotations

from xml.etree import ElementTree

from piopiy_pipeline.session.flow.flow_graph import FlowEdge, FlowGraph
from piopiy_pipeline.testing.report.flow_picture import flow_svg
from piopiy_pipeline.testing.report.flow_walks import walk_of, walks_of
from piopiy_pipeline.testing.report.html_report import Section, page, section
from tests.support.flow_calls import WAYS, walk

SVG = "{http://www.w3.org/2000/svg}"


def test_calls_of_a_session_are_added_up_and_what_none_walked_is_named() -> None:
    calls = [walk(WAYS["changes their mind"]), walk(WAYS["knows a number"])]
    sections = [Section.from_json(section(call, sound=False).to_json()) for call in calls]
    (walks,) = walks_of(each.flow for each in sections)
    assert walks.lines() == [
        "flow booking_flow: 2 calls, 5 of 6 nodes, 7 of 10 edges walked",
        "  never walked: welcome --find_booking [found = false]--> people",
        "  never walked: people --set_people [status = too_many]--> human",
        "  never walked: human --nothing_else--> goodbye",
    ]
    html = page(sections)
    assert "7 of 10 edges walked" in html
    assert "never walked: human --nothing_else" in html
    rest = walk(WAYS["comes with many"])
    (walks,) = walks_of(map(walk_of, [*calls, rest]))
    assert not walks.edges_never_walked
    assert not walks.nodes_never_walked


def test_the_picture_has_each_node_and_each_edge_and_dashes_what_was_never_walked() -> None:
    call = walk(WAYS["knows a number"])
    assert call.flow is not None
    (walks,) = walks_of([walk_of(call)])
    drawn = ElementTree.fromstring(flow_svg(call.flow, walks))
    titles = [element.text for element in drawn.iter(f"{SVG}title")]
    assert sorted(titles, key=str) == sorted([*call.flow.nodes, *map(str, call.flow.edges)])
    lines = [element for element in drawn.iter(f"{SVG}path") if "e" in element.get("class", "").split()]
    assert sum("never" in line.get("class", "") for line in lines) == len(walks.edges_never_walked) == 8
    height = float(drawn.get("height", 0))
    assert all(0 <= float(box.get("y", -1)) < height for box in drawn.iter(f"{SVG}rect"))


def test_names_cannot_break_out_of_the_picture() -> None:
    name = "<b>&"
    graph = FlowGraph("f", name, (name,), (FlowEdge(name, "<i>", name), FlowEdge("*", "stop", name)))
    drawn = ElementTree.fromstring(flow_svg(graph))
    assert "any node" in [element.text for element in drawn.iter(f"{SVG}title")]


def test_calls_without_a_flow_add_nothing() -> None:
    assert walks_of([None]) == []
    assert "flow" not in page([]).split("</style>")[1]
