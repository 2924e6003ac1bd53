"""A phone whose call another process began: the leg of a call that goes on here."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.sip_leg import LegHost, SipLeg
from piopiy_pipeline.gateway.rtp.codecs import codec_rate
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.dialog.restored_call import RestoredCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SessionDescription

__all__ = ["RestoredSipLeg"]


class RestoredSipLeg(SipLeg):
    """A phone in the middle of its call. It sends its sound to where it did before, and that is here.

    Args:
        kept: What is kept of the call.
        call: The SIP call, which reports to this leg from now on.
        transport: The RTP sockets, on the port from before; they are closed with the leg.
        negotiation: Our side of offers and answers.
        host: Knows where phones are reached, and calls `on_half_tick`.

    Raises:
        SdpRefused: What was agreed on cannot be met here.
        ValueError: It cannot be read.
    """

    def __init__(
        self,
        kept: KeptPhone,
        call: RestoredCall,
        transport: RtpTransport,
        negotiation: Negotiation,
        host: LegHost,
    ) -> None:
        super().__init__(transport, negotiation, host)
        theirs = SessionDescription.parse(kept.theirs.encode())
        agreed = negotiation.resume(call.ours, theirs)
        self._kept = kept
        self._call = self._restored = call
        self._theirs = theirs
        self._answered = True
        self.rate = codec_rate(agreed.codec.name)
        call.attach(self)
        self._open(agreed)

    def answer(self) -> None:
        """Have the phone confirm that it is still there, now that the bot speaks.

        One on a connection that went with the process before is not asked: it opens another one when it has
        something to say, and from behind a NAT nobody else can.
        """
        if not self._over and not self._kept.dialog.flow.reliable:
            self._restored.refresh(self._loop.time())

    def call_ringing(self, now: float) -> None:
        """Only calls that begin ring."""

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Only calls that begin have early media."""

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        """Only calls that begin are answered."""

    def _give_up(self, reason: EndReason, now: float) -> None:
        self._restored.hangup(now)
