"""The user agent server: requests outside of dialogs, which register a phone or begin a call. No I/O.

Its tests are those of the calls and of the admission: `tests/gateway/sip/dialog` and `tests/gateway/sip/agent`.

Source: RFC 3261, sections 8.2 (UAS), 10.3 (REGISTER), 11.2 (OPTIONS) and 13.3 (INVITE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from loguru import logger

from piopiy_pipeline.gateway.sip.agent.admission import AdmissionControl, RequestDenied
from piopiy_pipeline.gateway.sip.agent.call_table import CallTable
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar, RegistrarAnswer
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall, unacceptable
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from piopiy_pipeline.gateway.sip.syntax.methods import (
    ALLOW,
    CAPABILITIES,
    KNOWN_METHODS,
    WITHIN_DIALOGS,
    unsupported,
)
from piopiy_pipeline.gateway.sip.syntax.outgoing_response import reason_phrase
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri, UnknownScheme
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["UserAgentListener", "UserAgentServer"]


class UserAgentListener(Protocol):
    """Receives what the user agent reports."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        """Take a call that came in, and to which 100 was sent.

        The listener attaches a `CallListener`, and calls `ring`, `answer` or `reject`, now or later.
        """


class UserAgentServer:
    """Answers the requests that begin a call or a registration.

    Args:
        config: Which number reaches which agent, and the limits.
        listener: What incoming calls are reported to.
        transactions: Sends the responses.
        calls: Keeps the calls.
        admission: Decides who may call and register.
        registrar: Keeps the phones.
        stats: What is counted.
    """

    def __init__(
        self,
        config: SipConfig,
        listener: UserAgentListener,
        *,
        transactions: TransactionLayer,
        calls: CallTable,
        admission: AdmissionControl,
        registrar: Registrar,
        stats: SipStats,
    ) -> None:
        self.closing = False
        """Whether the gateway shuts down: then further calls are refused."""
        self.draining = False
        """Whether the same because it is to do so later. Those in progress go on, and phones may still register."""
        self._config, self._listener = config, listener
        self._transactions, self._calls = transactions, calls
        self._admission, self._registrar = admission, registrar
        self._stats = stats
        self._methods: dict[str, Callable[[SipRequest, Flow, float], None]] = {
            "INVITE": self._invite_came,
            "REGISTER": self._register_came,
            "OPTIONS": self._options_came,
        }

    def handle(self, request: SipRequest, source: Flow, now: float) -> None:
        """Handle a request that is not within a dialog, and not ACK or CANCEL. `now` is in seconds."""
        if self.flooding(source, now) and not self._admission.trusts(source.host):
            self._stats.floods_dropped += 1
            return
        handler = self._methods.get(request.method)
        try:
            SipUri.parse(request.uri)
            missing = unsupported(request)
        except UnknownScheme:
            self._transactions.refuse(request, source, 416)
            return
        except ValueError as error:
            self._stats.malformed += 1
            self._transactions.refuse(request, source, 400, phrase=reason_phrase(str(error)))
            return
        if request.method in WITHIN_DIALOGS:
            self._stats.strays += 1
            self._transactions.refuse(request, source, 481)
        elif handler is None:
            code = 405 if request.method in KNOWN_METHODS else 501
            self._transactions.refuse(request, source, code, headers=(("Allow", ALLOW),))
        elif missing:
            self._transactions.refuse(request, source, 420, headers=(("Unsupported", missing),))
        else:
            handler(request, source, now)

    def flooding(self, source: Flow, now: float) -> bool:
        """Return whether so many requests of this peer were refused that further ones are not even read."""
        return self._admission.failures.blocks(source.host, now, port=self._own_port(source, now))

    def count_refusal(self, source: Flow, now: float) -> None:
        """Count that a request of this peer was refused."""
        self._admission.failures.failed(source.host, now, port=self._own_port(source, now))

    def _own_port(self, source: Flow, now: float) -> int | None:
        """Return the port of a phone that is registered from there, because it is counted apart from its
        network.
        """
        return source.port if self._registrar.here(source, now) else None

    def _deny(self, request: SipRequest, source: Flow, denied: RequestDenied, now: float) -> None:
        if denied.counts:
            self._stats.wrong_passwords += 1
            self.count_refusal(source, now)
        elif denied.code == 401:
            self._stats.challenges += 1
        self._transactions.refuse(request, source, denied.code, headers=denied.headers)

    # ------------------------------------------------------------------ by method

    def _options_came(self, request: SipRequest, source: Flow, now: float) -> None:
        self._transactions.refuse(
            request, source, 503 if self.closing or self.draining else 200, headers=CAPABILITIES
        )

    def _register_came(self, request: SipRequest, source: Flow, now: float) -> None:
        verdict = self._admission.phone(request, now)
        if isinstance(verdict, RequestDenied):
            self._deny(request, source, verdict, now)
            return
        self._transactions.open(request, source)
        try:
            if SipUri.parse(request.to.uri).user == verdict.user:
                answer = self._registrar.register(request, verdict.user, source, now)
            else:  # a password is valid for its own user only
                self._stats.wrong_passwords += 1
                self.count_refusal(source, now)
                answer = RegistrarAnswer(403)
        except ValueError as error:
            answer = RegistrarAnswer(400, phrase=reason_phrase(str(error)))
        self._stats.registrations += answer.code == 200
        self._transactions.respond(
            request,
            source,
            answer.code,
            answer.phrase,
            to_tag=self._transactions.token(),
            headers=answer.headers,
            now=now,
        )

    def _invite_came(self, request: SipRequest, source: Flow, now: float) -> None:
        verdict = self._admission.caller(request, source.host, now)
        if isinstance(verdict, RequestDenied):
            self._deny(request, source, verdict, now)
            return
        agent_id = self._config.agent_for(SipUri.parse(request.uri).number)
        if agent_id is None:
            self._stats.unknown_numbers += 1
            if not verdict.trusted:
                self.count_refusal(source, now)
            self._transactions.refuse(request, source, 404)
            return
        if (
            self.closing
            or self.draining
            or self._calls.unanswered >= self._config.max_pending_invites
            or (
                not verdict.trusted
                and self._calls.of_source(source.host) >= self._config.max_calls_per_source
            )
        ):
            self._stats.over_limit += 1
            self._transactions.refuse(
                request,
                source,
                503 if self.closing or self.draining else 486,
                headers=(("Retry-After", "60" if self.draining else "5"),),
            )
            return
        if self._calls.merged(request):
            self._transactions.refuse(request, source, 482)
            return
        wrong = unacceptable(request, self._config.codecs)
        if wrong is not None:
            self._stats.not_acceptable += 1
            self._transactions.refuse(
                request, source, wrong[0], phrase=reason_phrase(wrong[1]), headers=wrong[2]
            )
            return
        identity = self._admission.identity(request, verdict.user)
        trunk = self._admission.trunk_of(request, source.host) if verdict.trusted else None
        try:
            call = IncomingCall(
                self._transactions,
                request,
                source,
                local_tag=self._transactions.token(),
                agent_id=agent_id,
                user=verdict.user,
                from_user=identity.number,
                from_name=identity.name,
                trusted=verdict.trusted,
                credentials=None if trunk is None else trunk.credentials,
                session_expires_s=self._config.session_expires_s,
            )
        except ValueError as error:
            self._stats.malformed += 1
            self._transactions.refuse(request, source, 400, phrase=reason_phrase(str(error)))
            return
        if call.timer_headers is None:
            self._transactions.refuse(request, source, 422, headers=SessionTimer.MINIMUM)
            return
        transaction = self._transactions.open(request, source)
        transaction.to_tag, transaction.on_cancel = call.local_tag, call.cancelled
        self._calls.add(call)
        self._stats.calls_in += 1
        self._transactions.respond(request, source, 100, now=now)
        try:
            self._listener.incoming_call(call, now)
        except Exception:
            # Nothing else would end the call: it would ring, and be counted, for ever.
            logger.exception("sip: the call {!r} could not be taken", call.call_id)
            call.reject(500, "", now) if call.unanswered else call.hangup(now)
