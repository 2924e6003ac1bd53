"""Shows a chat: a conversation for people, or one JSON object a line for programs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
from typing import Any, Protocol, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from piopiy_pipeline.text import printable_line, well_formed

__all__ = ["ChatForPeople", "ChatForPrograms", "ChatView", "PrintedLines"]

MAX_RESULT = 200
"""Characters of a tool's result that are shown."""
MAX_PRINTED = 8192
"""Characters that a bot may print without the end of a line. What is longer is shown in pieces."""


class PromptRow(Protocol):
    """The row in which a person types, below all that is shown: `LineSource`."""

    is_terminal: bool

    def over_prompt(self) -> None:
        """Take it away, because something is about to be printed in its place."""

    def prompt_again(self) -> None:
        """Draw it in the row of the cursor, if a line is waited for."""


class _NoPrompt:
    is_terminal = False

    def over_prompt(self) -> None: ...
    def prompt_again(self) -> None: ...


class ChatView(Protocol):
    """Shows what happens in a chat."""

    def began(self, title: str) -> None:
        """Show that the bot is ready."""

    def user(self, text: str) -> None:
        """Show what the person has sent."""

    def words(self, text: str) -> None:
        """Show words of the bot as they come."""

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Show an event of the conversation."""

    def note(self, text: str) -> None:
        """Show a hint for the person."""

    def their_turn(self) -> None:
        """End what is being shown: it is the person's turn."""

    def ended(self, reason: str, detail: str) -> None:
        """Show how the chat has ended."""


class ChatForPrograms:
    """Prints one JSON object a line on stdout, flushed at once. The last one is ``ended``."""

    def __init__(self, out: TextIO | None = None, *, prompt: PromptRow | None = None) -> None:
        self._out = out or sys.stdout
        self._prompt = prompt or _NoPrompt()

    def began(self, title: str) -> None:
        self._line(event="began", bot=title)

    def user(self, text: str) -> None:
        self._line(event="user", text=text)

    def words(self, text: str) -> None:
        self._line(event="words", text=text)

    def event(self, name: str, data: dict[str, Any]) -> None:
        if name in ("bot_turn", "tool", "tool_result", "transfer", "error"):
            self._line(event="bot" if name == "bot_turn" else name, **data)

    def note(self, text: str) -> None:
        self._line(event="note", text=text)

    def their_turn(self) -> None:
        """Do nothing: every line was flushed."""

    def ended(self, reason: str, detail: str) -> None:
        self._line(event="ended", reason=reason, detail=detail)

    def _line(self, **event: Any) -> None:
        self._prompt.over_prompt()
        print(well_formed(json.dumps(event, ensure_ascii=False, default=str)), file=self._out, flush=True)
        self._prompt.prompt_again()


class ChatForPeople:
    """Prints the conversation, in colours if stdout is a terminal that has them.

    Args:
        console: Where to print.
        prompt: The row in which the person types; None: there is none.
    """

    def __init__(self, console: Console | None = None, *, prompt: PromptRow | None = None) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)
        self._prompt: PromptRow = prompt or _NoPrompt()
        self._in_line = False  # a turn of the bot is being written
        self._column = 0  # in which it goes on
        self._is_below = (
            False  # the cursor is at the beginning of the row below it, where the prompt may stand
        )

    def began(self, title: str) -> None:
        self._print(f"{title}: /keys 12# presses keys, /quit ends, Ctrl-C stops an answer", "dim")

    def user(self, text: str) -> None:
        if self._prompt.is_terminal or self._in_line or not self.console.is_terminal:
            self._print(f"you  {printable_line(text)}", "cyan")

    def words(self, text: str) -> None:
        if not self._in_line:
            text = text.lstrip()
            if not text:
                return
        self._prompt.over_prompt()
        if not self._in_line:
            self._in_line, self._column = True, 0
            self._write(Text("bot  ", "bold green"))
        elif self._is_below and self._column < self.console.width:
            self.console.file.write("\x1b[A" + (f"\x1b[{self._column}C" if self._column else ""))
        self._is_below = False
        self._write(Text(_printable(text)))
        if self._prompt.is_terminal:
            self.console.print()
            self._is_below = True
            self._prompt.prompt_again()
        self.console.file.flush()

    def _write(self, text: Text) -> None:
        """Write a piece of a line, and note in which column the next one follows."""
        self.console.print(text, end="")
        width = self.console.width
        for character in text.plain:
            cells = cell_len(character)
            if character == "\n":
                self._column = 0
            else:  # a terminal goes on in the next row when there is no more room
                self._column = self._column + cells if self._column + cells <= width else cells

    def event(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "bot_turn":
                self.their_turn()
                if data.get("interrupted"):
                    self._print("     (stopped)", "dim")
            case "tool":
                arguments = data.get("arguments")
                if isinstance(arguments, dict):
                    arguments = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
                self._print(f"  ·  {data.get('name')}({printable_line(str(arguments))})", "magenta")
            case "tool_result":
                result = printable_line(json.dumps(data.get("result"), ensure_ascii=False, default=str))
                if len(result) > MAX_RESULT:
                    result = result[: MAX_RESULT - 1] + "…"
                self._print(f"  ·  {data.get('name')} -> {result}", "magenta")
            case "transfer":
                said = f"transfer to {data.get('to')}: {data.get('outcome')}"
                self._print(
                    f"  ·  {printable_line(said)}" + (f" ({d})" if (d := data.get("detail")) else ""),
                    "magenta",
                )
            case "error":
                stage, message = data.get("stage"), str(data.get("message", ""))
                self._print(f"  !  {stage}: {printable_line(message)}", "red")

    def note(self, text: str) -> None:
        self._print(f"     {text}", "dim")

    def printed(self, line: str) -> None:
        """Show a line that the bot's code prints, on a line of its own."""
        self.their_turn()
        self._prompt.over_prompt()
        self.console.file.write(f"{line}\n")
        self.console.file.flush()
        self._prompt.prompt_again()

    def their_turn(self) -> None:
        if self._in_line:
            self._prompt.over_prompt()
            if not self._is_below:
                self.console.print()
            self._in_line = self._is_below = False
            self._prompt.prompt_again()

    def ended(self, reason: str, detail: str) -> None:
        self._print(f"     ended: {reason}" + (f" ({printable_line(detail)})" if detail else ""), "bold")

    def _print(self, line: str, style: str) -> None:
        self.their_turn()
        self._prompt.over_prompt()
        self.console.print(Text(line, style))
        self._prompt.prompt_again()


class PrintedLines(io.TextIOBase):
    """Is in the place of stdout for the bot's code: each line that it prints is shown on a line of its own.

    It is made in the event loop of the chat, and other threads may print as well.

    Args:
        view: Shows the lines.
    """

    def __init__(self, view: ChatForPeople) -> None:
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._rest = ""

    def write(self, text: str) -> int:
        """Show the lines that are whole now. Returns how many characters were taken."""
        if threading.get_ident() == self._thread:
            self._take(text)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._take, text)
        return len(text)

    def _take(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        if len(self._rest) >= MAX_PRINTED:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            self._view.printed(line)

    def end(self) -> None:
        """Show what was printed without the end of a line."""
        if self._rest:
            self._take("\n")

    def __getattr__(self, name: str) -> Any:
        """Return what else stdout has, such as its `buffer`."""
        return getattr(self._view.console.file, name)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._view.console.file.isatty()

    def fileno(self) -> int:
        return self._view.console.file.fileno()


def _printable(text: str) -> str:
    """Return a text without what a terminal would interpret. Line breaks stay, and what follows is moved in."""
    return "".join(
        c if c.isprintable() else "\n     " if c == "\n" else " " if c.isspace() else "" for c in text
    )
