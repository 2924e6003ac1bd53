"""An outgoing call: INVITE, password, ringing, the answer, and giving up. No I/O.

Source: RFC 3261, sections 9.1 (CANCEL), 13.2 (INVITE) and 22 (passwords).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener, Ending
from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW, SUPPORTED
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri, escaped_user, is_token, quoted
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import AuthenticatedRequest
from piopiy_pipeline.gateway.sip.transaction.timers import TIMEOUT
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["OutgoingCall"]

_MAX_FORKS = 16
_RESERVED = frozenset(
    (
        *(
            "via",
            "from",
            "to",
            "call-id",
            "cseq",
            "contact",
            "max-forwards",
            "route",
            "record-route",
            "require",
        ),
        *("content-length", "content-type", "allow", "supported", "authorization", "proxy-authorization"),
    )
)


class OutgoingCall(SipCall):
    """A call of ours.

    Args:
        transactions: Sends the requests and responses of this call.
        uri: The Request-URI.
        flow: Where the INVITE goes.
        or_else: Where it goes when the connection of `flow` is gone.
        route: The URI of a proxy to go through first; empty: none.
        offer: Our session description.
        listener: What to report to.
        host: The host in our From.
        from_user: The number or name in our From; empty for none.
        from_name: The display name in our From; empty for none.
        headers: Further headers of the INVITE.
        credentials: The password to give when one is asked for.
        ring_timeout_s: How long it may ring, in seconds.

    Raises:
        ValueError: `headers` has one that may not be set, or `uri` cannot be read.
    """

    direction: Literal["in", "out"] = "out"

    def __init__(
        self,
        transactions: TransactionLayer,
        *,
        uri: str,
        flow: Flow,
        or_else: Flow | None,
        route: str = "",
        offer: SessionDescription,
        listener: CallListener,
        host: str,
        from_user: str,
        from_name: str,
        headers: Mapping[str, str],
        credentials: Credentials | None,
        ring_timeout_s: float,
    ) -> None:
        tag, call_id = transactions.token(), transactions.token()
        super().__init__(transactions, call_id=call_id, local_tag=tag, source=flow)
        self.attach(listener)
        self._credentials = credentials
        self._local = offer
        self.offer = offer
        self.from_user, self.from_name = from_user, from_name
        self.to_user = SipUri.parse(uri).number
        self._contact = transactions.contact(flow, from_user)
        name = f"{quoted(from_name)} " if from_name else ""
        user = f"{escaped_user(from_user)}@" if from_user else ""
        shown = f"[{host}]" if ":" in host else host
        self._from = f"{name}<sip:{user}{shown}>;tag={tag}"
        self._ring_timeout_s = ring_timeout_s
        self._give_up_at: float | None = None
        self._provisional = False
        self._cancel_sent = False
        self._acked: set[str] = set()  # the To tags of every phone that answered
        self._early: dict[str, SessionDescription] = {}
        request = OutgoingRequest(
            method="INVITE",
            uri=uri,
            flow=flow,
            or_else=or_else,
            branch=transactions.branch(),
            sent_by=transactions.sent_by(flow),
            sequence=1,
            headers=(
                *((("Route", f"<{route}>"),) if route else ()),
                ("From", self._from),
                ("To", f"<{uri}>"),
                ("Call-ID", call_id),
                ("Contact", self._contact),
                ("Allow", ALLOW),
                ("Supported", SUPPORTED),
                *_checked(headers),
            ),
            body=bytes(offer),
        )
        self._invite = AuthenticatedRequest(
            transactions, request, credentials, self._invite_response, self._invite_lost
        )

    def begin(self, now: float) -> None:
        """Send the INVITE for the first time."""
        self._give_up_at = now + self._ring_timeout_s
        self._invite.begin(now)
        self._transactions.set_timer(self)

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called, in seconds; None: not at all."""
        times = (super().wake_at, None if self.ended else self._give_up_at)
        return min((at for at in times if at is not None), default=None)

    def wake(self, now: float) -> None:
        """Act on what is due. Call it at the time `wake_at`."""
        if self._give_up_at is not None and now >= self._give_up_at:
            self._give_up_at = None
            self._cancel(Ending.NO_ANSWER, 408, "no answer", now)
        super().wake(now)

    def hangup(self, now: float) -> None:
        """Send BYE, or CANCEL before the answer."""
        if self._state == "early":
            self._cancel(Ending.CANCELLED, 487, "", now)
        else:
            super().hangup(now)

    @property
    def heard(self) -> bool:
        """Whether the other side, or a proxy on the way, has said anything yet."""
        return self._provisional or self._state != "early"

    def abandon(self, now: float) -> None:
        """Give the call up without telling its listener, because another one takes its place."""
        self._listener = None
        self.hangup(now)

    def _cancel(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._state != "early":
            return
        self._give_up_at = None
        self._invite.given_up = True
        self._tell_ended(ending, code, phrase, now)
        if self._provisional:
            self._send_cancel(now)
        else:
            self._transactions.give_up(
                self._invite.request, now
            )  # 9.1: no CANCEL before a provisional response

    def _send_cancel(self, now: float) -> None:
        if not self._cancel_sent:
            self._cancel_sent = True
            self._transactions.give_up(self._invite.request, now)
            self._transactions.begin(
                self._invite.request.cancel(), lambda *_: None, lambda *_: None, now
            )  # the INVITE's own response decides what becomes of the call

    def _invite_lost(self, code: int, now: float) -> None:
        phrase = f"no answer within {TIMEOUT:.0f} s" if code == 408 else "the other side cannot be reached"
        self._give_up_at = None
        self._tell_ended(Ending.LOST, code, phrase, now)
        self._over()

    def _invite_response(self, response: SipResponse, source: Flow, now: float) -> None:
        if response.code < 200:
            self._on_provisional(response, now)
        elif response.code < 300:
            self._on_answer(response, source, now)
        else:
            self._give_up_at = None
            self._tell_ended(Ending.REFUSED, response.code, response.phrase, now)
            self._over()

    def _on_provisional(self, response: SipResponse, now: float) -> None:
        self._provisional = True
        if self._state != "early":
            self._send_cancel(now)
        elif response.code > 100 and self._listener is not None:
            description: SessionDescription | None = None
            if response.body:
                try:
                    description = SessionDescription.parse(response.description())
                except ValueError:
                    description = None  # the description in the 2xx is the one that counts
            if description is not None and len(self._early) < _MAX_FORKS:
                self._early[response.to.tag] = description
                self._listener.call_early_media(description, now)
            else:
                self._listener.call_ringing(now)

    def _on_answer(self, response: SipResponse, source: Flow, now: float) -> None:
        """Section 13.2.2.4: every 2xx is acknowledged, from whichever phone; the first one is the call."""
        unusable = ""
        try:
            dialog = Dialog.of_response(
                self._invite.request, response, source, local=self._from, contact=self._contact
            )
        except ValueError as error:
            # The phone is off the hook, and repeats its 200 until somebody acknowledges it: that is due, and a BYE.
            unusable = f"no usable answer: {error}"
            dialog = Dialog.of_unusable_response(
                self._invite.request, response, source, local=self._from, contact=self._contact
            )
        branch = self._transactions.branch()
        self._transactions.send(dialog.ack(response.cseq.sequence, branch=branch))
        if response.to.tag in self._acked:
            return
        first = not self._acked
        self._acked.add(response.to.tag)
        if len(self._acked) > _MAX_FORKS:
            return
        if not first:
            bye = dialog.request("BYE", branch=self._transactions.branch())
            AuthenticatedRequest(
                self._transactions,
                bye,
                self._credentials,
                lambda *_: None,
                lambda *_: None,
                dialog.next_sequence,
            ).begin(now)
            return
        self._give_up_at = None
        self._dialog = dialog
        if self._state != "early":  # it was answered while our CANCEL was under way
            self._bye(now)
            return
        self._state = "up"
        if unusable:
            self._end_here(Ending.LOST, 502, unusable, now)
            return
        try:
            # Some phones send their description in the 183 only, and not again in the 2xx (13.2.1).
            early = self._early.get(response.to.tag) if not response.body else None
            description = early or SessionDescription.parse(response.description())
        except ValueError as error:
            self._end_here(Ending.REFUSED, 488, f"the answer has no usable description: {error}", now)
            return
        self.session_timer.answered(response, now)
        self._transactions.set_timer(self)
        if self._listener is not None:
            self._listener.call_answered(description, now)


def _checked(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    for name, value in headers.items():
        if not is_token(name) or name.lower() in _RESERVED:
            raise ValueError(f"a header that a call may not set: {name[:40]!r}")
        if any(not c.isprintable() for c in value) or len(clean(value)) > 1024:
            raise ValueError(f"{name}: a value of at most 1024 printable characters")
    return tuple(headers.items())
