"""`FrozenHeap`: keeps what a process has loaded out of the garbage collections that run between its calls.

A full collection of CPython looks at every object that can hold another one, in one go, and no call of the process is
served meanwhile. Most of these objects are code, classes and models that were imported and are never garbage: some
170,000 in an agent, which take 100 ms of CPU time, and 86,000 in a gateway, which take 60 ms. On a busy machine,
callers heard that. A call adds about 2,300. It stands on the ground floor because the gateway needs it as much as the
agent.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

__all__ = ["FrozenHeap", "freeze_heap"]

_holders: dict[FrozenHeap, Callable[[], bool]] = {}


def freeze_heap() -> None:
    """Collect the garbage, and keep all other objects that there are now out of the collections that follow."""
    gc.collect()
    gc.freeze()
    # CPython puts a full collection off until a quarter as many objects are new as were left by the last one. That is
    # none now: else the garbage of the first calls would wait for some 20,000.
    gc.collect()


def _never() -> bool:
    return False


class FrozenHeap:
    """Keeps all objects that there are now out of garbage collections, until it is closed.

    What is garbage already is collected first. If somebody else has frozen the heap, it is left as they want it: so in
    a process that was forked from one with a frozen heap. Several of these in one process share it. While one of them
    has calls, nothing is frozen: what a call leaves would never be collected.

    Args:
        has_calls: Says whether there are calls now.
    """

    def __init__(self, has_calls: Callable[[], bool] = _never) -> None:
        if _holders or not gc.get_freeze_count():
            _holders[self] = has_calls
            if not any(busy() for busy in _holders.values()):
                freeze_heap()

    def close(self) -> None:
        """Let collections look at everything again, if nobody else in this process is in need of that."""
        if self in _holders:
            del _holders[self]
            if not _holders:
                gc.unfreeze()
