"""The SIP user agent: it finds the transaction or call of every message, or refuses the message. No I/O.

It takes bytes and the time, and leaves in `take_outbox` what is to be sent; `wake_at` is the time at which
`wake` must be called. The sockets are in `transport`. Everything that it holds is bounded by its configuration.

Its tests are those of the calls and of the admission: `tests/gateway/sip/dialog` and `tests/gateway/sip/agent`.

Source: RFC 3261, sections 8.2, 9.2, 11, 12.2.2 and 17.2.3.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from loguru import logger

from piopiy_pipeline.gateway.sip.agent.admission import AdmissionControl
from piopiy_pipeline.gateway.sip.agent.call_table import CallTable
from piopiy_pipeline.gateway.sip.agent.edge_proxy import EdgeProxy
from piopiy_pipeline.gateway.sip.agent.location import CannotCall, LocationService, NextHop
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar
from piopiy_pipeline.gateway.sip.agent.registration import Registration
from piopiy_pipeline.gateway.sip.agent.user_agent_server import UserAgentListener, UserAgentServer
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener
from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.restored_call import RestoredCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import MalformedMessage, SipRequest, SipResponse, parse
from piopiy_pipeline.gateway.sip.syntax.methods import unsupported
from piopiy_pipeline.gateway.sip.syntax.outgoing_response import reason_phrase
from piopiy_pipeline.gateway.sip.transaction.state_machines import ServerInvite
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OutgoingMessage, TransactionLayer

__all__ = ["CannotCall", "OutgoingMessage", "SipUserAgent"]


class SipUserAgent:
    """A user agent: client and server in one. Requests outside of dialogs are for the `UserAgentServer`.

    Args:
        config: Who may call, which number reaches which agent, and the limits.
        listener: What incoming calls are reported to.
        address_for: Gives the address by which the peer at an address reaches us.
        ports: Our port for each transport; they may become known later.
        token: Makes text that nobody can guess, for tags and branches.
        on_output: Called when `take_outbox` has something to give.
    """

    def __init__(
        self,
        config: SipConfig,
        listener: UserAgentListener,
        *,
        address_for: Callable[[str], str],
        ports: Mapping[str, int],
        token: Callable[[], str] = lambda: secrets.token_hex(10),
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.stats = SipStats()
        self.admission = AdmissionControl(config)
        self.registrar = Registrar()
        self.location = LocationService(config, self.registrar, address_for)
        self._transactions = TransactionLayer(
            self.stats,
            max_transactions=config.max_transactions,
            address_for=address_for,
            ports=ports,
            token=token,
            on_output=on_output,
        )
        self.edge_proxy = EdgeProxy(self._transactions, self.registrar, self.stats, ports=ports)
        self._calls = CallTable(on_removed=self._transactions.timers.forget)
        self._server = UserAgentServer(
            config,
            listener,
            transactions=self._transactions,
            calls=self._calls,
            admission=self.admission,
            registrar=self.registrar,
            stats=self.stats,
        )
        self.registrations = {
            name: Registration(self._transactions, name, trunk)
            for name, trunk in config.trunks.items()
            if trunk.register_there
        }

    # ------------------------------------------------------------------ used by the transport

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        return self._transactions.timers.next_at

    def wake(self, now: float) -> None:
        """Act on timers that are due. Call it at the time `wake_at`."""
        self._transactions.timers.run_due(now)

    def take_outbox(self) -> list[OutgoingMessage]:
        """Take the messages that are to be sent, in order."""
        return self._transactions.take_outbox()

    def undelivered(self, key: tuple[str, ...], now: float) -> None:
        """Handle that the message with this key could not be sent (section 17.1.4)."""
        self._transactions.undelivered(key, now)

    def receive(self, data: bytes, source: Flow, now: float) -> None:
        """Handle a message.

        Args:
            data: The message; of a connection, exactly one.
            source: Where it came from.
            now: The time in seconds.
        """
        if not data.strip(b"\r\n\0 "):
            return  # a keep-alive (RFC 5626, 3.5)
        self.stats.received += 1
        try:
            message = parse(data, stream=source.reliable)
        except MalformedMessage as error:
            self.stats.malformed += 1
            if error.refusal is not None and not self._server.flooding(source, now):
                self._server.count_refusal(source, now)
                self._transactions.refuse(error.refusal, source, error.code, phrase=reason_phrase(str(error)))
            return
        try:
            if isinstance(message, SipResponse):
                if not self.edge_proxy.response(message):
                    self._transactions.response_came(message, source, now)
            elif not self.edge_proxy.request(message, source, now):
                self._request_came(message, source, now)
        except Exception:
            # A listener failed. No other call is to notice, and no transaction stays open for ever.
            logger.exception("sip: a message of {} could not be handled", source)
            if isinstance(message, SipRequest):
                self._transactions.respond(message, source, 500, to_tag=self._transactions.token(), now=now)

    # ------------------------------------------------------------------ used by the gateway

    @property
    def calls(self) -> list[SipCall]:
        """All calls that still need messages, also those that have just ended."""
        return self._calls.all()

    @property
    def transactions(self) -> int:
        """How many transactions there are, of both directions."""
        return len(self._transactions.servers) + len(self._transactions.clients)

    @property
    def unanswered(self) -> bool:
        """Whether a request of ours still waits for its final response."""
        return self._transactions.unanswered

    def begin_registrations(self, now: float) -> None:
        """Register with the trunks that the configuration says."""
        for registration in self.registrations.values():
            registration.begin(now)

    def drain(self, *, on: bool) -> None:
        """Refuse further calls of others, with 503 and Retry-After, or take them again."""
        self._server.draining = on

    def close(self, now: float) -> None:
        """Hang up all calls, unregister, and refuse further calls."""
        self._server.closing = True
        for registration in self.registrations.values():
            registration.stop(now)
        for call in self.calls:
            call.hangup(now)

    def invite(
        self,
        to: str,
        offer: SessionDescription,
        listener: CallListener,
        *,
        now: float,
        trunk: str | None = None,
        hop: NextHop | None = None,
        from_user: str = "",
        from_name: str = "",
        headers: Mapping[str, str] | None = None,
        ring_timeout_s: float | None = None,
    ) -> OutgoingCall:
        """Begin a call.

        Args:
            to: The user of a registered phone, a ``sip:`` URI, or a number.
            offer: Our session description.
            listener: What the call reports to.
            now: The time in seconds.
            trunk: The name of the trunk to call through; None: the first one, where a trunk is needed.
            hop: Where the call goes; None: it is found by `to` and `trunk`.
            from_user: The number or name to show; empty: the user of the trunk, or none.
            from_name: The display name to show.
            headers: Further headers of the INVITE.
            ring_timeout_s: How long it may ring, in seconds; None: as configured.

        Raises:
            CannotCall: `to` cannot be reached, or `headers` has one that may not be set.
        """
        if self._server.closing:
            raise CannotCall("the gateway is shutting down")
        hop = hop or self.location.next_hop(to, trunk, now)
        try:
            call = OutgoingCall(
                self._transactions,
                uri=hop.uri,
                flow=hop.flow,
                or_else=hop.or_else,
                route=hop.route,
                offer=offer,
                listener=listener,
                host=hop.host,
                from_user=from_user or hop.user,
                from_name=from_name,
                headers=headers or {},
                credentials=hop.credentials,
                ring_timeout_s=ring_timeout_s or self.config.ring_timeout_s,
            )
        except ValueError as error:
            raise CannotCall(str(error)) from None
        self._calls.add(call)
        self.stats.calls_out += 1
        call.begin(now)
        return call

    def is_here(self, kept: KeptDialog) -> bool:
        """Return whether the other side of this dialog reaches this user agent at the address that it knows."""
        return self._transactions.sent_by(kept.flow) == kept.sent_by

    def restore(self, kept: KeptDialog, now: float) -> RestoredCall:
        """Go on with a call of a process that was here before.

        Raises:
            ValueError: What was kept of it cannot be used here: it was at another address, say.
        """
        if not self.is_here(kept):
            raise ValueError(f"it was at {kept.sent_by}, and that is not here")
        call = RestoredCall(self._transactions, kept, now, self.location.credentials(kept))
        self._calls.add(call)
        return call

    # ------------------------------------------------------------------ requests that came

    def _request_came(self, request: SipRequest, source: Flow, now: float) -> None:
        server = self._transactions.servers.get(request.transaction_key())
        if server is not None:
            if request.method == "ACK":
                transaction = server.transaction
                if not (isinstance(transaction, ServerInvite) and transaction.ack(now)):
                    self._ack_came(request, now)
                self._transactions.timers.set(server)
            else:
                self.stats.retransmissions += 1
                self._transactions.came_again(server)
        elif request.method == "ACK":
            self._ack_came(request, now)
        elif request.method == "CANCEL":
            self._cancel_came(request, source, now)
        elif self._transactions.full(source.host):
            self.stats.over_limit += 1
            self._transactions.refuse(request, source, 503, headers=(("Retry-After", "5"),))
        elif request.to.tag:
            self._within_dialog(request, source, now)
        else:
            self._server.handle(request, source, now)

    def _ack_came(self, request: SipRequest, now: float) -> None:
        call = self._calls.owner_of(request)
        if call is None:
            self.stats.strays += 1
        else:
            call.acked(request, now)

    def _cancel_came(self, request: SipRequest, source: Flow, now: float) -> None:
        """Respond to a CANCEL, and let the call decide what happens to the INVITE (section 9.2)."""
        server = self._transactions.servers.get(request.transaction_key("INVITE"))
        if server is None:
            self.stats.strays += 1
            self._transactions.refuse(request, source, 481)
            return
        self._transactions.open(request, source)
        tag = server.to_tag or self._transactions.token()
        self._transactions.respond(request, source, 200, to_tag=tag, now=now)
        if server.on_cancel is not None:
            server.on_cancel(now)

    def _within_dialog(self, request: SipRequest, source: Flow, now: float) -> None:
        call = self._calls.owner_of(request)
        if call is None:
            self.stats.strays += 1
            self._transactions.refuse(request, source, 481)
            return
        self._transactions.open(request, source)
        missing = unsupported(request)
        if missing:
            self._transactions.respond(request, source, 420, headers=(("Unsupported", missing),), now=now)
        else:
            call.receive(request, source, now)
