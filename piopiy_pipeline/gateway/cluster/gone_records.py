"""`GoneRecords`: whose calls were lost with their gateway, as the directory knows it before a shared database does.

No I/O.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.cluster.other_gateways import EXPIRE_S, OtherGateways

__all__ = ["GoneRecords"]


class GoneRecords:
    """The gateways that are gone, by the names with which their calls are marked in the database.

    Args:
        own: This gateway's name there.
        others: The other gateways.
        now: From when on all messages of the others are heard, in seconds of the clock of each `now`.
    """

    def __init__(self, own: str, others: OtherGateways, now: float) -> None:
        self._own = own
        self._others = others
        self._heard_since: float | None = now

    def note(self, *, cut_off: bool, now: float) -> None:
        """Note whether this gateway hears nothing of the others now."""
        if cut_off:
            self._heard_since = None
        elif self._heard_since is None:
            self._heard_since = now

    def at(self, now: float) -> dict[str, float]:
        """Return the names, each with how many seconds ago the gateway was heard last. Empty while this gateway may be
        the one that hears nothing.
        """
        if self._heard_since is None or now < self._heard_since + EXPIRE_S:
            return {}
        alive = {self._own, *(one.records for one in self._others.there(now))}
        return {
            one.records: ago_s
            for ago_s, one in self._others.lost(now)
            if one.records and one.records not in alive
        }
