"""What all verbs have in common: no verb, a bot that is none, and Ctrl-C while a verb is still being loaded."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from piopiy_pipeline.cli import main

ROOT = Path(__file__).parents[2]

INTERRUPTED = """
import os, signal, sys

class CtrlC:
    def find_spec(name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC)
from piopiy_pipeline.cli import main
sys.exit(main())
"""


def test_without_a_verb_it_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    wanted = capsys.readouterr()
    assert main([]) == 2
    assert capsys.readouterr() == wanted
    assert wanted.out.count("\n") > 10


@pytest.mark.parametrize(
    "arguments",
    [
        ["dev", "BOT"],
        ["chat", "BOT"],
        ["start", "BOT"],
        ["simulate", "BOT"],
        ["replay", "call.zip", "BOT"],
        ["flow", str(ROOT / "examples" / "booking_flow.yaml"), "--bot", "BOT"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_bot_that_is_no_python_file_is_refused(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bot = tmp_path / "pizza.yaml"
    bot.write_text("intents: []\n")
    assert main([str(bot) if each == "BOT" else each for each in arguments]) == 2
    said = capsys.readouterr().err
    assert said == f"piopiy: {bot}: not a Python file, whose name ends in .py\n"


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("piopiy_pipeline.cli.signals", ["dev", "--port", "0"]),
        ("typer", ["check"]),
        ("piopiy_pipeline.gateway.server", ["dev", "--port", "0"]),
        ("piopiy_pipeline.cli.chatting.bot_chat", ["chat", str(ROOT / "examples" / "front_desk.py")]),
    ],
)
def test_ctrl_c_while_a_verb_is_loaded_ends_it_at_once_and_says_nothing(
    tmp_path: Path, module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    program = INTERRUPTED.replace("MODULE", repr(module))
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (-signal.SIGINT, 130)  # to a shell, both are 130
    assert (done.stdout, done.stderr) == ("", "")
