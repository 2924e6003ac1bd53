"""A telephone on the line: what SIP and RTP say, as a leg of the gateway, for calls in and out.

The leg stands between a `SipCall`, which knows nothing of sound, and an `RtpTransport`, which knows nothing
of calls. It has no timer of its own: `beat` is called every 20 ms while sound flows, behind the
bot's frames of these 20 ms.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialledLeg, DialledListener, DialRefused
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.gateway.rtp.codecs import codec_rate
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.rtp.session import RtpSession
from piopiy_pipeline.gateway.sip.dialog.listeners import Ending
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import (
    AgreedMedia,
    Negotiation,
    SdpRefused,
    SessionDescription,
)
from piopiy_pipeline.signaling.messages import ConversationEvent

__all__ = ["DialledSipLeg", "LegHost", "SipLeg", "refusal"]

_REFUSALS: Mapping[EndReason, tuple[int, str]] = {
    EndReason.BUSY: (486, "Busy Here"),
    EndReason.NO_AGENT: (480, "Temporarily Unavailable"),
    EndReason.AGENT_HANGUP: (603, "Decline"),
    EndReason.SETUP_TIMEOUT: (504, "Server Time-out"),
    EndReason.SHUTDOWN: (503, "Service Unavailable"),
}
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


def refusal(reason: EndReason) -> tuple[int, str]:
    """The final status with which an unanswered call ends for this reason."""
    return _REFUSALS.get(reason, (500, "Server Internal Error"))


class LegHost(Protocol):
    """What a leg needs of whoever beats time."""

    media_timeout_s: float

    def refer_target(self, to: str, call: SipCall) -> str | None:
        """`to` as the other side of this call can dial it, a URI; None where it cannot."""

    def leg_opened(self, leg: SipLeg) -> None:
        """Sound flows: `leg.beat` is wanted from now on."""

    def leg_closed(self, leg: SipLeg) -> None:
        """It is over."""


class SipLeg(Leg):
    """A phone that calls. Implements `CallListener` for its call.

    `line` is closed with the leg. `rate` is known from the beginning: the offer's first codec that we
    have decides. A phone that leaves the offer to us gets one of 8 kHz codecs only.
    Raises `SdpRefused` where the offer cannot be met.
    """

    kind: CallKind = "phone"

    def __init__(
        self, call: SipCall | None, line: RtpTransport, negotiation: Negotiation, host: LegHost
    ) -> None:
        self.rate = 8000
        self._call = call
        self._line = line
        self._negotiation = negotiation
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._listener: LegListener | None = None
        self._answered = False
        self._over = False
        self._measured: dict[str, Any] = {}
        self._referred: Callable[[bool, str, float], None] | None = None
        self._ours: SessionDescription | None = None
        self._agreed: AgreedMedia | None = None
        if call is not None:
            if call.offer is None:
                self._ours = negotiation.offer()
            else:
                self._ours, self._agreed = negotiation.answer(call.offer)
                self.rate = codec_rate(self._agreed.codec.name)
            call.attach(self)

    # ------------------------------------------------------------------ the gateway's side

    @property
    def frames_dropped(self) -> int:
        return self._line.dropped

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        if self._call is not None and not self._over:
            self._call.ring(self._loop.time())

    def answer(self) -> None:
        if self._call is None or self._ours is None or self._over:
            return
        self._answered = True
        if self._agreed is not None:
            self._open(self._agreed).awaited = self._call.present
        self._call.answer(self._ours, self._loop.time())

    def send_audio(self, pcm: bytes) -> None:
        self._line.send(pcm)

    def conversation(self, event: ConversationEvent) -> None:
        """A telephone shows nothing."""

    def dtmf(self, digits: str) -> None:
        if self._line.session is not None and not self._over:
            self._line.session.press(digits)

    def data(self, data: dict[str, Any]) -> None:
        """A telephone has no application."""

    def refer(self, to: str, done: Callable[[bool, str, float], None]) -> bool:
        if self._call is None or self._over or not self._answered or self._referred is not None:
            return False
        target = self._host.refer_target(to, self._call)
        if target is None:
            return False
        try:
            asked = self._call.refer(target, self._loop.time())
        except ValueError:
            return False  # no address: whoever dials it will say so
        self._referred = done if asked else None
        return asked

    def end(self, reason: EndReason, detail: str) -> None:
        if self._over:
            return
        self._over = True
        self._listener = None
        now = self._loop.time()
        if self._call is not None:
            if self._answered:
                self._call.hangup(now)
            else:
                self._refuse(self._call, reason, now)
        self._close()

    def line_quality(self) -> dict[str, Any]:
        """See `RtpSession.quality`; empty before the answer."""
        session = self._line.session
        return self._measured if session is None else session.quality(self._loop.time())

    # ------------------------------------------------------------------ the beat

    def beat(self, now: float) -> None:
        """20 ms have passed."""
        session = self._line.session
        if session is None or self._over:
            return
        pcm, keys = self._line.beat(now)
        listener = self._listener
        if listener is None:
            return
        if keys:
            listener.caller_dtmf(keys)
        listener.caller_audio(pcm)
        unheard_s = session.unheard_s(now)
        if unheard_s > self._host.media_timeout_s:
            self.lose(now, f"media lost: nothing was heard of the phone for {unheard_s:.0f} s")

    def lose(self, now: float, detail: str) -> None:
        """The line is of no use any more: the call ends, which ends this leg."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(now, detail)
        self.end(EndReason.CALLER_HANGUP, detail)

    # ------------------------------------------------------------------ SIP's side

    def call_ringing(self, now: float) -> None:
        """Of calls that go out."""

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Of calls that go out."""

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        if self._line.session is not None:
            self._line.session.awaited = True
        if description is None or self._over:
            return
        try:
            self._open(self._negotiation.accept(description))
        except SdpRefused as error:
            self.lose(now, f"the phone's media cannot be used: {error}")

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        session = self._line.session
        if session is None or self._over:
            return None
        if offer is None:
            return self._negotiation.offer()
        ours, agreed = self._negotiation.answer(offer)
        session.agree(agreed, now)
        return ours

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        session = self._line.session
        if session is None or self._over:
            return
        try:
            session.agree(self._negotiation.accept(description), now)
        except SdpRefused as error:
            self.lose(now, f"the phone's media cannot be used: {error}")

    def call_reoffer_failed(self, code: int, phrase: str, now: float) -> None:
        logger.debug("a re-INVITE was refused: {} {}", code, phrase)

    def call_dtmf(self, digits: str, now: float) -> None:
        if self._listener is not None and self._answered:
            self._listener.caller_dtmf(digits)

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None:
        if code >= 200 and self._referred is not None:
            done, self._referred = self._referred, None
            done(code < 300, f"{code} {phrase}", now)
            if code < 300 and not self._over:
                # Nobody waited for it any more. The caller talks to somebody else all the same.
                self.lose(now, "the phone got where it was sent, after it had been given up")

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._over:
            return
        if self._referred is not None:
            # Some phones hang up as soon as they have somebody else on the line, and say no more.
            done, self._referred = self._referred, None
            done(ending is Ending.PEER_HUNG_UP, phrase, now)
        if not self._over:
            self._hung_up(ending, code, phrase, now)

    # ------------------------------------------------------------------ within

    def _hung_up(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self._call = None  # there is nobody left to tell
        self.lose(now, f"the phone was lost: {code} {phrase}" if ending is Ending.LOST else "")

    def _refuse(self, call: SipCall, reason: EndReason, now: float) -> None:
        call.reject(*refusal(reason), now)

    def _open(self, media: AgreedMedia) -> RtpSession:
        session = self._line.open(media, rate=self.rate, cname=secrets.token_hex(12))
        if self._call is not None:
            session.expect(self._call.source[0])
        self._host.leg_opened(self)
        return session

    def _close(self) -> None:
        # Signalling keeps the call, and the call this leg, for half a minute: not the buffers, too.
        self._measured = self.line_quality()
        self._line.close()
        self._host.leg_closed(self)


class DialledSipLeg(SipLeg, DialledLeg):
    """A phone that is called. `invite` sends the invitation with our offer; it may raise `DialRefused`."""

    def __init__(
        self,
        line: RtpTransport,
        negotiation: Negotiation,
        host: LegHost,
        *,
        invite: Callable[[SessionDescription, SipLeg], SipCall],
    ) -> None:
        super().__init__(None, line, negotiation, host)
        self._invite = invite
        self._dialled: DialledListener | None = None  # until somebody picks up, or nobody does
        self._early: SessionDescription | None = None

    def call(self, listener: DialledListener) -> None:
        self._dialled = listener
        self.attach(listener)
        try:
            self._call = self._invite(self._negotiation.offer(), self)
        except DialRefused as error:
            self._loop.call_soon(self._fail, "unreachable", str(error))

    def call_ringing(self, now: float) -> None:
        if self._dialled is not None:
            self._dialled.callee_ringing(now)

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        # Nobody listens to it here; but a 200 without a description means this one.
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
            dialled.callee_failed(self._loop.time(), why, detail)
        self.end(EndReason.UNREACHABLE, detail)

    def _refuse(self, call: SipCall, reason: EndReason, now: float) -> None:
        call.hangup(now)
