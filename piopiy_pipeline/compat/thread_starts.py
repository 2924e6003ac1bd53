"""Python 3.11 has no audit event when a thread is started; 3.12 and later have one. Here it is for both.

Tested in ``tests/session/test_leftovers.py``.
"""

from __future__ import annotations

import functools
import sys
import threading

__all__ = ["THREAD_STARTED", "announce_thread_starts"]

THREAD_STARTED = ("_thread.start_new_thread", "_thread.start_joinable_thread")
"""The audit events. Their first argument is a method of the `threading.Thread`."""


@functools.cache
def announce_thread_starts() -> None:
    """Have each start of a `threading.Thread` raise an audit event, if Python does not do that."""
    if sys.version_info >= (3, 12):
        return
    start = threading.Thread.start

    @functools.wraps(start)
    def announced(thread: threading.Thread) -> None:
        sys.audit(THREAD_STARTED[0], thread.run, (), None)
        start(thread)

    threading.Thread.start = announced  # type: ignore[assignment, method-assign]
