"""Limits how often something may happen, for both the gateway and the agent. No I/O.

It stands on the ground floor because every side that reads from a peer needs one. Two counters of this
project do something else: `gateway.access.failure_limiter` blocks for a whole minute once a limit is reached,
and `gateway.api.idempotency` counts calls within the last minute, as its setting says.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows `per_s` events a second in the long run, and twice as many at once, or as many as `at_once` says.

    Args:
        per_s: Events per second; or how much of something else that `take` counts.
        now: The time at which the bucket is full, in seconds, of the clock that `take` is given.
        at_once: The most at once. None: twice `per_s`.
    """

    def __init__(self, per_s: float, now: float, *, at_once: float | None = None) -> None:
        self.per_s = per_s
        self._most = 2 * per_s if at_once is None else at_once
        self._tokens = self._most
        self._at = now

    def take(self, now: float, amount: float = 1) -> bool:
        """Count an event at `now`, or so much of something. Returns False if that is more than the rate allows: then
        nothing is counted.
        """
        self._tokens = min(self._most, self._tokens + (now - self._at) * self.per_s)
        self._at = now
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True
