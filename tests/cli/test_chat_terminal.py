"""`piopiy chat` on a terminal: what is typed into an answer, Ctrl-C, the end, and the history.

In real time, because the terminal belongs to another process.
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIOPIY = [sys.executable, "-m", "piopiy_pipeline.cli"]
LONG_S = 60

SLOW = """
import asyncio
from pipecat.frames.frames import LLMContextFrame, LLMFullResponseEndFrame, LLMFullResponseStartFrame, LLMTextFrame
from pipecat.services.llm_service import LLMService
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS

class Slow(LLMService):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        for number in range(2000):
            await asyncio.sleep(0.02)
            await self.push_frame(LLMTextFrame(f"word{number} "))
        await self.push_frame(LLMFullResponseEndFrame())

async def create_session(call):
    agent = VoiceAgent(instructions="Be long.", greeting="Hello!")
    await agent.Action(stt=ScriptedSTT([]), llm=Slow(), tts=ToneTTS())
    await agent.start()
"""


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, bot: Path, home: Path) -> None:
        self.screen = ""
        self.output = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # pragma: no cover  the child
            os.environ.update(PYTHONPATH=str(ROOT), TERM="xterm", XDG_STATE_HOME=str(home), HOME=str(home))
            os.execv(PIOPIY[0], [*PIOPIY, "chat", str(bot)])

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, wanted: str) -> None:
        """Read until this is new on the screen."""
        ends = time.monotonic() + LONG_S
        while wanted not in self.screen:
            ready, _, _ = select.select([self.fd], [], [], 0.5)
            if ready:
                try:
                    came = os.read(self.fd, 4096).decode(errors="replace")
                    self.screen += came
                    self.output += came
                except OSError:
                    break
            assert time.monotonic() < ends, f"{wanted!r} is not in {self.screen!r}"
        assert wanted in self.screen, self.screen
        self.screen = self.screen.partition(wanted)[2]

    def rows(self, width: int = 80) -> list[str]:
        """Return the rows as a terminal shows them, up to the last one with something in it."""
        rows, row, column = [""], 0, 0
        for code, letter, character in re.findall(r"\x1b\[([0-9;]*)([A-Za-z])|(.)", self.output, re.DOTALL):
            number = int(code) if code.isdecimal() else 1
            if letter == "K":
                rows[row] = rows[row][:column]
            elif letter == "A":
                row -= number
            elif letter == "C":
                column += number
            elif character == "\r":
                column = 0
            elif character == "\n":
                row += 1
            elif character:
                if column == width:
                    row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
                rows[row] = rows[row][:column].ljust(column) + character + rows[row][column + 1 :]
                column += 1
            rows += [""] * (row + 1 - len(rows))
        while not rows[-1]:
            rows.pop()
        return rows

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.realtime
def test_on_a_terminal_ctrl_c_stops_the_answer_and_twice_ends(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(SLOW)
    terminal = Terminal(bot, tmp_path)
    terminal.until("Hello!")
    terminal.until("you  ")
    terminal.type("Go on\r")
    terminal.until("word5 ")
    terminal.type("\x03")
    terminal.until("(stopped)")
    terminal.until("you  ")
    time.sleep(2.1)  # a second Ctrl-C soon after the first would end the chat
    terminal.type("\x03")
    terminal.until("Ctrl-C again ends the chat")
    terminal.type("\x03")
    terminal.until("ended: caller_hangup")
    assert terminal.status() == 0


@pytest.mark.realtime
def test_what_is_typed_while_an_answer_is_printed_stands_below_it(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(SLOW)
    terminal = Terminal(bot, tmp_path)
    terminal.until("Hello!")
    terminal.type("Go on\r")
    terminal.until("word3")
    terminal.type("Do stöp")
    terminal.until("word60")  # in another row
    terminal.until("Do stöp")  # which is drawn again below
    rows = terminal.rows()
    assert rows[-1] == "you  Do stöp"
    (begun,) = [number for number, row in enumerate(rows) if row.startswith("bot  word0")]
    answer = "".join(rows[begun:-1])
    assert answer.startswith("bot  " + " ".join(f"word{number}" for number in range(61)))
    terminal.type("\x1b[D\x7f\x7fo\r")
    terminal.until("(stopped)")
    assert "you  Do sop" in terminal.rows()
    terminal.type("\x04")
    terminal.until("ended: caller_hangup")
    assert terminal.status() == 0


@pytest.mark.realtime
@pytest.mark.parametrize("end", ["/quit\r", "\x04"], ids=["quit", "end of file"])
def test_on_a_terminal_a_line_cuts_the_bot_off_and_the_end_is_at_once(end: str, tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(SLOW)
    terminal = Terminal(bot, tmp_path)
    terminal.until("Hello!")
    terminal.type("Go on\r")
    terminal.until("word5 ")
    terminal.type("Something else\r")
    terminal.until("(stopped)")
    terminal.until("word0 ")
    terminal.until("word3 ")
    terminal.type(end)
    terminal.until("ended: caller_hangup")
    assert "word1999" not in terminal.screen
    assert terminal.status() == 0


@pytest.mark.realtime
def test_the_history_is_there_the_next_time(tmp_path: Path) -> None:
    for typed in ("Remember me\r", "\x1b[A\r"):
        bot = tmp_path / "bot.py"
        bot.write_text(SLOW.replace("range(2000)", "range(1)"))
        terminal = Terminal(bot, tmp_path)
        terminal.until("Hello!")
        terminal.until("you  ")
        terminal.type(typed)
        terminal.until("Remember me")
        terminal.until("word0")
        terminal.until("you  ")
        terminal.type("\x04")
        terminal.until("ended")
        assert terminal.status() == 0


@pytest.mark.realtime
def test_what_a_bot_prints_while_it_answers_stands_on_a_row_of_its_own(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    printing = "            if number == 3:\n                print('looked up', number)\n"
    bot.write_text(
        SLOW.replace(
            "            await asyncio.sleep(0.02)\n", f"{printing}            await asyncio.sleep(0.02)\n"
        )
    )
    terminal = Terminal(bot, tmp_path)
    terminal.until("Hello!")
    terminal.type("Go on\r")
    terminal.until("word5 ")
    rows = terminal.rows()
    printed = rows.index("looked up 3")
    before, behind = rows[printed - 1], rows[printed + 1]
    assert before.startswith("bot  word0")
    assert behind.startswith("bot  word")
    words = f"{before.removeprefix('bot  ').rstrip()} {behind.removeprefix('bot  ')}"
    assert words.startswith("word0 word1 word2 word3 word4 word5")
    terminal.type("\x04")
    terminal.until("ended: caller_hangup")
    assert terminal.status() == 0


# ---------------------------------------------------------------------- over a gateway
