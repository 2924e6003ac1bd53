"""`CircuitBreaker`: whether a provider that fails is asked first. Without I/O; times are seconds of one clock.

All calls of a process share the breaker of a provider, so that a call need not find out by itself what the
call before it has found out. After some failures the breaker opens, and the provider comes last. After a
while one request is a probe: if it is answered in time, the provider is where it was.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict, deque

__all__ = ["CircuitBreaker", "breaker_of"]

FAILURES = 3
"""So many failures in `WINDOW_S`, without a success in between, open a breaker."""
WINDOW_S = 60.0
FIRST_PROBE_S = 10.0
"""An open breaker lets a probe pass after this; each probe that fails doubles it."""
LONGEST_PROBE_S = 120.0
PROBE_LASTS_S = 30.0
"""A probe of which nobody has reported anything for this long counts as given up."""
MAX_BREAKERS = 256
"""Breakers of a process. The one that was not needed for longest is forgotten."""


class CircuitBreaker:
    """The failures of one provider."""

    def __init__(self) -> None:
        self._failed_at: deque[float] = deque(maxlen=FAILURES)
        self._opens_at: float | None = None  # when an open one lets a probe pass
        self._probe_after_s = FIRST_PROBE_S
        self._probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the provider has failed so often that it comes last."""
        return self._opens_at is not None

    def allows(self, now: float) -> bool:
        """Return whether the provider may be asked in its own place: it works, or it is time for a probe."""
        if self._opens_at is None:
            return True
        probing = self._probe_at is not None and now - self._probe_at < PROBE_LASTS_S
        return now >= self._opens_at and not probing

    def asked(self, now: float) -> None:
        """Note a request. If the breaker is open, and it is time for it, the request is the probe."""
        if self.is_open and self.allows(now):
            self._probe_at = now

    def succeeded(self) -> None:
        """Note that the provider has answered in time: the breaker closes."""
        self._failed_at.clear()
        self._opens_at = self._probe_at = None
        self._probe_after_s = FIRST_PROBE_S

    def failed(self, now: float) -> None:
        """Note that the provider has failed, or was too slow."""
        self._failed_at.append(now)
        if self._opens_at is not None:
            if self._probe_at is not None:  # the probe has failed
                self._probe_after_s = min(self._probe_after_s * 2, LONGEST_PROBE_S)
                self._opens_at, self._probe_at = now + self._probe_after_s, None
        elif len(self._failed_at) == FAILURES and now - self._failed_at[0] <= WINDOW_S:
            self._opens_at = now + self._probe_after_s

    def abandoned(self) -> None:
        """Note that nobody waits for the request any more, so that it shows nothing."""
        self._probe_at = None


Provider = tuple[str, ...]
"""What one provider is known by: class, model, address."""

_breakers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, OrderedDict[Provider, CircuitBreaker]] = (
    weakref.WeakKeyDictionary()
)
"""By event loop, whose clock their times are of. An agent has one loop."""


def breaker_of(provider: Provider) -> CircuitBreaker:
    """Return the breaker of a provider, which all calls on this event loop share.

    Args:
        provider: What the provider is known by.
    """
    breakers = _breakers.setdefault(asyncio.get_running_loop(), OrderedDict())
    breaker = breakers.setdefault(provider, CircuitBreaker())
    breakers.move_to_end(provider)
    if len(breakers) > MAX_BREAKERS:
        breakers.popitem(last=False)
    return breaker
