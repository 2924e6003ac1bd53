"""Admission control: who may call and register, and which peers were refused too often. No I/O.

It is cheap, because every request outside of a dialog passes it first. What it denies is refused without a
transaction (section 8.2.7), so that a flood of requests leaves nothing behind.

Source: RFC 3261, section 22.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.access.networks import (
    canonical_host,
    in_networks,
    parse_address,
    parse_network,
)
from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest

__all__ = ["AdmissionControl", "RequestAdmitted", "RequestDenied"]


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
        self.failures = FailureLimiter(config.max_refusals_per_minute, count_loopback=True)
        for trunk in config.trunks.values():
            self.trust(trunk.host)

    def trust(self, host: str) -> None:
        """Take calls from this address for a trunk's. A name is ignored: it has to be resolved first."""
        if parse_address(host) is not None:
            self._trusted.add(canonical_host(host))

    def trusts(self, host: str) -> bool:
        """Return whether calls from this address are a trunk's."""
        return canonical_host(host) in self._trusted or in_networks(host, self._networks)

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
        if self._config.callers == "anyone" and not (given and self._config.users):
            return RequestAdmitted("", False)
        return self.phone(request, now)

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
