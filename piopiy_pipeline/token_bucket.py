"""Limits how often something may happen, for both the gateway and the agent. No I/O.

It stands on the ground floor because every side that reads from a peer needs one. Two counters of this
project do
something else: `gateway.access.failure_limiter` blocks for a whole minute once a limit is reached, and
`gateway.api.idempotency` counts calls within the last minute, as its setting says.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Allows `per_s` events a second in the long run, and twice as many at once.

    Args:
        per_s: Events per second.
        now: The time at which the bucket is full, in seconds, of the clock that `take` is given.
    """

    def __init__(self, per_s: float, now: float) -> None:
        self.per_s = per_s
        self._tokens = 2 * per_s
        self._at = now

    def take(self, now: float) -> bool:
        """Count one event at `now`. Returns False if that is more than the rate allows."""
        self._tokens = min(2 * self.per_s, self._tokens + (now - self._at) * self.per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
