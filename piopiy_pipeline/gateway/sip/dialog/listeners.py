"""What the SIP user agent tells those who use it. The phone leg listens to a call, the gateway to all.

A stateless file on purpose: the leg is written against it, and neither sockets nor messages show.
Nothing here may wait; what is called back is called from within `SipUserAgent` with its time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription

if TYPE_CHECKING:  # a call tells its listener, and a listener is given the call
    from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall

__all__ = ["CallListener", "Ending", "UserAgentListener"]


class Ending(StrEnum):
    """How a SIP call came to its end, by who ended it."""

    CANCELLED = "cancelled"
    """The caller gave up before the answer (CANCEL), or we did on a call of ours."""
    PEER_HUNG_UP = "peer_hung_up"
    """BYE from the other side."""
    HUNG_UP = "hung_up"
    """BYE, or a refusal, from our side."""
    REFUSED = "refused"
    """A call of ours was refused: the code says why (486 busy, 603 declined, 404, 3xx ...)."""
    NO_ANSWER = "no_answer"
    """A call of ours rang until its ring timeout."""
    LOST = "lost"
    """The other side no longer answers, or cannot be reached: no ACK, a timeout, a session not refreshed."""


class CallListener(Protocol):
    """What a call tells its leg. `now` is the event loop's time in seconds."""

    def call_ringing(self, now: float) -> None:
        """Outgoing: the other side rings (180). May come more than once."""

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Outgoing: sound before the answer (183 with a description, the answer to our offer)."""

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        """The call is established.

        Outgoing: 200 came; `description` answers our offer. Incoming: the ACK of our 200 came;
        `description` is None unless the caller had left the offer to us (`SipCall.offer` is None).
        """

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        """The other side changes the media (hold, resume, a new address): our answer.

        With `offer` None it asks for an offer of ours, and its answer comes with `call_reanswered`.
        Return None, or raise `SdpRefused`, to keep everything as it is (488).
        """

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        """The answer to an offer of ours within the call (`SipCall.reoffer`, or `call_reoffered(None)`)."""

    def call_reoffer_failed(self, code: int, phrase: str, now: float) -> None:
        """Our `SipCall.reoffer` was refused, and nothing has changed."""

    def call_dtmf(self, digits: str, now: float) -> None:
        """Keys by INFO (application/dtmf-relay), of phones that do not send telephone-event."""

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None:
        """How our `SipCall.refer` fares: 100 trying, 180 ringing, 2xx done, 3xx and above failed."""

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        """The call is over, told exactly once. `code` is the SIP status that says it best."""


class UserAgentListener(Protocol):
    """What the user agent tells the gateway."""

    def incoming_call(self, call: SipCall, now: float) -> None:
        """Somebody calls. 100 was sent. Attach a listener, then `ring`, `answer` or `reject`; none need be now."""
