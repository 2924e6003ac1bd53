"""A call that comes in: from its INVITE to the answer, the refusal, or the caller's change of mind. No I/O.

Source: RFC 3261, sections 9.2 (CANCEL) and 13.3 (INVITE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog
from piopiy_pipeline.gateway.sip.dialog.listeners import Ending
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SdpError, SessionDescription, choose
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipRequest, clean
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import TransactionUser

__all__ = ["IncomingCall", "unacceptable"]

_MAX_HEADERS = 32
_MAX_VALUE = 512
_OF_INTEREST = frozenset(["user-agent", "diversion", "history-info", "subject", "call-info"])
_OF_TRUNKS = frozenset(["p-asserted-identity", "remote-party-id", "privacy", "p-called-party-id"])


class IncomingCall(SipCall):
    """Somebody calls us. Raises `ValueError` for an INVITE that cannot be answered."""

    direction: Literal["in", "out"] = "in"

    def __init__(
        self,
        line: TransactionUser,
        request: SipRequest,
        source: Flow,
        *,
        local_tag: str,
        agent_id: str,
        user: str,
        trusted: bool,
        session_expires_s: int,
    ) -> None:
        super().__init__(line, call_id=request.call_id, local_tag=local_tag, source=source)
        self.agent_id, self.user = agent_id, user
        self.present = trusted or bool(user) or source.reliable
        self.to_user = clean(SipUri.parse(request.uri).number)[:_MAX_VALUE]
        self.from_user, self.from_name = _caller(request)
        self.headers = _chosen(request, trusted)
        self.offer = SessionDescription.parse(request.body) if request.body else None
        self._dialog = Dialog.of_request(
            request,
            source,
            local_tag=local_tag,
            contact=line.contact(source, self.to_user),
            sent_by=line.sent_by(source),
        )
        self._invite, self._came_from = request, source
        self.session_timer = type(self.session_timer)(session_expires_s)
        self.timer_headers = self.session_timer.asked(request)
        """What the 2xx says of session timers; None: the interval is too short (422)."""

    @property
    def request(self) -> SipRequest:
        """The INVITE."""
        return self._invite

    @property
    def unanswered(self) -> bool:
        """Whether it still rings."""
        return self._state == "early"

    def ring(self, now: float) -> None:
        """180 Ringing."""
        self._provisional(180, None, now)

    def progress(self, description: SessionDescription, now: float) -> None:
        """183 Session Progress with early media."""
        self._provisional(183, description, now)

    def _provisional(self, code: int, description: SessionDescription | None, now: float) -> None:
        if self._state == "early" and self._dialog is not None:
            routes = self._routes()
            body = bytes(description) if description is not None else b""
            headers = (*routes, ("Contact", self._dialog.contact))
            self._respond(self._invite, self._came_from, code, headers=headers, body=body, now=now)

    def answer(self, description: SessionDescription, now: float) -> None:
        """200 OK."""
        if self._state != "early":
            return
        self._state = "up"
        self._offered_by_us = "" if self.offer is not None else "answer"
        self._accept(self._invite, self._came_from, description, self.timer_headers or (), now)

    def reject(self, code: int, phrase: str, now: float) -> None:
        """Refuse with a final status (300-699). Raises `ValueError` for another."""
        if not 300 <= code <= 699:
            raise ValueError(f"a call is refused with 300-699, not {code}")
        if self._state != "early":
            return
        self._refuse(code, phrase, now)
        self._tell_ended(Ending.HUNG_UP, code, phrase, now)
        self._over()

    def cancelled(self, now: float) -> None:
        """CANCEL came. After the answer it changes nothing: 9.2."""
        if self._state != "early":
            return
        self._refuse(487, "", now)
        self._tell_ended(Ending.CANCELLED, 487, "", now)
        self._over()

    def hangup(self, now: float) -> None:
        """BYE, or 480 before the answer."""
        if self._state == "early":
            self.reject(480, "", now)
        else:
            super().hangup(now)

    def _bye_came(self, request: SipRequest, source: Flow, now: float) -> None:
        early = self._state == "early"  # 15.1.2: whoever calls may give up with BYE, too
        super()._bye_came(request, source, now)
        if early:
            self._refuse(487, "", now)

    def _confirmed(self, awaited: str, description: SessionDescription | None, now: float) -> None:
        if awaited == "reinvite" or self._told_answered:
            super()._confirmed(awaited, description, now)
        else:
            self._told_answered = True
            if self._listener is not None:
                self._listener.call_answered(description, now)

    _told_answered = False

    def _refuse(self, code: int, phrase: str, now: float) -> None:
        clean_phrase = "".join(c for c in phrase if c.isprintable())[:100]
        headers = (("Allow", ALLOW),) if code == 405 else ()
        self._respond(self._invite, self._came_from, code, clean_phrase, headers=headers, now=now)

    def _routes(self) -> tuple[tuple[str, str], ...]:
        return tuple(("Record-Route", value) for value in self._invite.headers.getlist("Record-Route"))


def unacceptable(
    request: SipRequest, codecs: Sequence[str]
) -> tuple[int, str, tuple[tuple[str, str], ...]] | None:
    """What is wrong with an INVITE's body: code, phrase, headers."""
    accepts = (("Accept", "application/sdp"),)
    wanted = request.headers.getlist("Accept")
    if wanted and not any("application/" in w.lower() or "*/*" in w for w in wanted):
        return 406, "", ()
    if not request.body:
        return None
    if request.content_type != "application/sdp" or request.get("Content-Encoding"):
        return 415, "", accepts
    try:
        offer = SessionDescription.parse(request.body)
    except SdpError as error:
        return 400, str(error), ()
    if offer.audio is None or not offer.audio.port:
        return 488, "No audio over RTP/AVP", ()
    if choose(offer.audio.formats, codecs) is None:
        return 488, "No codec in common", ()
    return None


def _caller(request: SipRequest) -> tuple[str, str]:
    """Number and name of who calls; both empty for those who will not say (RFC 3323)."""
    try:
        uri = SipUri.parse(request.from_.uri)
    except ValueError:
        return "", clean(request.from_.name)[:_MAX_VALUE]
    if uri.host.lower() == "anonymous.invalid" or uri.user.lower() == "anonymous":
        return "", ""
    return clean(uri.number)[:_MAX_VALUE], clean(request.from_.name)[:_MAX_VALUE]


def _chosen(request: SipRequest, trusted: bool) -> dict[str, str]:
    """The headers that a bot may read. What a network asserts is believed only of a trunk (RFC 3325)."""
    chosen: dict[str, str] = {}
    for name in request.headers.keys():  # noqa: SIM118 - sipmessage's Headers cannot be iterated
        low = name.lower()
        if low.startswith("x-") or low in _OF_INTEREST or (trusted and low in _OF_TRUNKS):
            chosen[name[:64]] = clean(request.get(name))[:_MAX_VALUE]
            if len(chosen) >= _MAX_HEADERS:
                break
    return chosen
