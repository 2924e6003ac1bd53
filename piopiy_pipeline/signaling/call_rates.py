"""`CallRates`: how many messages an agent may send of each of its calls. No I/O.

All calls of an agent share its connection. An agent of today holds each call below its share; an older one does not,
and a call whose code reports without end would cost the connection, and with it all the others. So each call has a rate
of its own, and what is beyond it is that call's harm:

    over      more than its share: the message is not taken
    flood     so many that the call is to end
    endless   the flood goes on although the call has ended, for longer than messages can have been on their way
"""

from __future__ import annotations

from typing import Literal

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["CallRates", "Verdict"]

Verdict = Literal["taken", "over", "flood", "endless"]


class _Rate:
    __slots__ = ("flood", "flooded_at", "floods_since", "share")

    def __init__(self, now: float) -> None:
        self.share = TokenBucket(CallRates.PER_S, now)
        self.flood = TokenBucket(CallRates.FLOOD_PER_S, now)
        self.floods_since: float | None = None
        self.flooded_at = now


class CallRates:
    """The rates of one agent's calls. Every `now` is in seconds of one clock."""

    PER_S = 100
    """The share of each call, in messages a second: twice what an agent of today sends at most. What waited while a
    network stood for three seconds, after which the agent gives the connection up, comes at once."""
    FLOOD_PER_S = 500
    """So many beyond its share end the call."""
    FLOOD_S = 2.0
    """After so many seconds a flood is endless: the agent knows by then that the call has ended."""
    PAUSE_S = 1.0
    """After such a pause another flood begins."""
    SPARE = 100
    """So many calls are known beside those that the agent may have at a time."""

    def __init__(self, capacity: int) -> None:
        self._most = capacity + self.SPARE
        self._rates: dict[str, _Rate] = {}

    def take(self, call_id: str, now: float) -> Verdict:
        """Count one message of this call."""
        rate = self._rates.get(call_id)
        if rate is None:
            if len(self._rates) >= self._most:  # the oldest is over, most likely
                del self._rates[next(iter(self._rates))]
            rate = self._rates[call_id] = _Rate(now)
        if rate.share.take(now):
            return "taken"
        if rate.flood.take(now):
            return "over"
        if rate.floods_since is None or now - rate.flooded_at > self.PAUSE_S:
            rate.floods_since = now
        rate.flooded_at = now
        return "endless" if now - rate.floods_since > self.FLOOD_S else "flood"
