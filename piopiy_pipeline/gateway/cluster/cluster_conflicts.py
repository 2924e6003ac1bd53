"""`ClusterConflicts`: what is wrong between the gateways of a cluster, as each sees it in what the others say. No I/O.

Two gateways with one name or one address, another version of the protocol, other keys, a clock that goes wrong: nothing
fails at once, and calls end as "busy" later. Each cause is in the log once, and again when it changes, and it is a
problem of this gateway for as long as it lasts. A gateway that was started again with other settings is no conflict:
what it said before is out of date only a few seconds later, so a cause has to last for longer than that.
"""

from __future__ import annotations

from dataclasses import dataclass

from loguru import logger

from piopiy_pipeline.gateway.cluster.directory_messages import PROTOCOL, GatewayPresence, OtherVersion
from piopiy_pipeline.gateway.cluster.other_gateways import EXPIRE_S, OtherGateways

__all__ = ["ClusterConflicts"]

HOLD_S = EXPIRE_S + 0.5
"""A cause is told when it has lasted for so many seconds."""
OVER_S = 20.0
"""A cause of which nothing was seen for so many seconds is over."""
MOST_CAUSES = 16
"""So many are known at a time. One that comes while there are as many is known when another is over."""
MOST_SKEW_S = 15.0
"""Requests of operators at other gateways are refused from 30 s on."""


@dataclass(slots=True)
class _Cause:
    first: float
    last: float
    text: str
    said: bool = False


class ClusterConflicts:
    """What one gateway sees. Every `now` is in seconds of one clock.

    Args:
        own: What this gateway says of itself, but its agents.
        others: The other gateways.
    """

    def __init__(self, own: GatewayPresence, others: OtherGateways) -> None:
        self._own = own
        self._others = others
        self._causes: dict[str, _Cause] = {}

    def hear(self, one: GatewayPresence, wall: float, now: float) -> None:
        """Look at what a gateway says: another one, or another one with this one's name.

        Args:
            one: What it says.
            wall: This gateway's clock, in Unix time in seconds.
            now: The time.
        """
        own = self._own
        if one.gateway == own.gateway:
            text = (
                f"another gateway has the name {_short(one.gateway)} of this one, at {_short(one.url)}:"
                " they hide each other: give each a cluster.name of its own"
            )
            self._note(text, now)
        elif self._others.left_out(one.gateway, one.process, now):
            text = (
                f"two gateways have the name {_short(one.gateway)}: one at {_short(one.url)} is left out:"
                " give each a cluster.name of its own"
            )
            self._note(text, now)
        elif one.url == own.url:
            text = (
                f"gateway {_short(one.gateway)} has the address {_short(one.url)} of this one, so calls of one of them"
                " get no agent: set its own address in cluster.url of each"
            )
            self._note(text, now)
        elif (like := next((it for it in self._others.there(now) if _same_url(it, one)), None)) is not None:
            names = " and ".join(sorted((_short(one.gateway), _short(like.gateway))))
            text = (
                f"gateways {names} have one address, {_short(one.url)}, so calls of one of them get no agent: set its"
                " own address in cluster.url of each"
            )
            self._note(text, now)
        self._compare_settings(one, wall, now)
        self.look(now)

    def hear_other(self, one: OtherVersion, protocol: str, now: float) -> None:
        """Look at what a gateway says that speaks another version."""
        text = (
            f"gateway {_short(one.gateway)} ({_short(one.version)}) speaks version {protocol} of the cluster's"
            f" protocol, this one ({self._own.version}) {PROTOCOL}: they share no calls: upgrade the older"
        )
        self._note(text, now)
        self.look(now)

    def not_reached(self, detail: str, now: float) -> None:
        """Note that an agent of another gateway did not reach this one.

        Args:
            detail: Why, with the address.
            now: The time.
        """
        text = (
            f"agents of other gateways do not reach this one: {detail[:110]}: is cluster.url right, and open?"
        )
        self._note(text, now, key="not reached", hold_s=0.0)
        self.look(now)

    def problems(self, now: float) -> list[str]:
        """Return what is wrong now, a sentence of less than 200 characters for each cause."""
        self.look(now)
        return [one.text for one in self._causes.values() if one.said]

    def look(self, now: float) -> None:
        """Forget what is over."""
        for key in [key for key, one in self._causes.items() if now >= one.last + OVER_S]:
            over = self._causes.pop(key)
            if over.said:
                logger.info("this is over: {}", over.text)

    def _compare_settings(self, one: GatewayPresence, wall: float, now: float) -> None:
        own, name = self._own, _short(one.gateway)
        if one.keys.keys() == own.keys.keys():
            differ = [key for key, digest in own.keys.items() if one.keys[key] != digest]
            if differ:
                text = (
                    f"gateway {name} has another {' and other '.join(differ)}: requests, pages and client tokens of one"
                    " are refused by the other: use the same at all gateways"
                )
                self._note(text, now)
        skew_s = one.sent_at - wall
        if one.sent_at and abs(skew_s) > MOST_SKEW_S:
            ahead = "ahead of" if skew_s > 0 else "behind"
            text = (
                f"the clock of gateway {name} is far {ahead} this one's: requests of operators between them are refused"
                " beyond 30 s: keep both right with NTP"
            )
            self._note(text, now)

    def _note(self, text: str, now: float, *, key: str = "", hold_s: float = HOLD_S) -> None:
        cause = self._causes.get(key or text)
        if cause is None:
            if len(self._causes) >= MOST_CAUSES:
                return
            cause = self._causes[key or text] = _Cause(now, now, text)
        cause.last = now
        if now >= cause.first + hold_s and not cause.said:
            cause.said = True
            logger.error("{}", cause.text)


def _same_url(one: GatewayPresence, other: GatewayPresence) -> bool:
    return one.url == other.url and one.gateway != other.gateway


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
