"""Who may call and register, and who has been turned away too often. No I/O, and cheap: it stands first.

Source: RFC 3261, section 22.1; what is refused here is refused without a transaction (8.2.7), so that
a flood of it leaves nothing behind.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from piopiy_pipeline.gateway.sip.agent.digest import DigestGate
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest

__all__ = ["AdmissionControl", "RequestAdmitted", "RequestDenied"]

_MAX_SOURCES = 4096
_WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class RequestAdmitted:
    """Come in."""

    user: str
    """Who gave the password, empty for trunks and where anyone may call."""
    trusted: bool


@dataclass(frozen=True, slots=True)
class RequestDenied:
    """Not like this."""

    code: int
    headers: tuple[tuple[str, str], ...] = ()
    counts: bool = False
    """Whether it tells against the source."""


class AdmissionControl:
    """Decides on requests that begin something."""

    def __init__(self, config: SipConfig) -> None:
        self._config = config
        self._gate = DigestGate(
            realm=config.realm, users=_plain(config.users), algorithms=config.digest_algorithms
        )
        self._networks = [
            ipaddress.ip_network(source, strict=False)
            for trunk in config.trunks.values()
            for source in trunk.sources
        ]
        self._trusted: set[str] = set()
        self._refusals: OrderedDict[str, tuple[float, int]] = OrderedDict()
        for trunk in config.trunks.values():
            self.trust(trunk.host)

    def trust(self, host: str) -> None:
        """Calls from this address are a trunk's. Names are ignored: they are to be resolved first."""
        try:
            self._trusted.add(str(ipaddress.ip_address(host)))
        except ValueError:
            return

    def trusts(self, host: str) -> bool:
        """Whether calls from this address are a trunk's."""
        if host in self._trusted:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def flooding(self, host: str, now: float) -> bool:
        """Whether this address was turned away so often that nothing of it is looked at any more."""
        began, count = self._refusals.get(_network(host), (now, 0))
        return now - began < _WINDOW_S and count >= self._config.max_refusals_per_minute

    def refused(self, host: str, now: float) -> None:
        """This address was turned away."""
        host = _network(host)
        began, count = self._refusals.pop(host, (now, 0))
        if now - began >= _WINDOW_S:
            began, count = now, 0
        self._refusals[host] = (began, count + 1)
        if len(self._refusals) > _MAX_SOURCES:
            self._refusals.popitem(last=False)

    def caller(self, request: SipRequest, host: str, now: float) -> RequestAdmitted | RequestDenied:
        """Whether this INVITE may call."""
        if self.trusts(host):
            return RequestAdmitted("", True)
        given = request.headers.getlist("Authorization")
        if self._config.callers == "anyone" and not given:
            return RequestAdmitted("", False)
        if not self._config.users:
            if self._config.callers == "anyone":
                return RequestAdmitted("", False)
            return RequestDenied(403, counts=True)
        return self._password(request, now)

    def phone(self, request: SipRequest, now: float) -> RequestAdmitted | RequestDenied:
        """Whether this REGISTER comes from one of our phones."""
        if not self._config.users:
            return RequestDenied(403, counts=True)
        return self._password(request, now)

    def _password(self, request: SipRequest, now: float) -> RequestAdmitted | RequestDenied:
        verdict = self._gate.check(request.headers.getlist("Authorization"), method=request.method, now=now)
        if verdict.outcome == "right":
            return RequestAdmitted(verdict.user, False)
        if verdict.outcome == "wrong":
            return RequestDenied(403, counts=True)
        challenges = self._gate.challenges(now, stale=verdict.outcome == "stale")
        return RequestDenied(401, tuple(("WWW-Authenticate", value) for value in challenges))


def _network(host: str) -> str:
    """Who is counted: an address, of IPv6 its network, because there are as many addresses as one likes."""
    if ":" not in host or " " in host:  # or one phone, which answers for itself
        return host
    return str(ipaddress.ip_network(f"{host}/64", strict=False))


def _plain(users: Mapping[str, str]) -> dict[str, str]:
    return dict(users)
