"""`CallWatches`: which calls here are watched from other gateways, by whom, and how much of them is told. No I/O.

A watch ends by itself when it is not asked for again: a console that was closed, or its gateway that was killed, costs
nothing for long.
"""

from __future__ import annotations

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["MOST_WATCHED", "RENEW_S", "WATCH_S", "CallWatches"]

RENEW_S = 5.0
"""How often a watch is asked for again."""
WATCH_S = 3 * RENEW_S
MOST_WATCHED = 256
"""So many calls of one gateway are watched at most."""
MOST_WATCHERS = 64
"""From so many gateways one call is watched at most."""
EVENTS_PER_S = 40.0
"""So many events of one call are told in a second. Of more, words that are still being said are left out."""


class CallWatches:
    """Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._watches: dict[str, dict[str, float]] = {}
        self._rates: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, call_id: str, watcher: str, now: float) -> bool:
        """Begin or prolong a watch. Return False for one too many, which is not begun."""
        if call_id not in self._watches and len(self._watches) >= MOST_WATCHED:
            self._watches = {
                one: kept for one, _ in tuple(self._watches.items()) if (kept := self._left(one, now))
            }
            self._rates = {one: rate for one, rate in self._rates.items() if one in self._watches}
            if len(self._watches) >= MOST_WATCHED:
                return False
        watchers = self._watches.setdefault(call_id, {})
        if watcher not in watchers and len(watchers) >= MOST_WATCHERS:
            return False
        watchers[watcher] = now + WATCH_S
        self._rates.setdefault(call_id, TokenBucket(EVENTS_PER_S, now))
        return True

    def watchers(self, call_id: str, now: float) -> list[str]:
        """Return who watches a call."""
        if call_id not in self._watches:
            return []
        left = self._left(call_id, now)
        if not left:
            self.forget(call_id)
        return list(left)

    def may_tell(self, call_id: str, now: float, *, partial: bool) -> bool:
        """Return whether an event is told: of too many those that are `partial` are not."""
        rate = self._rates.get(call_id)
        return rate is None or rate.take(now) or not partial

    def forget(self, call_id: str) -> None:
        """Forget a call that has ended, or is watched no more."""
        self._watches.pop(call_id, None)
        self._rates.pop(call_id, None)

    def _left(self, call_id: str, now: float) -> dict[str, float]:
        left = self._watches[call_id] = {
            watcher: until for watcher, until in self._watches[call_id].items() if now < until
        }
        return left
