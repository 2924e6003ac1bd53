"""`RequestSeal`: shows another gateway that an operator's request was made with an API key that is good there, too.

The key itself does not travel: the seal is an HMAC of the whole request with it. So whoever may use the API of this
gateway with a key may use that of another one if it has the same key, and nobody else, whatever the broker carries. A
request is good once, and for half a minute. Tested in ``tests/gateway/cluster/test_relayed_requests.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Sequence

__all__ = ["FRESH_S", "RequestSeal"]

FRESH_S = 30.0
"""So much the clocks of two gateways may differ, the way between them included."""
MOST_SEEN = 100_000
"""So many requests are remembered, to be refused the second time."""


class RequestSeal:
    """Makes seals, and looks at those of others.

    Args:
        api_keys: The API keys of this gateway.
        is_open: Whether its console needs no key.
    """

    def __init__(self, api_keys: Sequence[str], *, is_open: bool) -> None:
        self._keys = tuple(api_keys)
        self._open = is_open
        self._seen: OrderedDict[str, float] = OrderedDict()

    @staticmethod
    def make(key: str, request: bytes) -> str:
        """Return the seal of a request."""
        return hmac.new(key.encode(errors="replace"), request, hashlib.sha256).hexdigest()

    def key_of(
        self, seal: str, request: bytes, *, request_id: str, sent_at: float, unix_now: float
    ) -> str | None:
        """Return with which key of this gateway a request was sealed; empty: with none, and it needs none.

        Args:
            seal: The seal; empty if the console of the sender is open.
            request: What it is made of.
            request_id: The name of the request, good once.
            sent_at: When it was sent, in Unix time in seconds.
            unix_now: The time now.

        Returns:
            None if it is refused: the key is not one of this gateway, or the request is old or was seen before.
        """
        if not abs(unix_now - sent_at) < FRESH_S or request_id in self._seen:
            return None
        good = "" if not seal and self._open else None
        for key in self._keys:  # every key is compared, each in constant time
            if hmac.compare_digest(self.make(key, request), seal):
                good = key
        if good is not None:
            self._seen[request_id] = unix_now
            while self._seen and (
                len(self._seen) > MOST_SEEN or next(iter(self._seen.values())) < unix_now - 2 * FRESH_S
            ):
                self._seen.popitem(last=False)
        return good
