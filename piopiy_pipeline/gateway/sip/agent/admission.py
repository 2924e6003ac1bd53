"""Admission control: who may call and register, and which peers were refused too often. No I/O.

It is cheap, because every request outside of a dialog passes it first. What it denies is refused without a
transaction (section 8.2.7), so that a flood of requests leaves nothing behind.

It also decides who a caller is. The password says who, and not the From, which everybody can write: a phone may
show its user's name and the numbers in `SipConfig.caller_ids`, and a trunk, which is responsible for its customers, may
show any number. Somebody without a password may not show what belongs to a user.

Source: RFC 3261, section 22.1; RFC 3323 (anonymous callers).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.access.networks import (
    canonical_host,
    in_networks,
    parse_address,
    parse_network,
)
from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, clean
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri

__all__ = ["AdmissionControl", "CallerIdentity", "RequestAdmitted", "RequestDenied"]

NAMED_S = 3600.0
"""So many seconds a trunk's calls are taken from an address that its name no longer has."""


class CallerIdentity(NamedTuple):
    """Who calls: a number or a user's name, and a display name. Both are empty for anonymous callers."""

    number: str
    name: str


@dataclass(frozen=True, slots=True)
class RequestAdmitted:
    """The verdict that a request is admitted, and as whose."""

    user: str
    """The user who gave the password; empty for trunks, and where anyone may call."""
    trusted: bool
    """Whether it comes from a trunk."""


@dataclass(frozen=True, slots=True)
class RequestDenied:
    """The request is denied: with a challenge (401), or because of a wrong password or source (403)."""

    code: int
    """The status of the response."""
    headers: tuple[tuple[str, str], ...] = ()
    counts: bool = False
    """Whether it counts as a failure of the source."""


class AdmissionControl:
    """Decides on requests that begin a call or a registration.

    Args:
        config: Users, trunks, and the limits.
    """

    def __init__(self, config: SipConfig) -> None:
        self._config = config
        self._gate = DigestGate(realm=config.realm, users=config.users, algorithms=config.digest_algorithms)
        self._networks = [
            parse_network(source) for trunk in config.trunks.values() for source in trunk.sources
        ]
        self._trusted: set[str] = set()
        self._named: dict[
            str, dict[str, float]
        ] = {}  # by a trunk's name: its addresses, and when it had them last
        self.failures = FailureLimiter(config.max_refusals_per_minute, count_loopback=True)
        for trunk in config.trunks.values():
            self.trust(trunk.host)

    def trust(self, host: str) -> None:
        """Take calls from this address for a trunk's. A name is ignored: it has to be resolved first."""
        if parse_address(host) is not None:
            self._trusted.add(canonical_host(host))

    def trust_named(self, name: str, addresses: Iterable[str], now: float) -> None:
        """Take calls from these addresses for a trunk's, because its name has them now; and from those that it had
        within the last hour, because some names have only a few of theirs at a time.
        """
        had = self._named.get(name, {}) | {canonical_host(address): now for address in addresses}
        self._named[name] = {address: at for address, at in had.items() if now - at <= NAMED_S}

    def trusts(self, host: str) -> bool:
        """Return whether calls from this address are a trunk's."""
        address = canonical_host(host)
        return (
            address in self._trusted
            or any(address in had for had in self._named.values())
            or in_networks(host, self._networks)
        )

    def trunk_of(self, request: SipRequest, host: str) -> SipTrunk | None:
        """Return the trunk that an INVITE comes through; None: it comes from no trunk.

        Args:
            request: The INVITE. Of several trunks at one address, it comes through that whose user it calls, or else
                through the first that has a password.
            host: The address that it came from.
        """
        address = canonical_host(host)
        found = [
            trunk
            for trunk in self._config.trunks.values()
            if address in (canonical_host(trunk.host), *self._named.get(trunk.host, ()))
            or in_networks(host, [parse_network(source) for source in trunk.sources])
        ]
        found.sort(
            key=lambda trunk: (trunk.user != SipUri.parse(request.uri).user, trunk.credentials is None)
        )
        return found[0] if found else None

    def caller(self, request: SipRequest, host: str, now: float) -> RequestAdmitted | RequestDenied:
        """Decide on an INVITE.

        Args:
            request: The INVITE.
            host: The address that it came from.
            now: The time in seconds.
        """
        if self.trusts(host):
            return RequestAdmitted("", True)
        given = request.headers.getlist("Authorization")
        by_password = self._config.users and (given or self._shows_a_user(request))
        if self._config.callers == "anyone" and not by_password:
            return RequestAdmitted("", False)
        return self.phone(request, now)

    def identity(self, request: SipRequest, user: str) -> CallerIdentity:
        """Decide who calls.

        Args:
            request: An INVITE that was admitted.
            user: The user who gave the password; empty for trunks, and where anyone may call.

        Returns:
            What From says, if it may say that. Otherwise the user's name, without a display name.
        """
        name = clean(request.from_.name)
        try:
            uri = SipUri.parse(request.from_.uri)
        except ValueError:
            return CallerIdentity(user, "") if user else CallerIdentity("", name)
        if uri.host.lower() == "anonymous.invalid" or uri.user.lower() == "anonymous":
            return CallerIdentity("", "")
        if not user or self._config.may_show(user, uri.number):
            return CallerIdentity(clean(uri.number), name)
        return CallerIdentity(user, name if uri.user == user else "")

    def _shows_a_user(self, request: SipRequest) -> bool:
        """Whether From says that one of the users calls."""
        try:
            uri = SipUri.parse(request.from_.uri)
        except ValueError:
            return False
        return self._config.is_of_a_user(uri.user) or self._config.is_of_a_user(uri.number)

    def phone(self, request: SipRequest, now: float) -> RequestAdmitted | RequestDenied:
        """Decide on a REGISTER. `now` is in seconds."""
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
