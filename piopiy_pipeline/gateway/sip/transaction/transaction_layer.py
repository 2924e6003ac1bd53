"""The transaction layer: it sends every message of ours, and finds who waits for each response. No I/O.

It stands between the dialogs and the registrations, which use transactions, and the sockets, which carry
messages.

Its tests are those of the calls (`tests/gateway/sip/dialog`), which go through it.

Source: RFC 3261, sections 8.2.6, 8.2.7, 17 and 18.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from piopiy_pipeline.gateway.access.networks import client_network
from piopiy_pipeline.gateway.core.timer_queue import TimerOwner, TimerQueue
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.outgoing_response import reply, reply_flow
from piopiy_pipeline.gateway.sip.syntax.uri import escaped_user
from piopiy_pipeline.gateway.sip.transaction.state_machines import (
    ClientInvite,
    ClientRequest,
    ServerInvite,
    ServerRequest,
    TransactionStep,
)

__all__ = ["OnLost", "OnResponse", "OutgoingMessage", "ServerTransaction", "TransactionLayer"]

OnResponse = Callable[[SipResponse, Flow, float], None]
"""Called with a response to a request of ours, where it came from, and the time in seconds."""
OnLost = Callable[[int, float], None]
"""Called with 408 when nobody answered, and 503 when nothing could be sent; and with the time in seconds."""


class OutgoingMessage(NamedTuple):
    """One message to be sent. Only requests may open a connection."""

    data: bytes
    flow: Flow
    or_else: Flow | None = None
    """Where to send it when the connection of `flow` is gone."""
    key: tuple[str, ...] | None = None
    """The argument of `TransactionLayer.undelivered`; None when nobody waits for the message."""


class ClientTransaction:
    """A transaction of ours, and who waits for its responses."""

    def __init__(
        self,
        layer: TransactionLayer,
        key: tuple[str, ...],
        transaction: ClientInvite | ClientRequest,
        on_response: OnResponse,
        on_lost: OnLost,
    ) -> None:
        self.layer, self.key, self.transaction = layer, key, transaction
        self.on_response, self.on_lost = on_response, on_lost

    @property
    def wake_at(self) -> float | None:
        return self.transaction.wake_at

    def wake(self, now: float) -> None:
        self.layer.client_step(self, self.transaction.wake(now), now)


class ServerTransaction:
    """A transaction that somebody else began."""

    def __init__(
        self,
        layer: TransactionLayer,
        key: tuple[str, ...],
        transaction: ServerInvite | ServerRequest,
        request: SipRequest,
        source: Flow,
    ) -> None:
        self.layer, self.key, self.transaction = layer, key, transaction
        self.request, self.source = request, source
        self.to_tag = ""
        """The tag of our responses, once the transaction belongs to a dialog."""
        self.on_cancel: Callable[[float], None] | None = None
        """Called with the time in seconds when the other side cancels its INVITE."""

    @property
    def wake_at(self) -> float | None:
        return self.transaction.wake_at

    def wake(self, now: float) -> None:
        step = self.transaction.wake(now)
        self.layer.put_reply(self, step.send)
        if self.transaction.done:
            self.layer.close(self)


class TransactionLayer:
    """All transactions of a user agent. Times are in seconds of the event loop's clock.

    Args:
        stats: What is counted.
        max_transactions: The bound of each direction.
        address_for: Gives the address by which the peer at an address reaches us.
        ports: Our port for each transport; they may become known later.
        token: Makes text that nobody can guess, for tags and branches.
        on_output: Called when `take_outbox` has something to give.
    """

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
        """Makes text that nobody can guess, for tags and branches."""
        self.timers = TimerQueue()
        self.servers: dict[tuple[str, ...], ServerTransaction] = {}
        self.clients: dict[tuple[str, ...], ClientTransaction] = {}
        self._stats = stats
        self._max_transactions = max_transactions
        self._address_for, self._ports = address_for, ports
        self._on_output = on_output
        self._per_network: Counter[str] = Counter()
        self._secret = secrets.token_bytes(16)
        self._outbox: list[OutgoingMessage] = []

    # ------------------------------------------------------------------ used by dialogs and registrations

    def branch(self) -> str:
        """Return a new branch for the Via of a request."""
        return "z9hG4bK" + self.token()

    def contact(self, flow: Flow, user: str) -> str:
        """Return our Contact for peers on this flow, in angle brackets."""
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"<sip:{escaped_user(user)}{'@' if user else ''}{self.sent_by(flow)}{transport}>"

    def sent_by(self, flow: Flow) -> str:
        """Return our address for the Via of requests on this flow, ``host:port``."""
        host = self._address_for(flow.host)
        port = self._ports.get(flow.transport, 5060)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, request: OutgoingRequest) -> None:
        """Send a request outside of any transaction: an ACK."""
        self.put(OutgoingMessage(bytes(request), request.flow, request.or_else))

    def send_again(self, data: bytes, request: SipRequest, source: Flow) -> None:
        """Send a response once more, outside of its transaction: a 2xx to `request`, which came from `source`."""
        self.put(OutgoingMessage(data, reply_flow(request, source)))

    def begin(self, request: OutgoingRequest, on_response: OnResponse, on_lost: OnLost, now: float) -> None:
        """Send a request in a transaction of its own.

        Args:
            request: What to send.
            on_response: Called with each response that counts.
            on_lost: Called instead when there is none. It is called at once when there are too many transactions.
            now: The time in seconds.
        """
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
        """Bound the wait for an INVITE of ours that was cancelled to 64*T1 (section 9.1)."""
        client = self.clients.get((request.branch, request.method))
        if client is not None and isinstance(client.transaction, ClientInvite):
            client.transaction.give_up(now)
            self.timers.set(client)

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
        """Respond in the transaction of a request; the arguments are those of `reply`.

        Returns:
            The response as it was sent.
        """
        data = reply(request, source, code, phrase, to_tag=to_tag, headers=headers, body=body)
        server = self.servers.get(request.transaction_key())
        if server is not None:
            self.put_reply(server, server.transaction.respond(data, code, now).send)
            self.timers.set(server)
        return data

    def set_timer(self, owner: TimerOwner) -> None:
        """Read the `wake_at` of a dialog or registration again, because it may have changed."""
        self.timers.set(owner)

    # ------------------------------------------------------------------ used by the user agent

    def full(self, host: str) -> bool:
        """Return whether others have begun too many transactions, or one address or IPv6 network has."""
        return len(self.servers) >= self._max_transactions or self._per_network[client_network(host)] >= max(
            1, self._max_transactions // 4
        )

    @property
    def unanswered(self) -> bool:
        """Whether a request of ours still waits for its final response."""
        return any(not client.transaction.answered for client in self.clients.values())

    def take_outbox(self) -> list[OutgoingMessage]:
        """Take the messages that are to be sent, in order."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def undelivered(self, key: tuple[str, ...], now: float) -> None:
        """Handle that the message with this key could not be sent (section 17.1.4)."""
        self._stats.unreachable += 1
        client = self.clients.pop(key, None)
        if client is not None:
            self.timers.forget(client)
            client.on_lost(503, now)

    def response_came(self, response: SipResponse, source: Flow, now: float) -> None:
        """Give a response to the transaction that it belongs to, if there is one."""
        client = self.clients.get((response.via.branch, response.cseq.method))
        if client is None:
            self._stats.strays += 1
            return
        step = client.transaction.receive(response, now)
        self.client_step(client, step, now)
        if step.response is not None:
            client.on_response(step.response, source, now)

    def came_again(self, server: ServerTransaction) -> None:
        """Handle that the request of this transaction was received once more."""
        self.put_reply(server, server.transaction.again().send)

    def open(self, request: SipRequest, source: Flow) -> ServerTransaction:
        """Begin a transaction for a request of somebody else."""
        key = request.transaction_key()
        kind = ServerInvite if request.method == "INVITE" else ServerRequest
        server = ServerTransaction(self, key, kind(reliable=source.reliable), request, source)
        self.servers[key] = server
        self._per_network[client_network(source.host)] += 1
        return server

    def close(self, server: ServerTransaction) -> None:
        """Forget a transaction of somebody else."""
        if self.servers.pop(server.key, None) is not None:
            network = client_network(server.source.host)
            self._per_network[network] -= 1
            if not self._per_network[network]:
                del self._per_network[network]

    def refuse(
        self,
        request: SipRequest,
        source: Flow,
        code: int,
        *,
        phrase: str = "",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Refuse a request without a transaction, in the same way each time it comes again (section 8.2.7).

        Args:
            request: The request.
            source: Where it came from.
            code: The status of the response.
            phrase: The reason phrase. Empty: the one that belongs to the status.
            headers: Further headers of the response.
        """
        key = repr((request.vias[0], request.get("Call-ID"))).encode("utf-8", "surrogateescape")
        tag = hashlib.blake2s(key, key=self._secret, digest_size=8).hexdigest()
        data = reply(request, source, code, phrase, to_tag=tag, headers=headers)
        self.put(OutgoingMessage(data, reply_flow(request, source)))

    # ------------------------------------------------------------------ used by the transactions

    def client_step(self, client: ClientTransaction, step: TransactionStep, now: float) -> None:
        """Carry out what a transaction of ours asks for."""
        if client.transaction.done:
            self.clients.pop(client.key, None)
        request = client.transaction.request
        if step.send is not None:
            self.put(OutgoingMessage(step.send, request.flow, request.or_else, client.key))
        self.timers.set(client)
        if step.timed_out:
            client.on_lost(408, now)

    def put_reply(self, server: ServerTransaction, data: bytes | None) -> None:
        """Send this response, if there is one."""
        if data is not None:
            self.put(OutgoingMessage(data, reply_flow(server.request, server.source)))

    def put(self, message: OutgoingMessage) -> None:
        """Send a message outside of any transaction."""
        self._outbox.append(message)
        if len(self._outbox) == 1:
            self._on_output()
