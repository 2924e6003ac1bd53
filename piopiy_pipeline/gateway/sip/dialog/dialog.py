"""The dialog: who talks to whom, by which route, and what number the next request has.

Source: RFC 3261, sections 12 (dialogs), 13.3.1.4 (a 200 is repeated until its ACK comes), 16.12.1.2 (strict routers).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from piopiy_pipeline.gateway.access.networks import in_networks, parse_address
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipMessage, SipRequest, SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr, SipUri
from piopiy_pipeline.gateway.sip.transaction.timers import T1, T2, TIMEOUT

__all__ = ["Dialog", "Unacknowledged", "flow_of", "is_private"]


def flow_of(uri: str, default: Flow) -> Flow:
    """Where a request to this URI goes: its own transport and port, or those of `default`'s transport.

    No NAPTR and no SRV records are asked for (RFC 3263): a name is one of the DNS's addresses. Raises `ValueError`.
    """
    parsed = SipUri.parse(uri)
    named = parsed.parameters.get("transport", "").lower()
    transport = default.transport
    if parsed.scheme == "sips" or named == "tls":
        transport = "tls"
    elif named == "tcp":
        transport = "tcp"
    elif named == "udp":
        transport = "udp"
    if not parsed.host:
        raise ValueError(f"no host to send to: {uri[:80]!r}")
    return Flow(transport, parsed.host, parsed.port or (5061 if transport == "tls" else 5060))


_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def is_private(host: str) -> bool | None:
    """Whether an address is one that means nothing elsewhere (RFC 1918, 6598, 4193); None for names."""
    return None if parse_address(host) is None else in_networks(host, _PRIVATE)


def _routes(message: SipMessage) -> list[str]:
    """The recorded route, as it was written. Raises `ValueError` when requests could not follow it."""
    routes = message.listed("Record-Route")
    for route in routes:
        SipUri.parse(NameAddr.parse(route).uri)
    return routes


@dataclass(slots=True)
class Dialog:
    """One dialog, confirmed or early."""

    call_id: str
    local: str
    """Our From: a URI in brackets and our tag."""
    local_tag: str
    remote: str
    """The other side's, as it wrote it."""
    remote_tag: str
    target: str
    """The other side's Contact, where requests are addressed."""
    routes: list[str]
    flow: Flow
    """Where its messages came from."""
    contact: str
    sent_by: str
    sequence: int = 0
    remote_sequence: int | None = None
    credentials: list[tuple[str, str]] = field(default_factory=list)
    """Headers with credentials that the INVITE was accepted with; the ACK repeats them (22.1)."""

    @classmethod
    def of_request(
        cls, request: SipRequest, source: Flow, *, local_tag: str, contact: str, sent_by: str
    ) -> Dialog:
        """As the one who is called: 12.1.1. Raises `ValueError` without a usable Contact.

        With none at all (RFC 2543) it is where From says.
        """
        contacts = request.addresses("Contact") or [request.from_]
        if len(contacts) != 1:
            raise ValueError(f"one Contact is needed, {len(contacts)} came")
        SipUri.parse(contacts[0].uri)
        to = request.get("To")
        return cls(
            call_id=request.call_id,
            local=to if request.to.tag else f"{to};tag={local_tag}",
            local_tag=local_tag,
            remote=request.get("From"),
            remote_tag=request.from_.tag,
            target=contacts[0].uri,
            routes=_routes(request),
            flow=source,
            contact=contact,
            sent_by=sent_by,
            remote_sequence=request.cseq.sequence,
        )

    @classmethod
    def of_response(
        cls, invite: OutgoingRequest, response: SipResponse, source: Flow, *, local: str, contact: str
    ) -> Dialog:
        """As the one who calls: 12.1.2. Raises `ValueError` without a usable Contact."""
        contacts = response.addresses("Contact")
        target = contacts[0].uri if contacts else invite.uri
        SipUri.parse(target)
        return cls(
            call_id=response.call_id,
            local=local,
            local_tag=response.from_.tag,
            remote=response.get("To"),
            remote_tag=response.to.tag,
            target=target,
            routes=_routes(response)[::-1],
            flow=source,
            contact=contact,
            sent_by=invite.sent_by,
            sequence=invite.sequence,
            credentials=[h for h in invite.headers if h[0] in ("Authorization", "Proxy-Authorization")],
        )

    def takes(self, request: SipRequest) -> bool:
        """Whether a request is new and in order (12.2.2); then its Contact is the new target."""
        if self.remote_sequence is not None and request.cseq.sequence < self.remote_sequence:
            return False
        self.remote_sequence = request.cseq.sequence
        return True

    def retarget(self, contacts: list[NameAddr]) -> None:
        """A re-INVITE or its answer says where the other side is now. Raises `ValueError`."""
        if contacts:
            SipUri.parse(contacts[0].uri)
            self.target = contacts[0].uri

    def request(
        self,
        method: str,
        *,
        branch: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> OutgoingRequest:
        """The next request within the dialog: 12.2.1.1."""
        self.sequence += 1
        return self._request(method, self.sequence, branch, headers, body, content_type)

    def ack(self, sequence: int, *, branch: str) -> OutgoingRequest:
        """The ACK of a 2xx: 13.2.2.4."""
        return self._request("ACK", sequence, branch, tuple(self.credentials), b"", "")

    def _request(
        self,
        method: str,
        sequence: int,
        branch: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        content_type: str,
    ) -> OutgoingRequest:
        uri, routes = self.target, self.routes
        if routes and "lr" not in SipUri.parse(NameAddr.parse(routes[0]).uri).parameters:
            uri, routes = NameAddr.parse(routes[0]).uri, [*routes[1:], f"<{self.target}>"]
        flow, or_else = self._next_hop()
        return OutgoingRequest(
            method=method,
            uri=uri,
            flow=flow,
            or_else=or_else,
            branch=branch,
            sent_by=self.sent_by,
            sequence=sequence,
            headers=(
                *(("Route", route) for route in routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                *((("Contact", self.contact),) if method in ("INVITE", "REFER") else ()),
                *headers,
            ),
            body=body,
            content_type=content_type,
        )

    def _next_hop(self) -> tuple[Flow, Flow | None]:
        """Where to, and where else if a connection is gone.

        By the book it is the first route or the target. But a connection that is there is used, and a phone
        behind a NAT, whose Contact means nothing here, is reached where its messages come from.
        """
        hop = NameAddr.parse(self.routes[0]).uri if self.routes else self.target
        try:
            wanted = flow_of(hop, self.flow)
        except ValueError:
            return self.flow, None
        if self.flow.reliable and wanted.transport == self.flow.transport:
            return self.flow, wanted
        private = is_private(wanted.host)
        if private is None or (private and wanted.host != self.flow.host and not is_private(self.flow.host)):
            return self.flow, None
        return wanted, None


class Unacknowledged:
    """A 2xx of ours that is repeated until its ACK comes, over every transport: 13.3.1.4."""

    def __init__(self, data: bytes, sequence: int, now: float) -> None:
        self.data, self.sequence = data, sequence
        self._interval = T1
        self._repeat_at = now + T1
        self._end_at = now + TIMEOUT

    @property
    def wake_at(self) -> float:
        """When it wants to be woken."""
        return min(self._repeat_at, self._end_at)

    def wake(self, now: float) -> bytes | None:
        """What to send again; None: no ACK will come any more."""
        if now >= self._end_at:
            return None
        if now >= self._repeat_at:
            self._interval = min(self._interval * 2, T2)
            self._repeat_at = now + self._interval
            return self.data
        return b""
