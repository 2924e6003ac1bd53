"""Ctrl-C at `piopiy dev` in a real terminal: it ends in order, and nobody is warned of what they have done."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

WAIT_S = 60.0
BOT = """\
import asyncio, os
from piopiy_pipeline.agent.agent import Agent
from tests.support.bots import create_session

asyncio.run(Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session).connect())
"""


class Terminal:
    """`piopiy dev` as the foreground process of a terminal of its own."""

    def __init__(self, bot: Path, folder: Path) -> None:
        self.shown = ""
        environment = {
            **os.environ,
            "PIOPIY_CREDENTIALS": str(folder / "credentials"),
            "XDG_DATA_HOME": str(folder / "data"),
        }
        with (
            warnings.catch_warnings()
        ):  # of a fork beside threads: the child does nothing but to become another
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid, self._screen = pty.fork()
        if self.pid == 0:
            arguments = [sys.executable, "-m", "piopiy_pipeline.cli", "dev", str(bot), "--port", "0"]
            os.execve(sys.executable, arguments, environment)
        self._status: int | None = None

    def until(self, text: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while text not in self.shown:
            assert self._read(deadline), f"no {text!r} in {self.shown}"

    def press_ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")

    def end(self) -> int:
        """Everything that is shown until it has ended, and its exit status."""
        deadline = time.monotonic() + WAIT_S
        while self._read(deadline):
            continue
        _, status = os.waitpid(self.pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def close(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._screen)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing within {WAIT_S:g} s after {self.shown}"
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux says so when the last process of a terminal has gone
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)

    @property
    def alarming(self) -> list[str]:
        """The lines that speak of something wrong."""
        words = ("WARNING", "ERROR", "CRITICAL", "Traceback", "Exception")
        return [line for line in self.shown.splitlines() if any(word in line for word in words)]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    bot = tmp_path / "bots" / "bot.py"
    bot.parent.mkdir()
    bot.write_text(BOT)
    terminal = Terminal(bot, tmp_path)
    yield terminal
    terminal.close()


def test_at_a_bot_that_waits_for_calls(terminal: Terminal) -> None:
    terminal.until("ready    bot.py")
    terminal.press_ctrl_c()
    assert terminal.end() == 0
    assert terminal.alarming == []
    assert "dev      ending" in terminal.shown


@pytest.mark.parametrize("moment", ["gateway  ws://", "records of calls are kept"])
def test_while_it_starts(terminal: Terminal, moment: str) -> None:
    terminal.until(moment)
    terminal.press_ctrl_c()
    assert terminal.end() == 0
    assert terminal.alarming == []


def test_during_a_call(terminal: Terminal, tmp_path: Path) -> None:
    terminal.until("ready    bot.py")
    (file,) = (tmp_path / "credentials").glob("dev-*.json")
    keys = json.loads(file.read_text())
    url = terminal.shown.partition("gateway  ")[2].split()[0]
    with connect(
        f"{url}/call/{keys['agent_id']}",
        additional_headers={"Authorization": f"Bearer {keys['caller_key']}"},
        proxy=None,
    ) as caller:
        caller.send(json.dumps({"event": "start", "rate": 16000, "metadata": {"bot": "talks"}}))
        while not isinstance(caller.recv(WAIT_S), bytes):
            continue  # until the bot is heard
        terminal.press_ctrl_c()
        assert terminal.end() == 0
    assert terminal.alarming == []


def test_twice(terminal: Terminal) -> None:
    terminal.until("ready    bot.py")
    terminal.press_ctrl_c()
    terminal.until("dev      ending")
    terminal.press_ctrl_c()
    assert terminal.end() in (0, 130, -signal.SIGINT), "the second may come when all is done"
    assert terminal.alarming == []
