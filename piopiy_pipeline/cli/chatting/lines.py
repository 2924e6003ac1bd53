"""Where the lines of a chat come from: a terminal with history, or a pipe with one line a turn."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from platformdirs import user_state_path

__all__ = ["LineSource", "keeps_terminal"]

PROMPT = "you  "
HISTORY = 500
"""Lines that are kept for the next chat."""


class LineSource:
    """Reads lines in a thread of its own, because reading from a terminal cannot be cancelled.

    Only one line is read at a time, when `next` asks for it.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self.prompting = False
        """Whether a prompt stands on the terminal."""
        self._loop = asyncio.get_running_loop()
        self._asked = threading.Semaphore(0)
        self._line: asyncio.Future[str | None] | None = None
        self._readline: Any = None
        self._history = user_state_path("piopiy", appauthor=False) / "chat_history"
        if self.is_terminal:
            self._load_history()
        threading.Thread(target=self._read, name="chat::lines", daemon=True).start()

    def ask(self) -> asyncio.Future[str | None]:
        """Return a future of the next line; its result is None at the end. While one waits, it is the same one."""
        if self._line is None or self._line.done():
            self._line = self._loop.create_future()
            self.prompting = self.is_terminal
            self._asked.release()
        return self._line

    def over_prompt(self) -> None:
        """Take the prompt away, because something is about to be printed."""
        if self.prompting:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()

    def prompt_again(self) -> None:
        """Put the prompt back, with what was typed so far."""
        if self.prompting and self._readline is not None:
            sys.stdout.write(f"\r\x1b[K{PROMPT}{self._readline.get_line_buffer()}")
            sys.stdout.flush()

    def close(self) -> None:
        """Keep the history."""
        if self._readline is not None:
            with contextlib.suppress(OSError):
                self._history.parent.mkdir(parents=True, exist_ok=True)
                self._readline.set_history_length(HISTORY)
                self._readline.write_history_file(self._history)
                self._history.chmod(0o600)

    def _load_history(self) -> None:
        try:
            import readline
        except ImportError:  # Python without it: lines can be typed, and not recalled
            return
        self._readline = readline
        with contextlib.suppress(OSError):
            readline.read_history_file(self._history)

    def _read(self) -> None:
        while True:
            self._asked.acquire()
            try:
                line: str | None = input(PROMPT) if self.is_terminal else sys.stdin.readline() or None
            except (EOFError, ValueError, OSError):  # ValueError: stdin was closed
                line = None
            try:
                self._loop.call_soon_threadsafe(self._came, line)
            except RuntimeError:  # the loop has ended
                return
            if line is None:
                return

    def _came(self, line: str | None) -> None:
        self.prompting = False
        if self._line is not None and not self._line.done():
            self._line.set_result(line)


@contextlib.contextmanager
def keeps_terminal() -> Iterator[None]:
    """Leave the terminal as it was: a thread that still reads a line has it in a state of its own."""
    try:
        import termios

        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
    except (ImportError, OSError, ValueError):  # no terminal
        yield
        return
    except Exception as error:
        if type(error).__name__ != "error":
            raise
        yield
        return
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
