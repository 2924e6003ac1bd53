"""`FrozenHeap`: keeps what a process has loaded out of the garbage collections that run between its calls.

A full collection of CPython looks at every object that can hold another one, in one go, and no call of the process is
served meanwhile. Most of these objects are code, classes and models that were imported and are never garbage: some
170,000 in an agent, which take 100 ms of CPU time, and 86,000 in a gateway, which take 60 ms. On a busy machine,
callers heard that. A call adds about 2,300. It stands on the ground floor because the gateway needs it as much as the
agent.
"""

from __future__ import annotations

import gc

__all__ = ["FrozenHeap"]

_holders: set[FrozenHeap] = set()


class FrozenHeap:
    """Keeps all objects that there are now out of garbage collections, until it is closed.

    What is garbage already is collected first. If somebody else has frozen the heap, it is left as they want it: so in
    a process that was forked from one with a frozen heap. Several of these in one process share it.
    """

    def __init__(self) -> None:
        if _holders or not gc.get_freeze_count():
            _holders.add(self)
            gc.collect()
            gc.freeze()

    def close(self) -> None:
        """Let collections look at everything again, if nobody else in this process is in need of that."""
        if self in _holders:
            _holders.discard(self)
            if not _holders:
                gc.unfreeze()
