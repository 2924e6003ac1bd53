"""Where the lines of a chat come from: a terminal with history, or a pipe with one line a turn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator

from platformdirs import user_state_path

from piopiy_pipeline.cli.chatting.typed_line import TypedLine

__all__ = ["LineSource", "keeps_terminal"]

PROMPT = "you  "
READ_BYTES = 4096


class LineSource:
    """Reads lines from standard input, one for each time that `ask` asks for one.

    On a terminal what is typed is read key by key, and shown in a row of its own, the prompt: below all that is
    printed, also below an answer that is still being written. A pipe is read in a thread of its own, because that
    cannot be cancelled.
    """

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._loop = asyncio.get_running_loop()
        self._line: asyncio.Future[str | None] | None = None
        self._history = user_state_path("piopiy", appauthor=False) / "chat_history"
        self._typed = TypedLine()
        self._complete: deque[str | None] = deque()  # lines that nobody has asked for yet
        self._out = sys.stdout
        self._drawn = False  # the prompt stands in the row of the cursor
        self._asked = threading.Semaphore(0)
        if self.is_terminal:
            self._typed = TypedLine(self._old_lines())
            self._read_keys()
            self._loop.add_reader(sys.stdin.fileno(), self._on_keys)
            self._loop.add_signal_handler(signal.SIGCONT, self._goes_on)
        else:
            threading.Thread(target=self._read, name="chat::lines", daemon=True).start()

    def ask(self) -> asyncio.Future[str | None]:
        """Return a future of the next line; its result is None at the end. While one waits, it is the same one."""
        if self._line is None or self._line.done():
            self._line = self._loop.create_future()
            if not self.is_terminal:
                self._asked.release()
            self._pass_on()
            self.prompt_again()
        return self._line

    def over_prompt(self) -> None:
        """Take the prompt away, because something is about to be printed."""
        if self._drawn:
            self._drawn = False
            self._write("\r\x1b[K")

    def prompt_again(self) -> None:
        """Put the prompt, with what was typed so far, into the row of the cursor: if a line is waited for."""
        if self.is_terminal and self._line is not None and not self._line.done():
            text, column = self._typed.shown(shutil.get_terminal_size().columns - len(PROMPT))
            self._drawn = True
            self._write(f"\r\x1b[K{PROMPT}{text}\r\x1b[{len(PROMPT) + column}C")

    def close(self) -> None:
        """Read no more, and keep the history."""
        if not self.is_terminal:
            return
        self._loop.remove_reader(sys.stdin.fileno())
        self._loop.remove_signal_handler(signal.SIGCONT)
        if self._line is not None:
            self._line.cancel()
        with contextlib.suppress(OSError):
            self._history.parent.mkdir(parents=True, exist_ok=True)
            self._history.write_text("".join(f"{line}\n" for line in self._typed.history), encoding="utf-8")
            self._history.chmod(0o600)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    # ------------------------------------------------------------------ a terminal

    def _old_lines(self) -> list[str]:
        try:
            return self._history.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    @staticmethod
    def _read_keys() -> None:
        """Have the terminal pass on each key, and show none. Ctrl-C is a signal as before."""
        import tty

        tty.setcbreak(sys.stdin.fileno())

    def _goes_on(self) -> None:
        """Draw the prompt again: the program was stopped (Ctrl-Z), and the shell has had the terminal."""
        self._read_keys()
        self.prompt_again()

    def _on_keys(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), READ_BYTES)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._loop.remove_reader(sys.stdin.fileno())
        self._complete += self._typed.take(data) if data else [None]
        self._pass_on()
        if self._drawn:
            self.prompt_again()

    def _pass_on(self) -> None:
        if self._complete and self._line is not None and not self._line.done():
            self._line.set_result(self._complete.popleft())

    # ------------------------------------------------------------------ a pipe

    def _read(self) -> None:
        while True:
            self._asked.acquire()
            try:
                line: str | None = sys.stdin.readline() or None
            except (ValueError, OSError):  # ValueError: stdin was closed
                line = None
            try:
                self._loop.call_soon_threadsafe(self._came, line)
            except RuntimeError:  # the loop has ended
                return
            if line is None:
                return

    def _came(self, line: str | None) -> None:
        if self._line is not None and not self._line.done():
            self._line.set_result(line)


@contextlib.contextmanager
def keeps_terminal() -> Iterator[None]:
    """Leave the terminal as it was: a chat reads it key by key."""
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
