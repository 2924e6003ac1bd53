"""A mistake in a flow's file is one sentence with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from piopiy_pipeline.session.flow.flow_file import MAX_KEPT, FlowFileError, read_flow
from piopiy_pipeline.session.flow.flow_graph import EVERYWHERE, FlowEdge, FlowGraph
from piopiy_pipeline.session.flow.flow_plan import FlowPlan
from tests.support.flow_calls import FLOW

GOOD = """\
initial_node: a
nodes:
  a:
    task_messages:
      - role: developer
        content: Ask.
    functions:
      - name: go
        transition_only: true
        description: Go on.
        transition_to: b
  b:
    task_messages:
      - {role: developer, content: Bye.}
"""


async def look(flow_manager: Any) -> tuple[Any, Any]:
    """Look it up."""
    return None, None


def fault(tmp_path: Path, text: str, handlers: Any = None) -> str:
    """What is said of a file with this text, without the folder."""
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    with pytest.raises(FlowFileError) as raised:
        FlowPlan.of(path, handlers)
    sentence = str(raised.value)
    assert sentence.startswith(str(tmp_path)), sentence
    assert "\n" not in sentence
    return sentence.removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("initial_node: a", "initial_node: c", 1, "initial_node 'c' is not a defined node"),
        ("transition_to: b", "transition_to: c", 8, "transitions to unknown node 'c'"),
        ("transition_only: true", "transition_onli: true", 9, "transition_onli"),
        ("transition_to: b", "transition_to: {field: x, cases: 3}", 11, "cases: expected a table"),
        ("transition_to: b", "transition_to: {cases: {x: b}}", 11, "field: is missing"),
        ("transition_to: b", "transition_to: 3", 11, "transition_to: expected text"),
        ("content: Ask.", "contents: Ask.", 5, "content"),
        ("        description: Go on.\n", "", 8, "needs a description"),
        ("nodes:", "nodes: [", 3, "expected YAML"),
        ("        transition_only: true\n        description: Go on.\n", "", 8, "there is no such function"),
        ("task_messages:\n      - {role", "task_messages: 3\n      #{role", 13, "expected a list"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, old: str, new: str, line: int, what: str) -> None:
    sentence = fault(tmp_path, GOOD.replace(old, new, 1))
    assert what in sentence
    found = int(sentence.split(":")[1])
    assert abs(found - line) <= 1, sentence


def test_a_file_that_is_not_there_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(FlowFileError, match=r"nothing\.yaml: cannot be read: No such file"):
        read_flow(tmp_path / "nothing.yaml")
    path = tmp_path / "flow.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FlowFileError, match="UTF-8"):
        read_flow(path)
    path.write_text("- a\n- b\n")
    with pytest.raises(FlowFileError, match=r"flow\.yaml:1: .*mapping"):
        read_flow(path)


def test_what_is_no_flow_is_refused() -> None:
    with pytest.raises(TypeError, match="flow is a file, a FlowConfig"):
        FlowPlan.of(3)  # type: ignore[arg-type]
    with pytest.raises(FlowFileError, match="no task_messages"):
        FlowPlan.of({"name": "a"})  # type: ignore[arg-type]
    with pytest.raises(FlowFileError, match="needs a name of its own"):
        FlowPlan.of([{"task_messages": []}])


def test_the_graph_has_the_edges_of_the_file() -> None:
    graph = FlowGraph.of_config(read_flow(FLOW), "booking_flow")
    assert graph.initial == "welcome"
    assert graph.ends == ("goodbye",)
    assert len(graph.edges) == 10
    assert FlowEdge("time", "set_time", "time", "otherwise") in graph.edges
    assert graph.edge_of("time", "set_time", "people") is None
    assert FlowGraph.from_json(graph.to_json()) == graph


def test_a_global_function_leads_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        GOOD
        + "global_functions:\n  - {name: stop, transition_only: true, description: Stop., transition_to: b}\n"
    )
    graph = FlowGraph.of_config(read_flow(path), "flow")
    assert graph.edge_of("a", "stop", "b") == FlowEdge(EVERYWHERE, "stop", "b")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (GOOD + "  a:\n    task_messages: []\n", 15, "'a' is there twice"),
        (GOOD.replace("role: developer", "role: king", 1), 5, "there is no role 'king'"),
        (GOOD.replace("Ask.", '"Ask {{ name, and go on."', 1), 6, "a '{{' that no '}}' closes"),
        ("a: " + "[" * 5000, 1, "nested too deep"),
    ],
)
def test_what_would_come_to_light_in_a_call_is_found_in_the_file(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    assert fault(tmp_path, text).startswith(f"flow.yaml:{line}: {what}")


@pytest.mark.parametrize("indent", [2, "\t"])
@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ('"role": "developer"', '"role": "king"', 7, "there is no role 'king'"),
        ('"content": "Ask."', '"content": "Ask {{ name."', 8, "a '{{' that no '}}' closes"),
        ('"role": "developer",', '"role": "user", "role": "developer",', 7, "'role' is there twice"),
        ('"description": "Go on.",', '"descriptoin": "Go on.",', 15, "descriptoin"),
    ],
)
def test_slips_are_found_in_json_as_well(
    tmp_path: Path, indent: int | str, old: str, new: str, line: int, what: str
) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(yaml.safe_load(GOOD), indent=indent).replace(old, new, 1))
    with pytest.raises(FlowFileError) as raised:
        read_flow(path)
    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert what in str(raised.value)


def test_an_empty_name_of_a_file_is_one_sentence() -> None:
    with pytest.raises(FlowFileError, match="flow is empty"):
        FlowPlan.of("")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are parsed from now on, of whatever file."""
    texts: list[str] = []
    load = yaml.load

    def noted(text: Any, loader: Any) -> Any:
        texts.append(text if isinstance(text, str) else text.read())
        return load(texts[-1], loader)

    monkeypatch.setattr(yaml, "load", noted)
    return texts


def test_a_file_is_parsed_once_for_each_content(tmp_path: Path, parsed: list[str]) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(GOOD)
    first = read_flow(path)
    first.nodes["a"].task_messages[0].content = "Ask something else."
    again = read_flow(path)
    assert again.nodes["a"].task_messages[0].content == "Ask."
    again.nodes.clear()
    assert list(read_flow(path).nodes) == ["a", "b"]
    assert parsed == [GOOD]
    other = GOOD.replace("Bye.", "Hi!.")  # as long, and perhaps written in the same tick of the clock
    path.write_text(other)
    assert read_flow(path).nodes["b"].task_messages[0].content == "Hi!."
    assert parsed == [GOOD, other]


def test_an_included_file_that_changes_is_read_again(tmp_path: Path, parsed: list[str]) -> None:
    path, inner = tmp_path / "flow.yaml", tmp_path / "content.yaml"
    path.write_text(GOOD.replace("Ask.", "!include ask.yaml"))
    (tmp_path / "ask.yaml").write_text("!include content.yaml")
    for text in ("Ask.", "Ask!"):
        inner.write_text(text)
        for _ in range(2):
            assert read_flow(path).nodes["a"].task_messages[0].content == text
    assert [text for text in parsed if text.startswith("Ask")] == ["Ask.", "Ask!"]
    inner.unlink()
    with pytest.raises(FlowFileError, match=r"flow\.yaml:1: .*No such file"):
        read_flow(path)


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (b"- {role: developer, content: Ask.}\n- [\n", "messages.yaml:3: expected YAML"),
        (b"- role: developer\n  content: 'Ask {{ name'\n", "messages.yaml:2: a '{{' that no '}}' closes"),
        (b"- role: developer\n  content: \xff\n", "messages.yaml: expected text in UTF-8"),
        (b"- role: developer\n  content: Ask.\n- role: king\n", "messages.yaml:3: there is no role 'king'"),
        (b"- !include message.yaml", "message.yaml:1: there is no role 'king'"),
        (b"!include message.yaml", "message.yaml:1: there is no role 'king'"),
    ],
)
def test_a_mistake_in_an_included_file_names_that_file(tmp_path: Path, inner: bytes, said: str) -> None:
    (tmp_path / "messages.yaml").write_bytes(inner)
    (tmp_path / "message.yaml").write_text("role: king\ncontent: Ask.\n")
    asked = "\n      - role: developer\n        content: Ask."
    assert asked in GOOD
    assert fault(tmp_path, GOOD.replace(asked, " !include messages.yaml")).startswith(said)


def test_a_file_that_has_become_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(GOOD)
    read_flow(path)
    for _ in range(2):
        assert fault(tmp_path, GOOD.replace("role: developer", "role: king", 1)).startswith("flow.yaml:5: ")


def test_so_many_parsed_files_are_kept(tmp_path: Path, parsed: list[str]) -> None:
    paths = [tmp_path / f"{number}.yaml" for number in range(MAX_KEPT + 1)]
    for path in paths:
        path.write_text(GOOD)
        read_flow(path)
        read_flow(paths[0])  # in use
    assert len(parsed) == len(paths)
    read_flow(paths[0])
    read_flow(paths[-1])
    assert len(parsed) == len(paths)
    read_flow(paths[1])
    assert len(parsed) == len(paths) + 1
