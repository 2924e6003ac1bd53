"""What call workers write to stderr: passed on line by line, and the last lines kept for the report of a death.

A thread does it, so that an author's code that holds up the supervisor's loop does not hold up call workers, whose
logging would wait for a full pipe.

What `faulthandler` writes of a crash has the line that led to it first, and may have hundreds after it: of that, the
first lines of the thread that crashed are kept.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from piopiy_pipeline.log import json_text, logs_json

__all__ = ["WorkerOutput"]

LINES = 20
"""How many lines are kept of each call worker."""
_FATAL = b"Fatal Python error"
_CURRENT = b"Current thread "
LINE_BYTES = 8192
"""So much is kept of a line."""
PIECE_BYTES = 128 * 1024
"""A longer line is passed on in pieces. One of JSON is shorter: `log.MAX_TEXT`."""
PIPE_BYTES = 1 << 20
"""What a call worker may write ahead of the thread."""


@dataclass(slots=True)
class _Source:
    """The pipe of one call worker."""

    on_closed: Callable[[], None]
    begun: bytes = b""  # a line that is not complete
    lines: deque[bytes] = field(default_factory=lambda: deque(maxlen=LINES))
    crash: list[bytes] = field(default_factory=list)  # its title, and the innermost lines of its thread

    def keep(self, line: bytes) -> None:
        """Take a line into what is reported of a death."""
        self.lines.append(line)
        if line.startswith(_FATAL):
            self.crash = [line]
        elif len(self.crash) == 1:
            if line.startswith(_CURRENT):
                self.crash.append(line)
        elif 1 < len(self.crash) < LINES:
            self.crash.append(line)

    def last_lines(self) -> list[bytes]:
        """Return the innermost lines of a crash, else what was written last."""
        if len(self.crash) > 1:
            return self.crash
        return [*self.lines, *([self.begun] if self.begun else [])][-LINES:]


class WorkerOutput:
    """Reads the pipes of all call workers of an agent."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="piopiy worker output", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def open(self, on_closed: Callable[[], None]) -> tuple[int, Callable[[], list[str]]]:
        """Make a pipe.

        Args:
            on_closed: Called in the thread when nobody can write to the pipe any more.

        Returns:
            The end to write to, which the caller closes; and a function that returns the last lines.
        """
        reader, writer = os.pipe()
        with suppress(OSError):  # the user's limit on pipes is reached
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(reader, False)
        source = _Source(on_closed)
        with self._lock:
            self._selector.register(reader, selectors.EVENT_READ, source)
        os.write(self._waker, b"\0")  # epoll would notice; another selector would not

        def last_lines() -> list[str]:
            with self._lock:
                lines = list(source.last_lines())
            return [line.decode(errors="replace").rstrip() for line in lines]

        return writer, last_lines

    def close(self) -> None:
        """End the thread, once what is in the pipes has been passed on."""
        self._closed = True
        os.write(self._waker, b"\0")
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closed:
            self._read(None)
        self._read(0.0)
        with self._lock:
            for key in list(self._selector.get_map().values()):
                os.close(key.fd)
            self._selector.close()
            os.close(self._waker)

    def _read(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            source: _Source | None = key.data
            try:
                written = os.read(key.fd, 65536)
            except OSError:
                written = b""
            if source is None:
                continue
            with self._lock:
                *lines, source.begun = (source.begun + written).split(b"\n")
                if len(source.begun) >= PIECE_BYTES or (not written and source.begun):
                    lines.append(source.begun)
                    source.begun = b""
                for line in lines:
                    source.keep(line[:LINE_BYTES])
                if not written:
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
            if lines:
                _write(b"\n".join(map(_as_logged, lines)) + b"\n")
            if not written:
                source.on_closed()


def _as_logged(line: bytes) -> bytes:
    """Return a line as this program logs: what a crash, or an author, has written as text may have to be JSON."""
    if not logs_json() or line.startswith(b'{"time"'):
        return line
    text = line.decode(errors="replace")
    return json_text("ERROR", text, datetime.now(UTC), logger="stderr").encode()


def _write(text: bytes) -> None:
    with suppress(OSError):  # nobody reads this program's stderr
        while text:
            text = text[os.write(2, text) :]
