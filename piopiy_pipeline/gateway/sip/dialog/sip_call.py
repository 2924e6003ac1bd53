"""A SIP call and its dialog: changes of the media, keys, a transfer, and the end of the call. No I/O.

How a call begins is in `incoming_call` and `outgoing_call`.

Source: RFC 3261, sections 12, 14 and 15; RFC 3515 (REFER); RFC 4028 (session timers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from loguru import logger

from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener, Ending
from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog, Unacknowledged
from piopiy_pipeline.gateway.sip.dialog.info import INFO_TYPES, info_digits
from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.dialog.refer import ReferTransfer, transfer_headers
from piopiy_pipeline.gateway.sip.dialog.session_refresh import RefreshFailure, SessionRefresh
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.sdp.negotiation import SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.body import NoDescription
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW, CAPABILITIES, SUPPORTED
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import AuthenticatedRequest
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["SipCall"]


class SipCall:
    """What incoming and outgoing calls have in common. No method waits.

    After the end of the call every method is safe to call and does nothing. `now` is the event loop's time in
    seconds. What is to be sent lies in the transaction layer until the owner of the user agent takes it.

    Args:
        transactions: Sends the requests and responses of this call.
        call_id: The Call-ID.
        local_tag: Our tag.
        source: Where the first message came from, or where it goes.
        session_expires_s: The session interval in seconds that we propose (RFC 4028).
    """

    direction: Literal["in", "out"]
    call_id: str
    """The Call-ID header."""
    agent_id: str = ""
    """The agent that is to answer, by the configured routes (incoming calls)."""
    from_user: str = ""
    """The caller's number or name in From; empty for anonymous callers."""
    from_name: str = ""
    """The caller's display name; empty when there is none."""
    to_user: str = ""
    """The number or name that was dialled, of the Request-URI."""
    user: str = ""
    """The configured user who gave the password, or who is called. Empty for everybody else."""
    present: bool = True
    """False when the INVITE may have a false source address. An ACK of our 2xx proves that the source is right."""
    headers: dict[str, str]
    """`X-` headers and a few others (User-Agent, P-Asserted-Identity, Diversion); names as they were sent."""
    source: tuple[str, int]
    """The address and port that the first message came from, or that it goes to."""
    offer: SessionDescription | None = None
    """The caller's offer; None when the INVITE had none (then the 2xx carries ours)."""

    def __init__(
        self,
        transactions: TransactionLayer,
        *,
        call_id: str,
        local_tag: str,
        source: Flow,
        session_expires_s: int = 1800,
    ) -> None:
        self._transactions = transactions
        self.call_id, self.local_tag = call_id, local_tag
        self.source, self._transport = (source.host, source.port), source.transport
        self.headers = {}
        self._listener: CallListener | None = None
        self._dialog: Dialog | None = None
        self._credentials: Credentials | None = None
        self._state: Literal["early", "up", "ending", "over"] = "early"
        self._unacked: Unacknowledged | None = None
        self._offered_by_us: Literal["", "answer", "reinvite"] = ""
        self._local: SessionDescription | None = None
        self._transfer = ReferTransfer()
        self.session_timer = SessionTimer(session_expires_s)
        self._refresh = SessionRefresh(transactions, self.session_timer)
        self.on_over: Callable[[SipCall], None] | None = None
        """Called when the call needs no more messages; set by the user agent."""

    def attach(self, listener: CallListener) -> None:
        """Report to this listener from now on."""
        self._listener = listener

    def hangup(self, now: float) -> None:
        """End the call as its state demands: BYE, CANCEL (outgoing), or 480 (incoming, unanswered).

        `call_ended` is called at once (HUNG_UP or CANCELLED): the last messages of the dialog need no listener.
        """
        self._end_here(Ending.HUNG_UP, 200, "", now)

    def refer(self, target: str, now: float) -> bool:
        """Ask the other side to call somebody else (blind transfer).

        Args:
            target: The ``sip:`` or ``tel:`` URI to call.
            now: The time in seconds.

        Returns:
            False when that is not possible at present. After True, `call_transfer_progress` reports the result.

        Raises:
            ValueError: `target` is no such URI.
        """
        headers = transfer_headers(target, self._dialog.contact if self._dialog is not None else "")
        if self._dialog is None or self._state != "up" or self._unacked is not None:
            return False
        if not self._transfer.begin():
            return False
        self._request("REFER", self._refer_response, now, headers=headers)
        return True

    @property
    def server(self) -> Flow:
        """Where the server that the first message came from takes requests, or the one that it goes to."""
        source = Flow(self._transport, *self.source)
        return source if self._dialog is None or self.direction == "out" else self._dialog.server(source)

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._state in ("ending", "over")

    def kept(self) -> KeptDialog | None:
        """Return what another process needs to go on with the call; None while it is not in progress."""
        if self._dialog is None or self._state != "up" or self._local is None:
            return None
        account = "" if self._credentials is None else self._credentials.user
        return KeptDialog.of(
            self._dialog,
            self.session_timer,
            self._local,
            direction=self.direction,
            user=self.user,
            account=account,
        )

    # ------------------------------------------------------------------ used by the user agent

    @property
    def key(self) -> tuple[str, str]:
        """The Call-ID and the To tag of the requests that belong to this call."""
        return self.call_id, self.local_tag

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        if self._state == "over":
            return None
        times = [self.session_timer.wake_at, self._unacked.wake_at if self._unacked else None]
        return min((at for at in times if at is not None), default=None)

    def wake(self, now: float) -> None:
        """Act on what is due. Call it at the time `wake_at`."""
        if self._unacked is not None and now >= self._unacked.wake_at:
            unacked = self._unacked
            data = unacked.wake(now)
            if data is None:
                self._unacked = None
                if self._state == "ending":
                    self._bye(now)
                else:
                    self._end_here(Ending.LOST, 408, "no ACK", now)
            elif data:
                self._transactions.send_again(data, unacked.request, unacked.source)
        if self._state == "up":
            due = self.session_timer.wake(now)
            if due == "refresh" and not self._refresh_session(now):
                self.session_timer.retry(now)
            elif due == "expired":
                self._end_here(Ending.LOST, 408, "the session was not refreshed", now)

    def owns(self, request: SipRequest) -> bool:
        """Return whether a request with this call's key comes from the other side of its dialog."""
        return self._dialog is not None and request.from_.tag == self._dialog.remote_tag

    def receive(self, request: SipRequest, source: Flow, now: float) -> None:
        """Handle a request within the dialog, other than ACK."""
        if self._dialog is None or not self._dialog.accepts(request):
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
        """Handle an ACK within the dialog."""
        if self._unacked is None or request.cseq.sequence != self._unacked.request.cseq.sequence:
            return
        self._unacked = None
        awaited, self._offered_by_us = self._offered_by_us, ""
        if self._state == "ending":  # 15: our BYE had to wait for this
            self._bye(now)
            return
        description: SessionDescription | None = None
        if awaited:
            try:
                description = SessionDescription.parse(request.description())
            except ValueError as error:
                self._end_here(Ending.HUNG_UP, 488, f"the ACK has no usable answer: {error}", now)
                return
        self._confirmed(awaited, description, now)

    def _confirmed(self, awaited: str, description: SessionDescription | None, now: float) -> None:
        """Handle the ACK of our 2xx; `description` is the answer to our offer if one was awaited."""
        if description is not None and self._listener is not None:
            self._listener.call_reanswered(description, now)

    # ------------------------------------------------------------------ requests of the other side

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
        return self._transactions.respond(
            request, source, code, phrase, to_tag=tag, headers=headers, body=body, now=now
        )

    def _bye_came(self, request: SipRequest, source: Flow, now: float) -> None:
        self._respond(request, source, 200, now=now)
        self._tell_ended(Ending.PEER_HUNG_UP, 200, clean(request.get("Reason"))[:200], now)
        self._over()

    def _options(self, request: SipRequest, source: Flow, now: float) -> None:
        self._respond(request, source, 200, headers=CAPABILITIES, now=now)

    def _info(self, request: SipRequest, source: Flow, now: float) -> None:
        digits = info_digits(request.content_type, request.body)
        if digits is None:
            self._respond(request, source, 415, headers=(("Accept", ", ".join(INFO_TYPES)),), now=now)
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
        """Section 14.2. A 2xx that waits for its ACK counts as a transaction that is not over."""
        if self._unacked is not None or self._state != "up":
            self._respond(request, source, 500, headers=(("Retry-After", "2"),), now=now)
            return
        if self._refresh.under_way:
            self._respond(request, source, 491, now=now)
            return
        try:
            described = request.description()
            offer = SessionDescription.parse(described) if described else None
            contacts = request.addresses("Contact")
            for contact in contacts:
                SipUri.parse(contact.uri)
            timer = self.session_timer.asked(request)
        except NoDescription:
            accepts = (("Accept", "application/sdp, multipart/mixed"),)
            self._respond(request, source, 415, headers=accepts, now=now)
            return
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
        """Send 200 with our description, and repeat it until its ACK comes."""
        assert self._dialog is not None
        self._local = ours
        routes = tuple(("Record-Route", value) for value in request.headers.getlist("Record-Route"))
        own = (("Contact", self._dialog.contact), ("Allow", ALLOW), ("Supported", SUPPORTED))
        data = self._respond(request, source, 200, headers=(*routes, *own, *timer), body=bytes(ours), now=now)
        self._unacked = Unacknowledged(data, request, source, now)
        self.session_timer.started(now)
        self._transactions.set_timer(self)

    # ------------------------------------------------------------------ requests of ours

    def _request(
        self,
        method: str,
        on_response: Callable[[SipResponse, Flow, float], None],
        now: float,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        assert self._dialog is not None
        dialog = self._dialog
        branch = self._transactions.branch()
        request = dialog.request(method, branch=branch, headers=headers, body=body)

        def lost(code: int, now: float) -> None:
            self._lost(method, code, now)

        AuthenticatedRequest(
            self._transactions, request, self._credentials, on_response, lost, dialog.next_sequence
        ).begin(now)

    def _lost(self, method: str, code: int, now: float) -> None:
        """Section 12.2.1.2: a side that does not answer within a dialog has left it."""
        if method == "INVITE":
            self._refresh.under_way = False
        if method != "BYE":
            self._end_here(Ending.LOST, code, f"no answer to {method}", now)

    def _refresh_session(self, now: float) -> bool:
        """Send a re-INVITE that changes nothing. Returns False when that is not possible at present."""
        if self._local is None or self._unacked is not None or self._refresh.under_way:
            return False
        headers, body = self._refresh.begin(), bytes(self._local)
        self._request("INVITE", self._refresh_response, now, headers=headers, body=body)
        return True

    def _refresh_response(self, response: SipResponse, source: Flow, now: float) -> None:
        if self._dialog is None:
            return
        result = self._refresh.receive(self._dialog, response, now)
        self._transactions.set_timer(self)
        if isinstance(result, RefreshFailure):
            self._end_here(*result, now)
        elif result is not None and self._listener is not None and not self.ended:
            self._listener.call_reanswered(result, now)

    # ------------------------------------------------------------------ the end

    def _end_here(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        """End the call from our side, whatever its state is, and report that at once."""
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
        self._unacked = None
        if self.on_over is not None:
            on_over, self.on_over = self.on_over, None
            on_over(self)
