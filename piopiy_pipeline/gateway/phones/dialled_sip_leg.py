"""A phone that is called: the leg of an outgoing SIP call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialledLeg, DialledListener, DialRefused
from piopiy_pipeline.gateway.phones.sip_leg import LegHost, SipLeg
from piopiy_pipeline.gateway.rtp.codecs import codec_rate
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SdpRefused, SessionDescription

__all__ = ["DialledSipLeg"]

_FAILURES: Mapping[int, DialFailure] = {
    404: "unreachable",
    408: "no_answer",
    410: "unreachable",
    480: "no_answer",
    484: "unreachable",
    486: "busy",
    600: "busy",
    603: "declined",
    604: "unreachable",
    607: "declined",
}


class DialledSipLeg(SipLeg, DialledLeg):
    """A phone that is called.

    Args:
        transport: The RTP sockets; they are closed with the leg.
        negotiation: Our side of offers and answers.
        host: Knows where phones are reached, and calls `on_frame_tick`.
        invite: Sends the INVITE with our offer; it may raise `DialRefused`.
        on_outcome: Told once what became of it: ``answered``, or a `DialFailure`.
    """

    def __init__(
        self,
        transport: RtpTransport,
        negotiation: Negotiation,
        host: LegHost,
        *,
        invite: Callable[[SessionDescription, SipLeg], SipCall],
        on_outcome: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        super().__init__(transport, negotiation, host)
        self._invite = invite
        self._on_outcome = on_outcome
        self._dialled: DialledListener | None = None  # until the call is answered or fails
        self._early: SessionDescription | None = None

    def call(self, listener: DialledListener) -> None:
        self._dialled = listener
        self.attach(listener)
        try:
            self._call = self._invite(self._negotiation.offer(), self)
        except DialRefused as error:
            self._loop.call_soon(self._fail, "unreachable", str(error))

    def ring(self, call_id: str) -> None:
        """Do nothing, because the phone has picked up already when an agent is asked."""

    def answer(self) -> None:
        """Do nothing, because the phone has picked up already."""

    def call_ringing(self, now: float) -> None:
        if self._dialled is not None:
            self._dialled.callee_ringing(now)

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        # Nobody listens to early media here; but it is the answer when the 200 has no description.
        self._early = description

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        description = description or self._early
        if self._over or self._dialled is None:
            return
        if description is None:
            self._fail("failed", "the phone answered without a description of its media")
            return
        try:
            media = self._negotiation.accept(description)
        except SdpRefused as error:
            self._fail("failed", f"the phone's media cannot be used: {error}")
            return
        self._answered = True
        self.rate = codec_rate(media.codec.name)
        self._open(media)
        dialled, self._dialled = self._dialled, None
        self._on_outcome("answered")
        dialled.callee_answered(now)

    def end(self, reason: EndReason, detail: str) -> None:
        self._dialled = None
        super().end(reason, detail)

    def _hung_up(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._dialled is None:
            super()._hung_up(ending, code, phrase, now)
            return
        self._call = None
        if ending is Ending.NO_ANSWER:
            why: DialFailure = "no_answer"
        elif ending is Ending.LOST:
            why = "unreachable"
        else:
            why = _FAILURES.get(code, "failed")
        self._fail(why, f"{code} {phrase}")

    def _fail(self, why: DialFailure, detail: str) -> None:
        dialled, self._dialled = self._dialled, None
        if dialled is not None:
            self._on_outcome(why)
            dialled.callee_failed(self._loop.time(), why, detail)
        self.end(EndReason.UNREACHABLE, detail)

    def _give_up(self, reason: EndReason, now: float) -> None:
        if self._call is not None:
            self._call.hangup(now)
