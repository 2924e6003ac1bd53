"""When a new call is better off with an instance of another gateway, though one of this gateway has a place. No I/O.

A summons costs once, and a busy event loop costs at each answer of the bot. In a loop that is busy for a share b of its
time, a callback waits for b / (1 - b) others (the queue M/M/1): 19 of them at 95%, 1 at 50%. An answer is ten turns of
the loop long. So the way to another gateway pays from a difference of three callbacks on, with the first answer.
"""

from __future__ import annotations

__all__ = ["COMPARE_S", "ROOM", "detour_limit"]

SUMMONS_MS = 15.0
"""What a summons takes that opens a connection, as ``python -m benchmarks.cluster`` measures: 13 to 14 ms, and less
than 1 with one that is open."""
ANSWER_TURNS = 10
CALLBACK_MS = 0.5
"""How long one callback holds up the others, at least."""
PAYS_FROM = SUMMONS_MS / (ANSWER_TURNS * CALLBACK_MS)
"""So many callbacks more must wait here than there."""
ROOM = 0.5
"""Instances that are less busy than this have room for calls of other gateways that have a place there."""
COMPARE_S = 0.25
"""So long a call waits for a less busy instance, in seconds, before it is offered here all the same."""


def detour_limit(here: float) -> float | None:
    """Return how busy an instance of another gateway may be at most to be worth the way.

    Args:
        here: How busy the least busy instance of this gateway is, 0 to 1.

    Returns:
        A share that is less than `here`, 0 to 1; None if none is worth it.
    """
    here = min(max(here, 0.0), 0.99)
    waiting = here / (1 - here) - PAYS_FROM
    return None if waiting <= 0 else waiting / (1 + waiting)
