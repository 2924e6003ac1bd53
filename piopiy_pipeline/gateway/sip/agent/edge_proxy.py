"""The edge proxy: takes requests of other gateways to the phones that are registered here, and back. No I/O.

A phone behind a NAT is reached by the flow alone on which it registered, and that flow ends at the gateway where it
registered. Another gateway of the cluster therefore sends its INVITE here, with a Route whose token names the flow; the
Record-Route has the rest of the dialog take the same way. The sound does not pass here.

Stateless (RFC 3261, 16.11): the two ends repeat what is lost, and the branch follows from the request, so that CANCEL
and ACK find their way, and a response is only passed on if this process has passed the request on. Nothing is kept.

Source: RFC 3261, section 16; RFC 3327 (Path); RFC 5626, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from piopiy_pipeline.gateway.sip.agent.flow_tokens import FlowToken, FlowTokens
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.sip.syntax.flow import Flow, Transport, flow_of
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse, Via, parse_via
from piopiy_pipeline.gateway.sip.syntax.outgoing_response import reached_via
from piopiy_pipeline.gateway.sip.syntax.uri import NameAddr, SipUri
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OutgoingMessage, TransactionLayer

__all__ = ["FLOW_FAILED", "EdgeProxy"]

FLOW_FAILED = 430
"""The phone is not registered here any more (RFC 5626, section 11.5)."""
_BRANCH = "z9hG4bKedge"
_REWRITTEN = ("via", "route", "record-route", "max-forwards", "content-length")
_BEGIN = ("INVITE", "ACK", "CANCEL")  # what goes to a phone with the token of its registration
_TRANSPORTS = ("udp", "tcp", "tls")


class EdgeProxy:
    """Passes messages on between phones that are registered here and other gateways.

    Args:
        transactions: Sends them.
        registrar: Knows which flows are those of phones.
        stats: What is counted.
        ports: Our port for each transport.
    """

    def __init__(
        self,
        transactions: TransactionLayer,
        registrar: Registrar,
        stats: SipStats,
        *,
        ports: Mapping[str, int],
    ) -> None:
        self._transactions = transactions
        self._registrar = registrar
        self._stats = stats
        self._ports = ports
        self._tokens = FlowTokens()

    def sign_with(self, secret: bytes) -> None:
        """Sign tokens with this from now on, so that they are still good when this gateway was started again."""
        self._tokens = FlowTokens(secret)

    def path(self, flow: Flow, host: str) -> str:
        """Return the URI by which other gateways reach the phone of this flow.

        Args:
            flow: Where the phone's REGISTER came from.
            host: Our address as the other gateways reach it.
        """
        # A hop that loses messages where the phone's does: the ends repeat what only one of them would.
        transport: Transport = "tcp" if flow.reliable and "tcp" in self._ports else "udp"
        if transport not in self._ports:
            transport = "tcp"
        port = self._ports.get(transport, 5060)
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"sip:{self._tokens.write(FlowToken(flow, within=False))}@{at};transport={transport};lr"

    # ------------------------------------------------------------------ requests

    def request(self, request: SipRequest, source: Flow, now: float) -> bool:
        """Pass a request on, or refuse it, if it is to take its way through this proxy. Returns whether it is.

        Args:
            request: A request that came.
            source: Where it came from.
            now: The time in seconds.
        """
        try:
            routes = request.listed("Route")
            users = [SipUri.parse(NameAddr.parse(route).uri).user for route in routes[:2]]
        except ValueError:
            return False
        if not users or not FlowTokens.looks_like_one(users[0]):
            return False
        token = self._tokens.read(users[0])
        if token is None or not self._may_pass(request, token, now):
            self._refuse(request, source, FLOW_FAILED)
            return True
        own = 2 if len(users) == 2 and self._tokens.read(users[1]) is not None else 1
        hops = request.get("Max-Forwards") or "70"
        if int(hops) == 0:
            self._refuse(request, source, 483)
            return True
        try:
            recorded = (
                ()
                if token.within or request.method != "INVITE"
                else self._recorded(request, token.to, source)
            )
        except ValueError:
            self._refuse(request, source, 400)
            return True
        via = reached_via(request, source)
        data = self._written(request, via, token.to, routes[own:], recorded, int(hops) - 1)
        self._stats.passed_on += 1
        # A phone's connection is its own; to a gateway another one can be opened.
        again = token.to if token.within and not self._registrar.here(token.to, now) else None
        self._transactions.put(OutgoingMessage(data, token.to, again))
        return True

    def _may_pass(self, request: SipRequest, token: FlowToken, now: float) -> bool:
        if not token.within:  # a call begins
            # A connection ends with the process, or the phone; what came as datagrams goes there still.
            return request.method in _BEGIN and (
                request.method != "INVITE" or not token.to.reliable or self._registrar.here(token.to, now)
            )
        return bool(request.to.tag) or request.method == "CANCEL"

    def _recorded(self, request: SipRequest, phone: Flow, source: Flow) -> tuple[str, ...]:
        """Return the Record-Route of an INVITE: the phone takes the first, the gateway that calls the second.

        They differ, because each says where it leads, and the two may reach us by different addresses (RFC 5658).
        """
        contacts = request.addresses("Contact")
        if len(contacts) != 1:
            raise ValueError("one Contact is needed")
        gateway = flow_of(contacts[0].uri, source)._replace(transport=source.transport)
        return self._own_uri(phone, to=gateway), self._own_uri(gateway, to=phone)

    def _own_uri(self, peer: Flow, *, to: Flow) -> str:
        token = self._tokens.write(FlowToken(to, within=True))
        return f"<sip:{token}@{self._transactions.sent_by(peer)};transport={peer.transport};lr>"

    def _written(
        self,
        request: SipRequest,
        via: str,
        to: Flow,
        routes: list[str],
        recorded: tuple[str, ...],
        hops: int,
    ) -> bytes:
        sent_by = self._transactions.sent_by(to)
        branch = self._branch(parse_via(via), request.cseq.sequence)
        lines = [
            f"{request.method} {request.uri} SIP/2.0",
            f"Via: SIP/2.0/{to.transport.upper()} {sent_by};branch={branch};rport",
            f"Via: {via}",
            *(f"Via: {one}" for one in request.vias[1:]),
            f"Max-Forwards: {hops}",
            *(f"Route: {route}" for route in routes),
            *(f"Record-Route: {one}" for one in recorded),
            *(f"Record-Route: {value}" for value in request.headers.getlist("Record-Route")),
        ]
        return _message(lines, request, request.body)

    def _refuse(self, request: SipRequest, source: Flow, code: int) -> None:
        if request.method != "ACK":
            self._transactions.refuse(request, source, code)

    # ------------------------------------------------------------------ responses

    def response(self, response: SipResponse) -> bool:
        """Pass a response on if this proxy has passed its request on. Returns whether it looks as if."""
        if not response.via.branch.startswith(_BRANCH):
            return False
        via = None
        with suppress(IndexError, ValueError):
            via = parse_via(response.vias[1])
        if via is None or response.via.branch != self._branch(via, response.cseq.sequence):
            self._stats.strays += 1
            return True
        transport = via.transport.lower()
        port = via.parameters.get("rport", "")
        host = via.parameters.get("received") or via.host
        if transport not in _TRANSPORTS:
            self._stats.strays += 1
            return True
        listens = Flow(cast("Transport", transport), host, via.port or 5060)
        to = listens._replace(port=int(port)) if port.isdigit() else listens
        lines = [f"SIP/2.0 {response.code} {response.phrase}", *(f"Via: {one}" for one in response.vias[1:])]
        lines += [f"Record-Route: {value}" for value in response.headers.getlist("Record-Route")]
        self._stats.passed_on += 1
        data = _message(lines, response, response.body)
        self._transactions.put(OutgoingMessage(data, to, listens if to.reliable else None))
        return True

    def _branch(self, via: Via, sequence: int) -> str:
        """Return the branch with which a request is passed on that has this Via on top."""
        parts = (
            via.transport,
            via.host.lower(),
            via.port,
            via.parameters.get("branch"),
            via.parameters.get("received"),
            via.parameters.get("rport"),
            sequence,
        )
        return _BRANCH + self._tokens.mac(repr(parts).encode("utf-8", "surrogateescape")).hex()


def _message(lines: list[str], message: SipRequest | SipResponse, body: bytes) -> bytes:
    """Return a message with these lines in place of the headers that a proxy rewrites."""
    names = message.headers.keys()
    for name in names:
        if name.lower() not in _REWRITTEN:
            lines += [f"{name}: {value}" for value in message.headers.getlist(name)]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
