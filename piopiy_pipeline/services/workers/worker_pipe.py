"""Messages to and from a worker process, and how long they are waited for.

A worker may be slow, because the machine is busy or the model large, and then it is waited for. One that is asked and
uses no processor hangs: it is stopped, or waits for a lock that nobody gives back. That is known much sooner.
"""

from __future__ import annotations

import os
import pickle
import select
import time
from typing import Any

from piopiy_pipeline.worker_process import process_state

__all__ = ["LOOK_S", "MAX_MESSAGE", "HangLooks", "ReplyWait", "read_exactly", "unpickle_answer", "write_all"]

MAX_MESSAGE = 64 * 1024 * 1024
"""The largest message in either direction, in bytes. A length beyond it means that the stream is out of step."""
BUSY_S = 45.0
"""How much longer than its time a request may take that has not computed for so long yet, in seconds."""
LOOK_S = 0.5
"""How often it is looked at what a worker that is asked does, in seconds."""
LEAST_S = 3.0
"""What is waited for the shortest request, in seconds of the processor's time: what a worker does for each, however
short it is, takes a twentieth of that."""
SHORT_S = 5.0
"""What is waited for no longer than this is asked once more, in seconds of the processor's time: another worker answers
it in a part of that, as this one would have if it did not spin."""
HANGING_LOOKS = 6
"""A worker that has used no processor between so many looks in a row hangs. On a machine with ten times as many busy
processes as processors, it would have had 0.3 s of one."""


class HangLooks:
    """Looks again and again, `LOOK_S` apart, at a process that is to do something. Whoever hears of it begins anew.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._used_s: float | None = None
        self._idle_looks = 0

    def look(self) -> float | None:
        """Return how long the process has computed in its life, in seconds; None if the system does not tell.

        Raises:
            TimeoutError: It has used no processor in `HANGING_LOOKS` looks in a row, and waited for none.
        """
        state = process_state(self._pid)
        if state is None:
            return None
        name, used_s = state
        # What is ready to run waits for a processor, and what waits for a disk does not hang.
        waits = used_s == self._used_s and name not in "RD"
        self._used_s = used_s
        self._idle_looks = self._idle_looks + 1 if waits else 0
        if self._idle_looks >= HANGING_LOOKS:
            seconds = HANGING_LOOKS * LOOK_S
            raise TimeoutError(f"it hangs: no answer, and no use of the processor for {seconds:g} s")
        return used_s


class ReplyWait:
    """How long one request to a process is waited for.

    Args:
        limit_s: How long it may take, in seconds. Where the system tells how long `pid` computes, that is what counts:
            a request that waits for a processor on a busy machine has `BUSY_S` more.
        pid: The process that computes, so that it is noticed when it hangs, too. None: nobody looks at it.
    """

    def __init__(self, limit_s: float, pid: int | None = None) -> None:
        self.limit_s = limit_s
        """How long it may take, in seconds of the processor's time where that is known."""
        self._until = time.monotonic() + limit_s
        self._pid = pid
        self._looks = None if pid is None else HangLooks(pid)
        self._began_s: float | None = None  # of the processor's time
        self.hangs = False
        """Whether it was given up because the process hangs."""
        self.is_short = False
        """Whether it is known to be so short that a process which computes for all of its time spins."""

    def shorten(self, limit_s: float) -> None:
        """Wait from now on for so long only, but for `LEAST_S` at least.

        Where the system does not tell how long a process computes, it might have waited for a processor: there the time
        stays as it is.

        Args:
            limit_s: How long the rest may take, in seconds.
        """
        state = None if self._pid is None else process_state(self._pid)
        if state is not None:
            self.limit_s = min(self.limit_s, max(LEAST_S, limit_s))
            self.is_short = self.limit_s <= SHORT_S
            self._until = time.monotonic() + self.limit_s
            self._began_s = state[1]

    def ready(self, fd: int, event: int) -> None:
        """Wait until a descriptor can be read or written. Blocks.

        Args:
            fd: The descriptor.
            event: `select.POLLIN` or `select.POLLOUT`.

        Raises:
            TimeoutError: It took too long, or the process hangs.
        """
        poll = select.poll()
        poll.register(fd, event)
        while True:
            left = self._until - time.monotonic()
            if poll.poll(LOOK_S * 1000 if left <= 0 else min(left, LOOK_S) * 1000):
                return
            starved = self._look()
            if left <= 0 and not (starved and left > -BUSY_S):
                raise TimeoutError("no answer in time")

    def _look(self) -> bool:
        """Look at what the process does, and return whether it is known to have had less time of a processor."""
        if self._looks is None:
            return False
        try:
            used_s = self._looks.look()
        except TimeoutError:
            self.hangs = True
            raise
        if used_s is None:
            return False
        if self._began_s is None:
            self._began_s = used_s
        return used_s - self._began_s < self.limit_s


def write_all(fd: int, message: bytes, wait: ReplyWait) -> None:
    """Write a message to a descriptor that does not block: more than a pipe holds waits for who reads it.

    Raises:
        TimeoutError: Nobody reads it.
        OSError: Nobody can read it any more.
    """
    left = memoryview(message)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            wait.ready(fd, select.POLLOUT)


def read_exactly(fd: int, size: int, wait: ReplyWait) -> bytes:
    """Read exactly `size` bytes from a descriptor.

    Raises:
        TimeoutError: They do not come.
        EOFError: It has ended.
        OSError: It is too much, or cannot be read.
    """
    if size > MAX_MESSAGE:
        raise OSError(f"a message of {size} bytes")
    parts = bytearray()
    while len(parts) < size:
        wait.ready(fd, select.POLLIN)
        part = os.read(fd, size - len(parts))
        if not part:
            raise EOFError("it ended")
        parts += part
    return bytes(parts)


def unpickle_answer(body: bytes) -> tuple[Any, Any]:
    """Return an answer and what it is. Whatever is in place of one, the stream is out of step."""
    try:
        ok, answer = pickle.loads(body)
    except (
        Exception
    ) as error:  # unpickling raises errors of any kind, such as AttributeError for a class gone
        why = f"an answer that cannot be read: {type(error).__name__}: {error}"
        raise pickle.UnpicklingError(why) from error
    return ok, answer
