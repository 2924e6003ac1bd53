"""Counts failed attempts by network address, so that nobody can guess keys or passwords quickly. No I/O.

One class serves the API, the WebSocket port and SIP. Keys are long enough that nobody guesses one; this is
for those that somebody chose by hand, and it makes a flood of wrong attempts cheap to refuse.
"""

from __future__ import annotations

from collections import OrderedDict

from piopiy_pipeline.gateway.access.networks import client_network, is_loopback

__all__ = ["MAX_PER_MINUTE", "TOO_MANY", "FailureLimiter"]

TOO_MANY = "too many wrong keys came from your address: try again in a minute"

MAX_PER_MINUTE = 30
"""Wrong keys of one address; after that none of it is looked at, until the minute is over."""
_WINDOW_S = 60.0
_MAX_KEYS = 4096


class FailureLimiter:
    """Counts failures per minute of each client network (see `networks.client_network`).

    It remembers 4096 networks at most, and forgets the one that has been quiet for longest.

    Args:
        max_per_minute: After so many failures within a minute nothing more of the network is looked at,
            until a minute has passed since the first of them.
        count_loopback: Whether loopback addresses are counted. The API does not count them: a proxy there
            speaks for everybody, and programs there can read the file with the keys.
    """

    def __init__(self, max_per_minute: int = MAX_PER_MINUTE, *, count_loopback: bool = False) -> None:
        self._max_per_minute = max_per_minute
        self._count_loopback = count_loopback
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def blocks(self, host: str | None, now: float, *, port: int | None = None) -> bool:
        """Return whether so many attempts of this client failed that no more are to be looked at.

        Args:
            host: The client's address, None where it is unknown: then nothing is counted.
            now: Seconds, of the same clock in all calls.
            port: If given, this one peer is counted by its address and port, apart from its network.
        """
        began, count = self._failures.get(self._key(host, port), (now, 0))
        return now - began < _WINDOW_S and count >= self._max_per_minute

    def failed(self, host: str | None, now: float, *, port: int | None = None) -> None:
        """Count a failed attempt of this client. The arguments are those of `blocks`."""
        key = self._key(host, port)
        if not key:
            return
        began, count = self._failures.pop(key, (now, 0))
        if now - began >= _WINDOW_S:
            began, count = now, 0
        self._failures[key] = began, count + 1
        if len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)

    def _key(self, host: str | None, port: int | None) -> str:
        if not self._count_loopback and is_loopback(host):
            return ""
        network = client_network(host)
        return network if port is None or not network else f"{host} port {port}"
