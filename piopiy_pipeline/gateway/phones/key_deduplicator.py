"""Counts a key once that a phone sends in both ways, as a telephone event in RTP and as an INFO. No I/O.

Some phones and most trunks can be set to send both, and many are. Nothing in the two says that they are
one key, so the same key by the other way within a short time counts as that.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

__all__ = ["SAME_KEY_S", "KeyDeduplicator", "KeyWay"]

KeyWay = Literal["rtp", "info"]

SAME_KEY_S = 3.0
"""How long after the first way the second one may bring the same key. An INFO may be sent when the key is
let go, and again after 0.5 and 1.5 s when the network loses it."""
_MOST = 64  # keys that are remembered


class _Reported(NamedTuple):
    key: str
    way: KeyWay
    at: float


class KeyDeduplicator:
    """The keys of one call."""

    def __init__(self) -> None:
        self._reported: deque[_Reported] = deque(maxlen=_MOST)

    def take(self, keys: str, way: KeyWay, now: float) -> str:
        """Take keys that came.

        Args:
            keys: The keys, one after the other.
            way: How they came.
            now: The time in seconds.

        Returns:
            Those of them that did not come by the other way already.
        """
        while self._reported and now - self._reported[0].at > SAME_KEY_S:
            self._reported.popleft()
        new = ""
        for key in keys:
            same = next((one for one in self._reported if one.key == key and one.way != way), None)
            if same is not None:
                self._reported.remove(same)
            else:
                self._reported.append(_Reported(key, way, now))
                new += key
        return new
