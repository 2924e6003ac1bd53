"""`FrozenHeap`: keeps what a process has loaded out of the garbage collections that run between its calls.

A full collection of CPython looks at every object that can hold another one, in one go, and no call of the process is
served meanwhile. Most of these objects are code, classes and models that were imported and are never garbage: some
170,000 in an agent, which take 100 ms of CPU time, and 86,000 in a gateway, which take 60 ms. On a busy machine,
callers heard that. A call adds about 1,000. It stands on the ground floor because the gateway needs it as much as the
agent.
"""

from __future__ import annotations

import gc

__all__ = ["FrozenHeap"]

LOADED_LATER = 10_000
"""So many objects that were loaded since are worth another look."""
_holders: set[FrozenHeap] = set()


class FrozenHeap:
    """Keeps all objects that there are now out of garbage collections, until it is closed.

    What is garbage already is collected first. If somebody else has frozen the heap, it is left as they want it: so in
    a process that was forked from one with a frozen heap. Several of these in one process share it.
    """

    def __init__(self) -> None:
        self._again = True
        if _holders or not gc.get_freeze_count():
            _holders.add(self)
            _freeze()

    def settle(self) -> None:
        """Freeze what the first call has loaded (SDKs of providers), once. Call it when there is no call any more."""
        if self._again and self in _holders:
            self._again = False
            if len(gc.get_objects()) > LOADED_LATER:
                _freeze()

    def close(self) -> None:
        """Let collections look at everything again, if nobody else in this process is in need of that."""
        if self in _holders:
            _holders.discard(self)
            if not _holders:
                gc.unfreeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
