"""The protocol by which a SIP call reports to its leg. It shows neither sockets nor messages.

Nothing in a listener may wait: its methods are called from within the user agent, with the user agent's time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription

__all__ = ["CallListener", "Ending"]


class Ending(StrEnum):
    """How a SIP call ended, and by whom."""

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
    """Receives what a SIP call reports. `now` is the event loop's time in seconds."""

    def call_ringing(self, now: float) -> None:
        """Handle that the other side of an outgoing call rings (180). It may be reported more than once."""

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Handle a 183 to an outgoing call, with the answer to our offer, for audio before the call is
        answered.
        """

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        """Handle that the call is established.

        Outgoing: 200 came; `description` answers our offer. Incoming: the ACK of our 200 came;
        `description` is None unless the INVITE had no offer (`SipCall.offer` is None).
        """

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        """Handle that the other side changes the media: hold, resume, or a new address.

        Args:
            offer: The offer of the other side; None: it asks for our offer, and its answer comes with
                `call_reanswered`.
            now: The time in seconds.

        Returns:
            Our answer or our offer; None keeps everything as it is (488).

        Raises:
            SdpRefused: The offer cannot be met; this also keeps everything as it is.
        """

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        """Handle the answer to an offer of ours within the call: of `call_reoffered(None)`, or of a session
        refresh.
        """

    def call_dtmf(self, digits: str, now: float) -> None:
        """Handle keys that came by INFO, from phones that send no telephone events."""

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None:
        """Handle the progress of `SipCall.refer`, a SIP status: 100 trying, 180 ringing, 2xx done, 3xx and
        above failed.
        """

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        """Handle the end of the call, which is reported exactly once. `code` is the SIP status that fits
        best.
        """
