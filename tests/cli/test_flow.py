"""`piopiy flow`: a flow is checked, shown and drawn; each mistake is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from piopiy_pipeline.cli import main
from piopiy_pipeline.cli.flow_findings import flow_findings
from tests.support.flow_calls import FLOW

BOT = FLOW.with_suffix(".py")


def test_a_flow_is_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", str(FLOW), "--bot", str(BOT), "--svg", str(tmp_path / "flow.svg")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("welcome (first)\n  wants_to_book -> people\n")
    assert "set_time [otherwise] -> time" in shown
    assert "goodbye (ends the call)" in shown
    assert (tmp_path / "flow.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.yaml"], "nothing.yaml: cannot be read"),
        ([str(FLOW), "--bot", "nothing.py"], "nothing.py: there is no such bot"),
        ([str(FLOW), "--svg", "/no/folder/flow.svg"], "--svg /no/folder/flow.svg"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flow", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_function_that_the_bot_lacks_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(BOT.read_text().replace("async def set_people", "async def set_persons"))
    assert main(["flow", str(FLOW), "--bot", str(bot)]) == 2
    error = capsys.readouterr().err
    line = next(n for n, text in enumerate(FLOW.read_text().splitlines(), 1) if "name: set_people" in text)
    assert f"booking_flow.yaml:{line}: " in error
    assert "'set_people', and there is no such function" in error


def test_all_functions_that_the_bot_lacks_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(
        BOT.read_text()
        .replace("async def set_people", "async def a")
        .replace("async def book", "async def b")
    )
    assert main(["flow", str(FLOW), "--bot", str(bot)]) == 2
    error = capsys.readouterr().err
    assert "'set_people', and there is no such function" in error
    assert "'book', and there is no such function" in error
    assert error.count("\n") == 1


NODE = "  {name}:\n    task_messages: [{{role: developer, content: Ask.}}]\n    functions: [{functions}]\n"
END = "    post_actions: [{type: end_conversation}]\n"
GO = "{{name: go_{0}, transition_only: true, description: Go., transition_to: {0}}}"


@pytest.mark.parametrize(
    ("nodes", "more", "notes"),
    [
        (
            {"a": "b", "b": "a"},
            "",
            ["no node ends the call (end_conversation): only the caller or the bot's code"],
        ),
        ({"a": "b", "c": "b", "b": ""}, END, ["no way in the file leads to c"]),
        ({"a": "a b", "c": "c", "b": ""}, END, ["leads to c", "leads from c to a node that ends the call"]),
        ({"a": "b", "b": ""}, END, []),
    ],
)
def test_what_is_probably_not_meant_is_a_note(
    nodes: dict[str, str], more: str, notes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(
        NODE.format(name=name, functions=", ".join(GO.format(to) for to in ways.split()))
        for name, ways in nodes.items()
    )
    file = tmp_path / "flow.yaml"
    file.write_text(f"initial_node: a\nnodes:\n{text}{more}")
    assert main(["flow", str(file)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(lines) == len(notes)
    assert all(note in line for note, line in zip(notes, lines, strict=True)), lines
    (found,) = flow_findings(file)  # a line of `piopiy check`
    assert found.status == "ok"
    assert all(note in found.detail for note in notes), found


def test_check_knows_flows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (found,) = flow_findings(FLOW)
    assert (found.status, found.detail) == ("ok", f"{FLOW}: 6 nodes, 10 edges")
    broken = tmp_path / "flow.yaml"
    broken.write_text("nodes: [")
    assert main(["check", "--flow", str(broken)]) == 1
    assert f"{broken}:1: expected YAML" in capsys.readouterr().out


def test_a_function_without_async_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(BOT.read_text().replace("async def set_people", "def set_people"))
    assert main(["flow", str(FLOW), "--bot", str(bot)]) == 2
    error = capsys.readouterr().err
    line = next(n for n, text in enumerate(FLOW.read_text().splitlines(), 1) if "name: set_people" in text)
    assert f"booking_flow.yaml:{line}: " in error
    assert "set_people must be async" in error


@pytest.mark.parametrize(
    ("registers", "found"),
    [
        ("", True),
        ("flow_manager.register_action('dance', print)", True),
        ("flow_manager.register_action('wave', print)", False),
        ("flow_manager.register_action(handler=print, action_type='wave')", False),
        ("flow_manager.register_action('wa' + 've', print)", False),  # what is computed is not judged
    ],
)
def test_an_action_that_nobody_can_do_is_named_with_its_line(
    registers: str, found: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, bot = tmp_path / "flow.yaml", tmp_path / "bot.py"
    flow.write_text(
        "initial_node: a\nnodes:\n  a:\n    task_messages:\n      - {role: developer, content: Ask.}\n"
        "    functions: []\n    pre_actions:\n      - {type: tts_say, text: Hi.}\n      - type: wave\n"
    )
    bot.write_text(f"async def create_session(call, flow_manager):\n    {registers or 'pass'}\n")
    assert main(["flow", str(flow)]) == 0, "without the bot nobody knows what it registers"
    assert main(["flow", str(flow), "--bot", str(bot)]) == (2 if found else 0)
    error = capsys.readouterr().err
    assert (f"{flow}:9: the action 'wave' of node 'a' has no handler" in error) is found
