"""Transactions, kept: every message that goes out leaves through here, every reply finds who waits for it. No I/O.

It stands between the user agent, which decides, and the sockets, which carry; calls see it as their `Line`.

Source: RFC 3261, sections 8.2.6, 8.2.7, 17 and 18.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from piopiy_pipeline.gateway.access.networks import client_network
from piopiy_pipeline.gateway.sip.agent.stats import SipStats
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipRequest, SipResponse, reply, reply_flow
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.uri import escaped_user
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import OnLost, OnResponse
from piopiy_pipeline.gateway.sip.transaction.state_machines import (
    ClientInvite,
    ClientRequest,
    ServerInvite,
    ServerRequest,
    TransactionStep,
)
from piopiy_pipeline.gateway.sip.transaction.timers import TimerOwner, TimerQueue

__all__ = ["OutgoingMessage", "ServerTransaction", "TransactionLayer"]


class OutgoingMessage(NamedTuple):
    """One message to be sent. Only requests may open a connection."""

    data: bytes
    flow: Flow
    or_else: Flow | None = None
    key: tuple[str, ...] | None = None
    """What to tell `SipUserAgent.undelivered`; None: nobody waits for it."""


class ClientTransaction:
    """A transaction of ours, and who waits for it."""

    def __init__(
        self,
        exchange: TransactionLayer,
        key: tuple[str, ...],
        transaction: ClientInvite | ClientRequest,
        on_response: OnResponse,
        on_lost: OnLost,
    ) -> None:
        self.exchange, self.key, self.transaction = exchange, key, transaction
        self.on_response, self.on_lost = on_response, on_lost

    @property
    def wake_at(self) -> float | None:
        return self.transaction.wake_at

    def wake(self, now: float) -> None:
        self.exchange.client_step(self, self.transaction.wake(now), now)


class ServerTransaction:
    """A transaction of somebody else's, and the call that it is about."""

    def __init__(
        self,
        exchange: TransactionLayer,
        key: tuple[str, ...],
        transaction: ServerInvite | ServerRequest,
        request: SipRequest,
        source: Flow,
    ) -> None:
        self.exchange, self.key, self.transaction = exchange, key, transaction
        self.request, self.source = request, source
        self.call: IncomingCall | None = None

    @property
    def wake_at(self) -> float | None:
        return self.transaction.wake_at

    def wake(self, now: float) -> None:
        step = self.transaction.wake(now)
        self.exchange.put_reply(self, step.send)
        if self.transaction.done:
            self.exchange.close(self)


class TransactionLayer:
    """See the module. Implements `Line`. `max_transactions` bounds each direction."""

    def __init__(
        self,
        stats: SipStats,
        *,
        max_transactions: int,
        address_for: Callable[[str], str],
        ports: Mapping[str, int],
        token: Callable[[], str],
        on_output: Callable[[], None],
    ) -> None:
        self.token = token
        self.alarms = TimerQueue()
        self.servers: dict[tuple[str, ...], ServerTransaction] = {}
        self.clients: dict[tuple[str, ...], ClientTransaction] = {}
        self._stats = stats
        self._max_transactions = max_transactions
        self._address_for, self._ports = address_for, ports
        self._on_output = on_output
        self._per_source: Counter[str] = Counter()
        self._secret = secrets.token_bytes(16)
        self._outbox: list[OutgoingMessage] = []

    def full(self, host: str) -> bool:
        """Whether there are too many requests of others, or of this one."""
        return len(self.servers) >= self._max_transactions or self._per_source[client_network(host)] >= max(
            1, self._max_transactions // 4
        )

    @property
    def unanswered(self) -> bool:
        """Whether a request of ours still waits for its final response."""
        return any(not client.transaction.answered for client in self.clients.values())

    def take_outbox(self) -> list[OutgoingMessage]:
        """What is to be sent, in order."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def undelivered(self, key: tuple[str, ...], now: float) -> None:
        """A request of ours could not be sent: 17.1.4."""
        self._stats.unreachable += 1
        client = self.clients.pop(key, None)
        if client is not None:
            self.alarms.forget(client)
            client.on_lost(503, now)

    def contact(self, flow: Flow, user: str) -> str:
        """Our Contact for peers on this flow."""
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"<sip:{escaped_user(user)}{'@' if user else ''}{self.sent_by(flow)}{transport}>"

    def sent_by(self, flow: Flow) -> str:
        """Our address for Via."""
        host = self._address_for(flow.host)
        port = self._ports.get(flow.transport, 5060)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, request: OutgoingRequest) -> None:
        """Send outside of any transaction."""
        self._put(OutgoingMessage(bytes(request), request.flow, request.or_else))

    def send_again(self, data: bytes, request: SipRequest, source: Flow) -> None:
        """Send a response outside of its transaction."""
        self._put(OutgoingMessage(data, reply_flow(request, source)))

    def begin(self, request: OutgoingRequest, on_response: OnResponse, on_lost: OnLost, now: float) -> None:
        """Send a request in a transaction of its own."""
        if len(self.clients) >= self._max_transactions:
            self._stats.over_limit += 1
            on_lost(503, now)
            return
        key = (request.branch, request.method)
        kind = ClientInvite if request.method == "INVITE" else ClientRequest
        client = ClientTransaction(self, key, kind(request, now), on_response, on_lost)
        self.clients[key] = client
        self.client_step(client, client.transaction.begin(), now)

    def give_up(self, request: OutgoingRequest, now: float) -> None:
        """An INVITE of ours was cancelled."""
        client = self.clients.get((request.branch, request.method))
        if client is not None and isinstance(client.transaction, ClientInvite):
            client.transaction.give_up(now)
            self.alarms.set(client)

    def reset_alarm(self, sleeper: TimerOwner) -> None:
        """Look at its `wake_at` again."""
        self.alarms.set(sleeper)

    def respond(
        self,
        request: SipRequest,
        source: Flow,
        code: int,
        phrase: str = "",
        *,
        to_tag: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        now: float,
    ) -> bytes:
        """Respond in the request's transaction."""
        data = reply(request, source, code, phrase, to_tag=to_tag, headers=headers, body=body)
        server = self.servers.get(request.transaction_key())
        if server is not None:
            self.put_reply(server, server.transaction.respond(data, code, now).send)
            self.alarms.set(server)
        return data

    def client_step(self, client: ClientTransaction, step: TransactionStep, now: float) -> None:
        """Do what a transaction of ours wants done."""
        if client.transaction.done:
            self.clients.pop(client.key, None)
        request = client.transaction.request
        if step.send is not None:
            self._put(OutgoingMessage(step.send, request.flow, request.or_else, client.key))
        self.alarms.set(client)
        if step.timed_out:
            client.on_lost(408, now)

    def put_reply(self, server: ServerTransaction, data: bytes | None) -> None:
        """Send this reply, if there is one."""
        if data is not None:
            self._put(OutgoingMessage(data, reply_flow(server.request, server.source)))

    def came_again(self, server: ServerTransaction) -> None:
        """A request came that has been here before."""
        self.put_reply(server, server.transaction.again().send)

    def _put(self, packet: OutgoingMessage) -> None:
        self._outbox.append(packet)
        if len(self._outbox) == 1:
            self._on_output()

    def response_came(self, response: SipResponse, source: Flow, now: float) -> None:
        """A response came: to a transaction of ours, or to nothing."""
        client = self.clients.get((response.via.branch, response.cseq.method))
        if client is None:
            self._stats.strays += 1
            return
        step = client.transaction.receive(response, now)
        self.client_step(client, step, now)
        if step.response is not None:
            client.on_response(step.response, source, now)

    def open(self, request: SipRequest, source: Flow) -> ServerTransaction:
        """A request of somebody else's begins a transaction."""
        key = request.transaction_key()
        kind = ServerInvite if request.method == "INVITE" else ServerRequest
        server = ServerTransaction(self, key, kind(reliable=source.reliable), request, source)
        self.servers[key] = server
        self._per_source[client_network(source.host)] += 1
        return server

    def close(self, server: ServerTransaction) -> None:
        """A transaction of somebody else's is over."""
        if self.servers.pop(server.key, None) is not None:
            network = client_network(server.source.host)
            self._per_source[network] -= 1
            if not self._per_source[network]:
                del self._per_source[network]

    def refuse(
        self,
        request: SipRequest,
        source: Flow,
        code: int,
        *,
        phrase: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Refuse without a transaction, the same way each time it comes again: 8.2.7."""
        key = repr((request.vias[0], request.get("Call-ID"))).encode("utf-8", "surrogateescape")
        tag = hashlib.blake2s(key, key=self._secret, digest_size=8).hexdigest()
        data = reply(request, source, code, phrase, to_tag=tag, headers=headers)
        self._put(OutgoingMessage(data, reply_flow(request, source)))
