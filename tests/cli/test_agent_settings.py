"""What an agent is told by options and variables: a mistake is one sentence, whichever way it came."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from piopiy_pipeline.cli import agent_settings, main

WRONG = [
    ("PIOPIY_CAPACITY", "0", "{} must be 'auto' or a whole number from 1 to 1000000, not '0'"),
    ("PIOPIY_CAPACITY", "many", "{} must be 'auto' or a whole number from 1 to 1000000, not 'many'"),
    ("PIOPIY_LOAD_THRESHOLD", "85", "{} must be a number from 0.1 to 1, not 85.0"),
    ("PIOPIY_LOAD_THRESHOLD", "nan", "{} must be a number from 0.1 to 1, not nan"),
    ("PIOPIY_ISOLATION", "thread", "{} must be 'task' or 'process', not 'thread'"),
    ("PIOPIY_WORKERS", "0", "{} must be 'auto', 'call' or a whole number from 1 to 1000, not '0'"),
    ("PIOPIY_WARM", "0", "{} must be a whole number from 1 to 1000, not '0'"),
    ("PIOPIY_MEMORY_MB", "10", "{} must be a whole number from 64 on, not '10'"),
    ("PIOPIY_DRAIN", "later", "{} must be finish or move, not 'later'"),
    ("PIOPIY_DRAIN_S", "-3", "{} must be 0 seconds or more (None: for as long as calls go on), not -3.0"),
    ("PIOPIY_DRAIN_S", "inf", "{} must be 0 seconds or more (None: for as long as calls go on), not inf"),
    ("PIOPIY_METRICS_PORT", "x", "{}: 'x' is no port for metrics"),
    ("PIOPIY_CLOUD", "maybe", "{} must be 1 or 0, not 'maybe'"),
    ("PIOPIY_URL", "ws://one,two", "{}: two: not a gateway's address; it looks like ws://127.0.0.1:7860"),
    ("PIOPIY_RECORD", "calls.zip", "{}='calls.zip': an agent takes many calls, so this must be a folder"),
]
ALSO_PROCESS = {"PIOPIY_WORKERS", "PIOPIY_MEMORY_MB"}
"""What options say of these is for the isolation "process" only, because they are this agent's alone."""


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    own = ("PIOPIY_", "AGENT_")
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith(own)]:
            del os.environ[name]
        os.environ.update({"AGENT_ID": "desk", "AGENT_TOKEN": "token"})
        yield


@pytest.fixture
def bot(tmp_path: Path) -> str:
    path = tmp_path / "bot.py"
    path.write_text("raise SystemExit('it ran')\n")
    return str(path)


def test_every_setting_has_a_wrong_value_here() -> None:
    assert {name for name, _, _ in WRONG} == {*agent_settings._VARIABLES, "PIOPIY_URL"}


@pytest.mark.parametrize(("variable", "value", "sentence"), WRONG)
def test_a_wrong_variable_is_one_sentence_with_its_name(
    variable: str, value: str, sentence: str, bot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ[variable] = value
    assert main(["start", bot]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"piopiy: {sentence.format(variable)}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "value", "sentence"), [row for row in WRONG if row[0] in agent_settings.OPTIONS]
)
def test_a_wrong_option_is_the_same_sentence_with_its_name(
    variable: str, value: str, sentence: str, bot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    option = agent_settings.OPTIONS[variable]
    process = ["--isolation", "process"] if variable in ALSO_PROCESS else []
    assert main(["start", bot, *process, f"{option}={value}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"piopiy: {sentence.format(option)}")
    assert said.count("\n") == 1


def test_an_option_goes_before_a_wrong_variable_and_an_empty_one_is_refused(
    bot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["PIOPIY_DRAIN"] = "later"
    with pytest.raises(SystemExit, match="it ran"):
        main(["start", bot, "--drain", "move"])
    assert main(["start", bot, "--drain", ""]) == 2
    assert "--drain is empty" in capsys.readouterr().err


def test_a_number_of_workers_without_their_isolation_is_refused_as_an_option_only(
    bot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", bot, "--workers", "3"]) == 2
    assert "--workers and --memory-mb are for --isolation process" in capsys.readouterr().err
    del os.environ["PIOPIY_WORKERS"]
    os.environ["PIOPIY_MEMORY_MB"] = "512"  # agents of both kinds may share an environment
    with pytest.raises(SystemExit, match="it ran"):
        main(["start", bot])


@pytest.mark.parametrize(
    ("program", "environment", "said"),
    [
        (
            ["-m", "piopiy_pipeline.cli.run_bot"],
            {"PIOPIY_DRAIN": "later"},
            "PIOPIY_DRAIN must be finish or move",
        ),
        (["-m", "piopiy_pipeline.cli.run_bot"], {}, ""),
        ([], {}, ""),
        (
            ["-m", "piopiy_pipeline.cli", "start"],
            {"PIOPIY_CAPACITY": "4"},
            "bot.py has ended and had connected no agent",
        ),
    ],
)
def test_a_bot_starts_with_no_word_of_pipecat_nor_a_traceback(
    program: list[str], environment: dict[str, str], said: str, bot: str
) -> None:
    """Each as a process, because pipecat greets once in one. `piopiy dev` runs the first."""
    Path(bot).write_text("from piopiy_pipeline import Agent, VoiceAgent\n")
    done = subprocess.run(
        [sys.executable, *program, bot],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert said in done.stderr
    assert done.stderr.count("\n") == bool(said), done.stderr


@pytest.mark.parametrize("verb", [["call"], ["check"], ["load", "--say", "Hello"]])
def test_every_verb_names_the_variable_of_an_address(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["PIOPIY_URL"] = "foo"
    assert main(verb) == 2
    assert capsys.readouterr().err.startswith("piopiy: PIOPIY_URL: foo: not a gateway's address")
