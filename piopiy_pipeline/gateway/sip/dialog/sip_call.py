"""A telephone call as SIP sees it, once it is there: changes of its media, keys, transfer, its end. No I/O.

How it comes about is in `incoming` and `outgoing`.

Source: RFC 3261, sections 12, 14 and 15; RFC 3515 (REFER); RFC 4028 (session timers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from loguru import logger

from piopiy_pipeline.gateway.sip.agent.digest import Credentials
from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog, Unacknowledged
from piopiy_pipeline.gateway.sip.dialog.listeners import CallListener, Ending
from piopiy_pipeline.gateway.sip.dialog.refer import ReferTransfer, transfer_headers
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.sdp.negotiation import SdpError, SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipRequest, SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW, SUPPORTED, info_digits
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import (
    AuthenticatedRequest,
    TransactionUser,
)

__all__ = ["SipCall"]


class SipCall:
    """One call. Nothing here waits; after the end everything is safe to call and does nothing.

    `now` is the event loop's time in seconds. What is to be sent is sent by whoever owns the user agent.
    """

    direction: Literal["in", "out"]
    call_id: str
    """SIP's Call-ID."""
    agent_id: str = ""
    """Who is to answer, by the configured routes (incoming)."""
    from_user: str = ""
    """The caller's number or name, as in From; empty for anonymous callers."""
    from_name: str = ""
    """The caller's display name; empty when there is none."""
    to_user: str = ""
    """The number or name that was dialled, of the Request-URI."""
    user: str = ""
    """Whose phone it is, one of the configured users: who gave the password, or is called. Empty for all others."""
    present: bool = True
    """False: what came may have a false sender. Who acknowledges our answer got it, and is there."""
    headers: dict[str, str]
    """`X-` headers and a few of interest (User-Agent, P-Asserted-Identity, Diversion), names as sent."""
    source: tuple[str, int]
    """The address from which the first message came, or to which it goes."""
    offer: SessionDescription | None = None
    """The caller's offer; None when the caller leaves it to us (then `answer` carries ours)."""

    def __init__(self, line: TransactionUser, *, call_id: str, local_tag: str, source: Flow) -> None:
        self._line = line
        self.call_id, self.local_tag = call_id, local_tag
        self.source = (source.host, source.port)
        self.headers = {}
        self._listener: CallListener | None = None
        self._dialog: Dialog | None = None
        self._credentials: Credentials | None = None
        self._state: Literal["early", "up", "ending", "over"] = "early"
        self._unacked: Unacknowledged | None = None
        self._unacked_request: tuple[SipRequest, Flow] | None = None
        self._offered_by_us: Literal["", "answer", "reinvite"] = ""
        self._local: SessionDescription | None = None
        self._reinvite: AuthenticatedRequest | None = None
        self._refresh_only = False
        self._last_ack: tuple[int, bytes] | None = None
        self._transfer = ReferTransfer()
        self.session_timer = SessionTimer()
        self.on_over: Callable[[SipCall], None] | None = None
        """Told when it needs no more messages; the user agent's."""

    def attach(self, listener: CallListener) -> None:
        """From now on, tell this leg what the other side does."""
        self._listener = listener

    def ring(self, now: float) -> None:
        """Incoming: 180 Ringing."""

    def progress(self, description: SessionDescription, now: float) -> None:
        """Incoming: 183 Session Progress with early media."""

    def answer(self, description: SessionDescription, now: float) -> None:
        """Incoming: 200 OK. `call_answered` follows with the ACK; sound may flow at once."""

    def reject(self, code: int, phrase: str, now: float) -> None:
        """Incoming, before the answer: refuse with a final status (300-699)."""

    def hangup(self, now: float) -> None:
        """End it as its state wants: BYE, CANCEL (outgoing), or 480 (incoming, unanswered).

        `call_ended` is told at once (HUNG_UP or CANCELLED): the dialog's last messages need no leg.
        """
        self._end_here(Ending.HUNG_UP, 200, "", now)

    def reoffer(self, description: SessionDescription, now: float) -> bool:
        """Change the media by a re-INVITE (hold, resume). False: not now, another is under way."""
        return self._send_reinvite(description, now, refresh=False)

    def refer(self, target: str, now: float) -> bool:
        """Blind transfer: ask the other side to call `target` (a `sip:` or `tel:` URI). False: not now.

        Raises `ValueError` when `target` is no such URI.
        """
        headers = transfer_headers(target, self._dialog.contact if self._dialog is not None else "")
        if self._dialog is None or self._state != "up" or self._unacked is not None:
            return False
        if not self._transfer.begin():
            return False
        self._request("REFER", self._refer_response, now, headers=headers)
        return True

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._state in ("ending", "over")

    # What the user agent calls.

    @property
    def key(self) -> tuple[str, str]:
        """Which requests within a dialog are its own: their Call-ID and To tag."""
        return self.call_id, self.local_tag

    @property
    def wake_at(self) -> float | None:
        """When it wants to be woken."""
        if self._state == "over":
            return None
        times = [self.session_timer.wake_at, self._unacked.wake_at if self._unacked else None]
        return min((at for at in times if at is not None), default=None)

    def wake(self, now: float) -> None:
        """The time of `wake_at` has come."""
        if self._unacked is not None and now >= self._unacked.wake_at:
            data = self._unacked.wake(now)
            if data is None:
                self._unacked = None
                if self._state == "ending":
                    self._bye(now)
                else:
                    self._end_here(Ending.LOST, 408, "no ACK", now)
            elif data and self._unacked_request is not None:
                self._line.send_again(data, *self._unacked_request)
        if self._state == "up":
            due = self.session_timer.wake(now)
            if due == "refresh" and not (self._local and self._send_reinvite(self._local, now, refresh=True)):
                self.session_timer.retry(now)
            elif due == "expired":
                self._end_here(Ending.LOST, 408, "the session was not refreshed", now)

    def owns(self, request: SipRequest) -> bool:
        """Whether a request with this call's key is of the other side of its dialog."""
        return self._dialog is not None and request.from_.tag == self._dialog.remote_tag

    def receive(self, request: SipRequest, source: Flow, now: float) -> None:
        """A request within the dialog, other than ACK."""
        if self._dialog is None or not self._dialog.takes(request):
            self._respond(request, source, 500, "CSeq out of order", now=now)
            return
        handler = {
            "INVITE": self._reinvited,
            "BYE": self._bye_came,
            "INFO": self._info,
            "NOTIFY": self._notify,
            "OPTIONS": self._options,
        }.get(request.method)
        if handler is None:
            self._respond(request, source, 405, headers=(("Allow", ALLOW),), now=now)
        elif self.ended and request.method != "BYE":
            self._respond(request, source, 481, now=now)
        else:
            self._dialog.flow = source
            handler(request, source, now)

    def acked(self, request: SipRequest, now: float) -> None:
        """An ACK within the dialog."""
        if self._unacked is None or request.cseq.sequence != self._unacked.sequence:
            return
        self._unacked = self._unacked_request = None
        awaited, self._offered_by_us = self._offered_by_us, ""
        if self._state == "ending":  # 15: our BYE had to wait for this
            self._bye(now)
            return
        description: SessionDescription | None = None
        if awaited:
            try:
                description = SessionDescription.parse(request.body)
            except SdpError as error:
                self._end_here(Ending.HUNG_UP, 488, f"the ACK has no usable answer: {error}", now)
                return
        self._confirmed(awaited, description, now)

    def _confirmed(self, awaited: str, description: SessionDescription | None, now: float) -> None:
        """Our 2xx was acknowledged, with the answer to our offer if that was awaited."""
        if description is not None and self._listener is not None:
            self._listener.call_reanswered(description, now)

    # Requests of the other side.

    def _respond(
        self,
        request: SipRequest,
        source: Flow,
        code: int,
        phrase: str = "",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        now: float,
    ) -> bytes:
        tag = self.local_tag if code > 100 else ""
        return self._line.respond(
            request, source, code, phrase, to_tag=tag, headers=headers, body=body, now=now
        )

    def _bye_came(self, request: SipRequest, source: Flow, now: float) -> None:
        self._respond(request, source, 200, now=now)
        self._tell_ended(Ending.PEER_HUNG_UP, 200, clean(request.get("Reason"))[:200], now)
        self._over()

    def _options(self, request: SipRequest, source: Flow, now: float) -> None:
        headers = (("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", SUPPORTED))
        self._respond(request, source, 200, headers=headers, now=now)

    def _info(self, request: SipRequest, source: Flow, now: float) -> None:
        digits = info_digits(request.content_type, request.body)
        if digits is None:
            self._respond(request, source, 415, headers=(("Accept", "application/dtmf-relay"),), now=now)
            return
        self._respond(request, source, 200, now=now)
        if digits and self._listener is not None:
            self._listener.call_dtmf(digits, now)

    def _notify(self, request: SipRequest, source: Flow, now: float) -> None:
        code, headers, progress = self._transfer.notified(request)
        self._respond(request, source, code, headers=headers, now=now)
        self._tell_progress(progress, now)

    def _refer_response(self, response: SipResponse, source: Flow, now: float) -> None:
        self._tell_progress(self._transfer.answered(response), now)

    def _tell_progress(self, progress: tuple[int, str] | None, now: float) -> None:
        if progress is not None and self._listener is not None and not self.ended:
            self._listener.call_transfer_progress(*progress, now)

    def _reinvited(self, request: SipRequest, source: Flow, now: float) -> None:
        """14.2; a 2xx that waits for its ACK counts as a transaction that is not over."""
        if self._unacked is not None or self._state != "up":
            self._respond(request, source, 500, headers=(("Retry-After", "2"),), now=now)
            return
        if self._reinvite is not None:
            self._respond(request, source, 491, now=now)
            return
        try:
            offer = SessionDescription.parse(request.body) if request.body else None
            contacts = request.addresses("Contact")
            for contact in contacts:
                SipUri.parse(contact.uri)
            timer = self.session_timer.asked(request)
        except ValueError as error:
            self._respond(request, source, 400, clean(str(error))[:100], now=now)
            return
        if timer is None:
            self._respond(request, source, 422, headers=SessionTimer.MINIMUM, now=now)
            return
        try:
            ours = self._listener.call_reoffered(offer, now) if self._listener is not None else None
        except SdpRefused:
            ours = None
        if self.ended:
            self._respond(request, source, 481, now=now)
            return
        if ours is None:
            self._respond(request, source, 488, now=now)
            return
        if self._dialog is not None and contacts:
            self._dialog.retarget(contacts)
        self._offered_by_us = "" if offer is not None else "reinvite"
        self._accept(request, source, ours, timer, now)

    def _accept(
        self,
        request: SipRequest,
        source: Flow,
        ours: SessionDescription,
        timer: tuple[tuple[str, str], ...],
        now: float,
    ) -> None:
        """200 with our description, until its ACK comes."""
        assert self._dialog is not None
        self._local = ours
        routes = tuple(("Record-Route", value) for value in request.headers.getlist("Record-Route"))
        own = (("Contact", self._dialog.contact), ("Allow", ALLOW), ("Supported", SUPPORTED))
        data = self._respond(request, source, 200, headers=(*routes, *own, *timer), body=bytes(ours), now=now)
        self._unacked = Unacknowledged(data, request.cseq.sequence, now)
        self._unacked_request = (request, source)
        self.session_timer.started(now)
        self._line.reset_alarm(self)

    # Requests of ours.

    def _request(
        self,
        method: str,
        on_response: Callable[[SipResponse, Flow, float], None],
        now: float,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> AuthenticatedRequest:
        assert self._dialog is not None
        dialog = self._dialog
        branch = "z9hG4bK" + self._line.token()
        request = dialog.request(method, branch=branch, headers=headers, body=body)

        def response(response: SipResponse, source: Flow, now: float) -> None:
            dialog.sequence = max(dialog.sequence, attempt.request.sequence)
            on_response(response, source, now)

        def lost(code: int, now: float) -> None:
            self._lost(method, code, now)

        attempt = AuthenticatedRequest(self._line, request, self._credentials, response, lost)
        attempt.begin(now)
        return attempt

    def _lost(self, method: str, code: int, now: float) -> None:
        """12.2.1.2: whoever does not answer within a dialog has left it."""
        if method == "INVITE":
            self._reinvite = None
        if method != "BYE":
            self._end_here(Ending.LOST, code, f"no answer to {method}", now)

    def _send_reinvite(self, description: SessionDescription, now: float, *, refresh: bool) -> bool:
        if (
            self._dialog is None
            or self._state != "up"
            or self._unacked is not None
            or self._reinvite is not None
        ):
            return False
        self._local, self._refresh_only = description, refresh
        headers = (("Allow", ALLOW), ("Supported", SUPPORTED), *self.session_timer.request_headers())
        self._reinvite = self._request(
            "INVITE", self._reinvite_response, now, headers=headers, body=bytes(description)
        )
        return True

    def _reinvite_response(self, response: SipResponse, source: Flow, now: float) -> None:
        if response.code < 200 or self._dialog is None:
            return
        sequence = response.cseq.sequence
        if response.code < 300:
            if self._last_ack is not None and self._last_ack[0] == sequence:
                self._acknowledge(sequence)  # the same again: its ACK was lost
                return
            try:
                self._dialog.retarget(response.addresses("Contact"))
                description = SessionDescription.parse(response.body)
            except ValueError as error:
                self._acknowledge(sequence)
                self._reinvite = None
                self._end_here(Ending.HUNG_UP, 488, f"no usable answer: {error}", now)
                return
            self._acknowledge(sequence)
            self._reinvite = None
            self.session_timer.answered(response, now)
            self._line.reset_alarm(self)
            if self._listener is not None and not self.ended:
                self._listener.call_reanswered(description, now)
            return
        refresh, self._reinvite = self._refresh_only, None
        if response.code in (408, 481):
            self._end_here(Ending.LOST, response.code, response.phrase, now)
        elif refresh:
            self.session_timer.retry(now)
            self._line.reset_alarm(self)
        elif self._listener is not None and not self.ended:
            self._listener.call_reoffer_failed(response.code, clean(response.phrase), now)

    def _acknowledge(self, sequence: int) -> None:
        assert self._dialog is not None
        self._last_ack = (sequence, b"")
        self._line.send(self._dialog.ack(sequence, branch="z9hG4bK" + self._line.token()))

    # The end.

    def _end_here(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        """End it from our side, whatever its state is; told at once."""
        if self.ended:
            return
        self._tell_ended(ending, code, phrase, now)
        if self._unacked is None:
            self._bye(now)

    def _bye(self, now: float) -> None:
        if self._dialog is not None:
            self._request("BYE", lambda response, source, now: None, now)
        self._over()

    def _tell_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._state in ("ending", "over"):
            return
        self._state = "ending"
        self.session_timer.stop()
        if self._listener is None:
            return
        try:
            self._listener.call_ended(ending, code, clean(phrase), now)
        except Exception:
            # The other side is to hear of the end all the same.
            logger.exception("sip: the leg of {} failed at its end", self.call_id)

    def _over(self) -> None:
        self._state = "over"
        self._unacked = self._unacked_request = None
        if self.on_over is not None:
            on_over, self.on_over = self.on_over, None
            on_over(self)
