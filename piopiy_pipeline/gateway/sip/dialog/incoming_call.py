"""An incoming call: from its INVITE to the answer, the refusal, or the CANCEL. No I/O.

Source: RFC 3261, sections 9.2 (CANCEL) and 13.3 (INVITE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SdpError, SessionDescription, choose
from piopiy_pipeline.gateway.sip.syntax.body import NoDescription
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, clean
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["IncomingCall", "unacceptable"]

_MAX_HEADERS = 32
_MAX_VALUE = 512
_OF_INTEREST = frozenset(["user-agent", "diversion", "history-info", "subject", "call-info"])
_OF_TRUNKS = frozenset(["p-asserted-identity", "remote-party-id", "privacy", "p-called-party-id"])


class IncomingCall(SipCall):
    """A call that somebody else began.

    Args:
        transactions: Sends the requests and responses of this call.
        request: The INVITE.
        source: Where it came from.
        local_tag: Our tag.
        agent_id: The agent that is to answer.
        user: The configured user who gave the password; empty for everybody else.
        from_user: The number or name of the caller, as far as it is believed; empty for anonymous callers.
        from_name: The display name of the caller; empty for none.
        trusted: Whether the INVITE comes from a trunk.
        credentials: The password to give that trunk when one is asked for: before a BYE or re-INVITE of ours, say.
        session_expires_s: The session interval in seconds that we propose.

    Raises:
        ValueError: The INVITE cannot be answered.
    """

    direction: Literal["in", "out"] = "in"

    def __init__(
        self,
        transactions: TransactionLayer,
        request: SipRequest,
        source: Flow,
        *,
        local_tag: str,
        agent_id: str,
        user: str,
        from_user: str,
        from_name: str,
        trusted: bool,
        credentials: Credentials | None,
        session_expires_s: int,
    ) -> None:
        super().__init__(
            transactions,
            call_id=request.call_id,
            local_tag=local_tag,
            source=source,
            session_expires_s=session_expires_s,
        )
        self._credentials = credentials
        self.agent_id, self.user = agent_id, user
        self.present = trusted or bool(user) or source.reliable
        self.to_user = clean(SipUri.parse(request.uri).number)[:_MAX_VALUE]
        self.from_user, self.from_name = from_user[:_MAX_VALUE], from_name[:_MAX_VALUE]
        self.headers = _chosen(request, trusted)
        described = request.description()
        self.offer = SessionDescription.parse(described) if described else None
        self._dialog = Dialog.of_request(
            request,
            source,
            local_tag=local_tag,
            contact=transactions.contact(source, self.to_user),
            sent_by=transactions.sent_by(source),
        )
        self.request = request
        """The INVITE."""
        self._came_from = source
        self._answer_reported = False
        self.timer_headers = self.session_timer.asked(request)
        """The headers of the 2xx about session timers; None: the interval is too short (422)."""

    @property
    def unanswered(self) -> bool:
        """Whether the INVITE has had no final response."""
        return self._state == "early"

    def ring(self, now: float) -> None:
        """Send 180 Ringing to the caller."""
        if self._state == "early" and self._dialog is not None:
            routes = (("Record-Route", value) for value in self.request.headers.getlist("Record-Route"))
            headers = (*routes, ("Contact", self._dialog.contact))
            self._respond(self.request, self._came_from, 180, headers=headers, now=now)

    def answer(self, description: SessionDescription, now: float) -> None:
        """Send 200 OK with our description. `call_answered` follows with the ACK; sound may flow at once."""
        if self._state != "early":
            return
        self._state = "up"
        self._offered_by_us = "" if self.offer is not None else "answer"
        self._accept(self.request, self._came_from, description, self.timer_headers or (), now)

    def reject(self, code: int, phrase: str, now: float) -> None:
        """Refuse the call before it is answered.

        Args:
            code: The final status, 300 to 699.
            phrase: The reason phrase; that of RFC 3261 if it is empty.
            now: The time in seconds.

        Raises:
            ValueError: `code` is no refusal.
        """
        if not 300 <= code <= 699:
            raise ValueError(f"a call is refused with 300-699, not {code}")
        if self._state != "early":
            return
        self._refuse(code, phrase, now)
        self._tell_ended(Ending.HUNG_UP, code, phrase, now)
        self._over()

    def cancelled(self, now: float) -> None:
        """Handle a CANCEL. After the answer it changes nothing (section 9.2)."""
        if self._state != "early":
            return
        self._refuse(487, "", now)
        self._tell_ended(Ending.CANCELLED, 487, "", now)
        self._over()

    def hangup(self, now: float) -> None:
        """Send BYE, or refuse with 480 before the answer."""
        if self._state == "early":
            self.reject(480, "", now)
        else:
            super().hangup(now)

    def _bye_came(self, request: SipRequest, source: Flow, now: float) -> None:
        early = self._state == "early"  # 15.1.2: the caller may give up with BYE, too
        super()._bye_came(request, source, now)
        if early:
            self._refuse(487, "", now)

    def _confirmed(self, awaited: str, description: SessionDescription | None, now: float) -> None:
        if awaited == "reinvite" or self._answer_reported:
            super()._confirmed(awaited, description, now)
        else:
            self._answer_reported = True
            if self._listener is not None:
                self._listener.call_answered(description, now)

    def _refuse(self, code: int, phrase: str, now: float) -> None:
        clean_phrase = "".join(c for c in phrase if c.isprintable())[:100]
        headers = (("Allow", ALLOW),) if code == 405 else ()
        self._respond(self.request, self._came_from, code, clean_phrase, headers=headers, now=now)


def unacceptable(
    request: SipRequest, codecs: Sequence[str]
) -> tuple[int, str, tuple[tuple[str, str], ...]] | None:
    """Check the body of an INVITE.

    Args:
        request: The INVITE.
        codecs: The names of the codecs that are allowed.

    Returns:
        The status, phrase and headers to refuse it with; None when the body can be answered.
    """
    accepts = (("Accept", "application/sdp, multipart/mixed"),)
    wanted = request.headers.getlist("Accept")
    if wanted and not any("application/" in w.lower() or "*/*" in w for w in wanted):
        return 406, "", ()
    try:
        described = request.description()
    except NoDescription:
        return 415, "", accepts
    if not described:
        return None
    try:
        offer = SessionDescription.parse(described)
    except SdpError as error:
        return 400, str(error), ()
    if offer.audio is None or not offer.audio.port:
        return 488, "No audio over RTP/AVP", ()
    if choose(offer.audio.formats, codecs) is None:
        return 488, "No codec in common", ()
    return None


def _chosen(request: SipRequest, trusted: bool) -> dict[str, str]:
    """Return the headers that a bot may read. Asserted identities are believed from a trunk only (RFC 3325)."""
    chosen: dict[str, str] = {}
    for name in request.headers.keys():  # noqa: SIM118 - sipmessage's Headers cannot be iterated
        low = name.lower()
        if low.startswith("x-") or low in _OF_INTEREST or (trusted and low in _OF_TRUNKS):
            chosen[name[:64]] = clean(request.get(name))[:_MAX_VALUE]
            if len(chosen) >= _MAX_HEADERS:
                break
    return chosen
