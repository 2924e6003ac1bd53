"""The dialog: the two parties, the route between them, and the numbers of their requests. No I/O.

Source: RFC 3261, sections 12 (dialogs), 13.3.1.4 (a 200 is repeated until its ACK comes), 16.12.1.2 (strict routers).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from piopiy_pipeline.gateway.sip.syntax.flow import Flow, flow_of, is_private
from piopiy_pipeline.gateway.sip.syntax.message import SipMessage, SipRequest, SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr, SipUri
from piopiy_pipeline.gateway.sip.transaction.timers import T1, T2, TIMEOUT

__all__ = ["Dialog", "Unacknowledged"]


def _routes(message: SipMessage) -> list[str]:
    """Return the Record-Route headers as they were written. Raises `ValueError` if requests could not follow
    them.
    """
    routes = message.listed("Record-Route")
    for route in routes:
        SipUri.parse(NameAddr.parse(route).uri)
    return routes


@dataclass(slots=True)
class Dialog:
    """One dialog, early or confirmed (section 12)."""

    call_id: str
    local: str
    """Our From: a URI in brackets and our tag."""
    local_tag: str
    remote: str
    """The URI and tag of the other side, as it wrote them."""
    remote_tag: str
    target: str
    """The remote target: the Contact of the other side, to which requests are addressed."""
    routes: list[str]
    flow: Flow
    """Where the messages of the other side came from."""
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
        """Return the dialog of an INVITE that came (section 12.1.1). Without a Contact (RFC 2543), From is the target.

        Args:
            request: The INVITE.
            source: Where it came from.
            local_tag: Our tag.
            contact: Our Contact, in angle brackets.
            sent_by: Our address for Via, ``host:port``.

        Raises:
            ValueError: The Contact or the Record-Route cannot be used.
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
        """Return the dialog of a 2xx to an INVITE of ours (section 12.1.2).

        Args:
            invite: Our INVITE.
            response: The 2xx.
            source: Where the response came from.
            local: Our From, with its tag.
            contact: Our Contact, in angle brackets.

        Raises:
            ValueError: The Contact or the Record-Route cannot be used.
        """
        contacts = response.addresses("Contact")
        target = contacts[0].uri if contacts else invite.uri
        SipUri.parse(target)
        dialog = cls.of_unusable_response(invite, response, source, local=local, contact=contact)
        dialog.target, dialog.routes = target, _routes(response)[::-1]
        return dialog

    @classmethod
    def of_unusable_response(
        cls, invite: OutgoingRequest, response: SipResponse, source: Flow, *, local: str, contact: str
    ) -> Dialog:
        """The dialog of a 2xx that says in no readable way where its ACK and BYE go: they go where the INVITE went.

        Args:
            invite: Our INVITE.
            response: The 2xx.
            source: Where the response came from.
            local: Our From, with its tag.
            contact: Our Contact, in angle brackets.
        """
        return cls(
            call_id=response.call_id,
            local=local,
            local_tag=response.from_.tag,
            remote=response.get("To"),
            remote_tag=response.to.tag,
            target=invite.uri,
            routes=[],
            flow=source,
            contact=contact,
            sent_by=invite.sent_by,
            sequence=invite.sequence,
            credentials=[h for h in invite.headers if h[0] in ("Authorization", "Proxy-Authorization")],
        )

    def accepts(self, request: SipRequest) -> bool:
        """Return whether a request is in order (section 12.2.2); if it is, its number is remembered."""
        if self.remote_sequence is not None and request.cseq.sequence < self.remote_sequence:
            return False
        self.remote_sequence = request.cseq.sequence
        return True

    def retarget(self, contacts: list[NameAddr]) -> None:
        """Take the target from the Contact of a re-INVITE or of its 2xx. Raises `ValueError` when it cannot be read."""
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
        """Build the next request within the dialog (section 12.2.1.1).

        Args:
            method: Its method.
            branch: The branch of its Via.
            headers: Further headers, in order.
            body: Its body.
            content_type: The type of the body.
        """
        return self._request(method, self.next_sequence(), branch, headers, body, content_type)

    def next_sequence(self) -> int:
        """Take the number of the next request, which is greater than all before (section 12.2.1.1)."""
        self.sequence += 1
        return self.sequence

    def ack(self, sequence: int, *, branch: str) -> OutgoingRequest:
        """Build the ACK of the 2xx to the INVITE with this number (section 13.2.2.4)."""
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

    @property
    def _first_hop(self) -> str:
        return NameAddr.parse(self.routes[0]).uri if self.routes else self.target

    def server(self, source: Flow) -> Flow:
        """Return where whoever sends from `source` takes requests: of a connection that it has opened, the port is that
        of the first route or of the target.
        """
        if not source.reliable:
            return source
        try:
            return flow_of(self._first_hop, source)._replace(host=source.host)
        except ValueError:
            return source

    def _next_hop(self) -> tuple[Flow, Flow | None]:
        """Return where the next request goes, and where it goes if the connection there is lost.

        The RFC names the first route or the target. But an existing connection is used, and a phone behind
        a NAT, whose Contact is a private address, is reached where its messages come from.
        """
        try:
            wanted = flow_of(self._first_hop, self.flow)
        except ValueError:
            return self.flow, None
        if self.flow.reliable and wanted.transport == self.flow.transport:
            return self.flow, wanted
        private = is_private(wanted.host)
        if private is None or (private and wanted.host != self.flow.host and not is_private(self.flow.host)):
            return self.flow, None
        return wanted, None


class Unacknowledged:
    """A 2xx of ours, which is repeated over every transport until its ACK comes (section 13.3.1.4).

    Args:
        data: The 2xx as it was sent.
        request: The INVITE that it answers.
        source: Where the INVITE came from.
        now: The time in seconds at which the 2xx was sent.
    """

    def __init__(self, data: bytes, request: SipRequest, source: Flow, now: float) -> None:
        self.data, self.request, self.source = data, request, source
        self._interval = T1
        self._repeat_at = now + T1
        self._end_at = now + TIMEOUT

    @property
    def wake_at(self) -> float:
        """When `wake` must be called, in seconds."""
        return min(self._repeat_at, self._end_at)

    def wake(self, now: float) -> bytes | None:
        """Return the bytes to send again, nothing if it is too early, or None when no ACK can come any more."""
        if now >= self._end_at:
            return None
        if now >= self._repeat_at:
            self._interval = min(self._interval * 2, T2)
            self._repeat_at = now + self._interval
            return self.data
        return b""
