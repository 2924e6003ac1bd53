"""The SIP user agent: every message that comes finds its transaction, its call, or its refusal here. No I/O.

It takes bytes and the time, and leaves in `take_outbox` what is to be sent; `wake_at` says when it wants to
be woken. Sockets are `transport`'s. Everything that it holds is bounded by its configuration.

Source: RFC 3261, sections 8.2, 9.2, 11, 12.2.2 and 17.2.3.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping

from loguru import logger

from piopiy_pipeline.gateway.access.networks import client_network
from piopiy_pipeline.gateway.sip.agent.admission import AdmissionControl, RequestDenied
from piopiy_pipeline.gateway.sip.agent.location import CannotCall, LocationService
from piopiy_pipeline.gateway.sip.agent.options_ping import Answered, ask
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar, RegistrarAnswer
from piopiy_pipeline.gateway.sip.agent.registration import Registration
from piopiy_pipeline.gateway.sip.agent.stats import SipStats
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall, unacceptable
from piopiy_pipeline.gateway.sip.dialog.listeners import CallListener, UserAgentListener
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.message import (
    Flow,
    MalformedMessage,
    SipRequest,
    SipResponse,
    parse,
)
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW, KNOWN_METHODS, SUPPORTED
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri, UnknownScheme
from piopiy_pipeline.gateway.sip.transaction.state_machines import ServerInvite
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OutgoingMessage, TransactionLayer

__all__ = ["CannotCall", "OutgoingMessage", "SipUserAgent"]


class SipUserAgent:
    """Server and client in one. `address_for(peer)` is the address by which that peer reaches us."""

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
        self.doorman = AdmissionControl(config)
        self.registrar = Registrar()
        self._listener = listener
        self.directory = LocationService(config, self.registrar, address_for)
        self._exchange = TransactionLayer(
            self.stats,
            max_transactions=config.max_transactions,
            address_for=address_for,
            ports=ports,
            token=token,
            on_output=on_output,
        )
        self._calls: dict[tuple[str, str], SipCall] = {}
        self._offered: dict[tuple[str, str, int], IncomingCall] = {}
        self._per_source: Counter[str] = Counter()
        self._closing = False
        self.registrations = {
            name: Registration(self._exchange, name, trunk)
            for name, trunk in config.trunks.items()
            if trunk.register_there
        }
        self._methods: dict[str, Callable[[SipRequest, Flow, float], None]] = {
            "INVITE": self._invite_came,
            "REGISTER": self._register_came,
            "OPTIONS": self._options_came,
        }

    # Towards the sockets.

    @property
    def wake_at(self) -> float | None:
        """When it wants to be woken."""
        return self._exchange.alarms.next_at

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._exchange.alarms.ring(now)

    def take_outbox(self) -> list[OutgoingMessage]:
        """What is to be sent, in order."""
        return self._exchange.take_outbox()

    def undelivered(self, key: tuple[str, ...], now: float) -> None:
        """A request of ours could not be sent: 17.1.4."""
        self._exchange.undelivered(key, now)

    def receive(self, data: bytes, source: Flow, now: float) -> None:
        """A message came."""
        if not data.strip(b"\r\n\0 "):
            return  # a keep-alive (RFC 5626, 3.5)
        self.stats.received += 1
        try:
            message = parse(data, stream=source.reliable)
        except MalformedMessage as error:
            self.stats.malformed += 1
            if error.refusal is not None and not self._floods(source, now):
                self._refused(source, now)
                self._exchange.refuse(error.refusal, source, error.code, phrase=_phrase(str(error)))
            return
        try:
            if isinstance(message, SipResponse):
                self._exchange.response_came(message, source, now)
            else:
                self._request_came(message, source, now)
        except Exception:
            # Whoever listens failed. No other call is to notice, and no transaction stays open for ever.
            logger.exception("sip: a message of {} could not be handled", source)
            if isinstance(message, SipRequest):
                self._exchange.respond(message, source, 500, to_tag=self._exchange.token(), now=now)

    # Towards the gateway.

    @property
    def calls(self) -> list[SipCall]:
        """All calls that need messages still, also those that have just ended."""
        return list(self._calls.values())

    @property
    def transactions(self) -> int:
        """How many transactions are held."""
        return len(self._exchange.servers) + len(self._exchange.clients)

    @property
    def unanswered(self) -> bool:
        """Whether a request of ours still waits for its final response."""
        return self._exchange.unanswered

    def begin_registrations(self, now: float) -> None:
        """Register wherever the configuration says."""
        for registration in self.registrations.values():
            registration.begin(now)

    def close(self, now: float) -> None:
        """Hang up, unregister, and take no more calls."""
        self._closing = True
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
        from_user: str = "",
        from_name: str = "",
        headers: Mapping[str, str] | None = None,
        ring_timeout_s: float | None = None,
    ) -> SipCall:
        """Call `to`: a registered phone's user, a `sip:` URI, or a number through a trunk (the first, or `trunk`).

        Raises `CannotCall`, also for headers that may not be set.
        """
        if self._closing:
            raise CannotCall("the gateway is shutting down")
        way = self.directory.way_to(to, trunk, now)
        try:
            call = OutgoingCall(
                self._exchange,
                uri=way.uri,
                flow=way.flow,
                or_else=way.or_else,
                offer=offer,
                listener=listener,
                host=way.host,
                from_user=from_user or way.user,
                from_name=from_name,
                headers=headers or {},
                credentials=way.credentials,
                ring_timeout_s=ring_timeout_s or self.config.ring_timeout_s,
            )
        except ValueError as error:
            raise CannotCall(str(error)) from None
        self._keep(call)
        self.stats.calls_out += 1
        call.begin(now)
        return call

    def ping(self, to: str, done: Answered, *, now: float, trunk: str | None = None) -> None:
        """Ask whether anybody answers there (OPTIONS, 11). `done` is told the status: 408 for silence, 503 for no way.

        Raises `CannotCall`.
        """
        ask(self._exchange, self.directory.way_to(to, trunk, now), done, now)

    # Requests of others.

    def _request_came(self, request: SipRequest, source: Flow, now: float) -> None:
        server = self._exchange.servers.get(request.transaction_key())
        if server is not None:
            if request.method == "ACK":
                transaction = server.transaction
                if not (isinstance(transaction, ServerInvite) and transaction.ack(now)):
                    self._ack_came(request, now)
                self._exchange.alarms.set(server)
            else:
                self.stats.retransmissions += 1
                self._exchange.came_again(server)
        elif request.method == "ACK":
            self._ack_came(request, now)
        elif request.method == "CANCEL":
            self._cancel_came(request, source, now)
        elif self._exchange.full(source.host):
            self.stats.over_limit += 1
            self._exchange.refuse(request, source, 503, headers=(("Retry-After", "5"),))
        elif request.to.tag:
            self._within_a_call(request, source, now)
        else:
            self._begins_something(request, source, now)

    def _ack_came(self, request: SipRequest, now: float) -> None:
        call = self._calls.get((request.call_id, request.to.tag))
        if call is None or not call.owns(request):
            self.stats.strays += 1
        else:
            call.acked(request, now)

    def _cancel_came(self, request: SipRequest, source: Flow, now: float) -> None:
        """9.2: it is answered for itself; what it does to the INVITE is the call's matter."""
        server = self._exchange.servers.get(request.transaction_key("INVITE"))
        if server is None:
            self.stats.strays += 1
            self._exchange.refuse(request, source, 481)
            return
        self._exchange.open(request, source)
        tag = server.call.local_tag if server.call is not None else self._exchange.token()
        self._exchange.respond(request, source, 200, to_tag=tag, now=now)
        if server.call is not None:
            server.call.cancelled(now)

    def _within_a_call(self, request: SipRequest, source: Flow, now: float) -> None:
        call = self._calls.get((request.call_id, request.to.tag))
        if call is None or not call.owns(request):
            self.stats.strays += 1
            self._exchange.refuse(request, source, 481)
            return
        self._exchange.open(request, source)
        missing = _unsupported(request)
        if missing:
            self._exchange.respond(request, source, 420, headers=(("Unsupported", missing),), now=now)
        else:
            call.receive(request, source, now)

    def _begins_something(self, request: SipRequest, source: Flow, now: float) -> None:
        if self._floods(source, now) and not self.doorman.trusts(source.host):
            self.stats.floods_dropped += 1
            return
        handler = self._methods.get(request.method)
        try:
            SipUri.parse(request.uri)
            missing = _unsupported(request)
        except UnknownScheme:
            self._exchange.refuse(request, source, 416)
            return
        except ValueError as error:
            self.stats.malformed += 1
            self._exchange.refuse(request, source, 400, phrase=_phrase(str(error)))
            return
        if handler is None:
            code = 405 if request.method in KNOWN_METHODS else 501
            self._exchange.refuse(request, source, code, headers=(("Allow", ALLOW),))
        elif missing:
            self._exchange.refuse(request, source, 420, headers=(("Unsupported", missing),))
        else:
            handler(request, source, now)

    def _calls_of(self, source: Flow) -> int:
        return self._per_source[client_network(source.host)]

    def _floods(self, source: Flow, now: float) -> bool:
        """Whether this peer was turned away so often that nothing of it is looked at any more."""
        return self.doorman.failures.blocks(source.host, now, port=self._own_port(source, now))

    def _refused(self, source: Flow, now: float) -> None:
        """Count that this peer was turned away."""
        self.doorman.failures.failed(source.host, now, port=self._own_port(source, now))

    def _own_port(self, source: Flow, now: float) -> int | None:
        """The port of a phone that is registered from there: it is counted apart from its network."""
        return source.port if self.registrar.here(source, now) else None

    def _turn_away(self, request: SipRequest, source: Flow, refusal: RequestDenied, now: float) -> None:
        if refusal.counts:
            self.stats.wrong_passwords += 1
            self._refused(source, now)
        elif refusal.code == 401:
            self.stats.challenges += 1
        self._exchange.refuse(request, source, refusal.code, headers=refusal.headers)

    # What begins here.

    def _options_came(self, request: SipRequest, source: Flow, now: float) -> None:
        headers = (("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", SUPPORTED))
        self._exchange.refuse(request, source, 503 if self._closing else 200, headers=headers)

    def _register_came(self, request: SipRequest, source: Flow, now: float) -> None:
        verdict = self.doorman.phone(request, now)
        if isinstance(verdict, RequestDenied):
            self._turn_away(request, source, verdict, now)
            return
        self._exchange.open(request, source)
        try:
            if SipUri.parse(request.to.uri).user == verdict.user:
                answer = self.registrar.register(request, verdict.user, source, now)
            else:  # who has a password has it for one name
                self.stats.wrong_passwords += 1
                self._refused(source, now)
                answer = RegistrarAnswer(403)
        except ValueError as error:
            answer = RegistrarAnswer(400, phrase=_phrase(str(error)))
        self.stats.registrations += answer.code == 200
        self._exchange.respond(
            request,
            source,
            answer.code,
            answer.phrase,
            to_tag=self._exchange.token(),
            headers=answer.headers,
            now=now,
        )

    def _invite_came(self, request: SipRequest, source: Flow, now: float) -> None:
        verdict = self.doorman.caller(request, source.host, now)
        if isinstance(verdict, RequestDenied):
            self._turn_away(request, source, verdict, now)
            return
        agent_id = self.config.agent_for(SipUri.parse(request.uri).number)
        if agent_id is None:
            self.stats.unknown_numbers += 1
            if not verdict.trusted:
                self._refused(source, now)
            self._exchange.refuse(request, source, 404)
            return
        early = sum(1 for call in self._offered.values() if call.unanswered)
        if (
            self._closing
            or early >= self.config.max_pending_invites
            or (
                not verdict.trusted
                and self._per_source[client_network(source.host)] >= self.config.max_calls_per_source
            )
        ):
            self.stats.over_limit += 1
            self._exchange.refuse(
                request, source, 503 if self._closing else 486, headers=(("Retry-After", "5"),)
            )
            return
        merged = (request.call_id, request.from_.tag, request.cseq.sequence)
        if merged in self._offered:  # 8.2.2.2: it came by two ways
            self._exchange.refuse(request, source, 482)
            return
        wrong = unacceptable(request, self.config.codecs)
        if wrong is not None:
            self.stats.not_acceptable += 1
            self._exchange.refuse(request, source, wrong[0], phrase=_phrase(wrong[1]), headers=wrong[2])
            return
        try:
            call = IncomingCall(
                self._exchange,
                request,
                source,
                local_tag=self._exchange.token(),
                agent_id=agent_id,
                user=verdict.user,
                trusted=verdict.trusted,
                session_expires_s=self.config.session_expires_s,
            )
        except ValueError as error:
            self.stats.malformed += 1
            self._exchange.refuse(request, source, 400, phrase=_phrase(str(error)))
            return
        if call.timer_headers is None:
            self._exchange.refuse(request, source, 422, headers=SessionTimer.MINIMUM)
            return
        self._exchange.open(request, source).call = call
        self._offered[merged] = call
        self._per_source[client_network(source.host)] += 1
        self._keep(call)
        self.stats.calls_in += 1
        self._exchange.respond(request, source, 100, now=now)
        try:
            self._listener.incoming_call(call, now)
        except Exception:
            # Nobody else would end it, and it would ring, and be counted, for ever.
            logger.exception("sip: the call {!r} could not be taken", call.call_id)
            call.reject(500, "", now) if call.unanswered else call.hangup(now)

    def _keep(self, call: SipCall) -> None:
        self._calls[call.key] = call
        call.on_over = self._forget

    def _forget(self, call: SipCall) -> None:
        self._calls.pop(call.key, None)
        self._exchange.alarms.forget(call)
        if isinstance(call, IncomingCall):
            request = call.request
            self._offered.pop((request.call_id, request.from_.tag, request.cseq.sequence), None)
            network = client_network(call.source[0])
            self._per_source[network] -= 1
            if self._per_source[network] <= 0:
                del self._per_source[network]


def _unsupported(request: SipRequest) -> str:
    """The extensions that are required and not known here: 8.2.2.3. Raises `ValueError`."""
    required = request.listed("Require")
    return ", ".join(name for name in required if name.lower() != SUPPORTED)


def _phrase(text: str) -> str:
    """A reason for the status line: short, and without anything that could end the line."""
    return "".join(c for c in text if c.isascii() and c.isprintable())[:100]
