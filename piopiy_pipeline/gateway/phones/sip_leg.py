"""A phone as a leg of the gateway: it joins a SIP call to its audio over RTP.

The leg stands between a `SipCall`, which knows nothing of audio, and an `RtpTransport`, which knows nothing of
calls. It has no timer of its own: `on_half_tick` is called every 20 ms while audio flows, 10 ms after the
bot's frame for these 20 ms was sent.
"""

from __future__ import annotations

import asyncio
import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.key_deduplicator import KeyDeduplicator
from piopiy_pipeline.gateway.rtp.codecs import codec_rate
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.rtp.session import RtpSession
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import (
    AgreedMedia,
    Negotiation,
    SdpRefused,
    SessionDescription,
)
from piopiy_pipeline.signaling.messages import ConversationEvent

__all__ = ["IncomingSipLeg", "LegHost", "SipLeg", "refusal"]

_REFUSALS: Mapping[EndReason, tuple[int, str]] = {
    EndReason.BUSY: (486, "Busy Here"),
    EndReason.NO_AGENT: (480, "Temporarily Unavailable"),
    EndReason.AGENT_HANGUP: (603, "Decline"),
    EndReason.SETUP_TIMEOUT: (504, "Server Time-out"),
    EndReason.SHUTDOWN: (503, "Service Unavailable"),
}


def refusal(reason: EndReason) -> tuple[int, str]:
    """Return the SIP status and phrase with which an unanswered call ends for this reason."""
    return _REFUSALS.get(reason, (500, "Server Internal Error"))


class LegHost(Protocol):
    """What a leg needs of `Phones`."""

    media_timeout_s: float
    """The call ends after so many seconds without a packet of the phone."""

    def refer_target(self, to: str, call: SipCall) -> str | None:
        """Return the URI by which the phone of this call can call `to`; None where it cannot."""

    def leg_opened(self, leg: SipLeg) -> None:
        """Call `leg.on_half_tick` from now on, because audio flows."""

    def leg_closed(self, leg: SipLeg) -> None:
        """Handle that a leg has ended."""


class SipLeg(Leg):
    """What the legs of calls in both directions have in common. It is the `CallListener` of its SIP call.

    Args:
        transport: The RTP sockets; they are closed with the leg.
        negotiation: Our side of offers and answers.
        host: Knows where phones are reached, and calls `on_half_tick`.
    """

    kind: CallKind = "phone"

    def __init__(self, transport: RtpTransport, negotiation: Negotiation, host: LegHost) -> None:
        self.rate = 8000
        self._call: SipCall | None = None
        self._transport = transport
        self._negotiation = negotiation
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._listener: LegListener | None = None
        self._answered = False
        self._over = False
        self._unkept = False  # whether it was logged that the call cannot be kept
        self._measured: dict[str, Any] = {}
        self._keys = KeyDeduplicator()
        self._on_referred: Callable[[bool, str, float], None] | None = None
        self._theirs: SessionDescription | None = None  # what was agreed on last
        self.log = logger
        """Logs what happens to this leg, with the call's id as soon as it is known."""

    # ------------------------------------------------------------------ used by the gateway's call

    @property
    def frames_dropped(self) -> int:
        return self._transport.dropped

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Tell the phone nothing: of a call that the gateway has placed it has picked up already."""
        self.log = logger.bind(call_id=call_id)

    def send_audio(self, pcm: bytes) -> None:
        self._transport.send(pcm)

    def conversation(self, event: ConversationEvent) -> None:
        """Do nothing, because a telephone cannot show anything."""

    def dtmf(self, digits: str) -> None:
        if self._transport.session is not None and not self._over:
            sent = self._transport.session.press(digits)
            if sent < len(digits):
                unsent = len(digits) - sent
                self.log.warning(
                    "{} of {} keys were not sent to the phone: too many wait", unsent, len(digits)
                )

    def data(self, data: dict[str, Any]) -> None:
        """Do nothing, because a telephone has no application that could take a message."""

    def refer(self, to: str, done: Callable[[bool, str, float], None]) -> bool:
        if self._call is None or self._over or not self._answered or self._on_referred is not None:
            return False
        target = self._host.refer_target(to, self._call)
        if target is None:
            return False
        try:
            asked = self._call.refer(target, self._loop.time())
        except ValueError:
            return False  # the dialling that follows reports that this is no address
        self._on_referred = done if asked else None
        return asked

    def end(self, reason: EndReason, detail: str) -> None:
        if self._over:
            return
        self._over = True
        self._listener = None
        now = self._loop.time()
        if self._call is not None and self._answered:
            self._call.hangup(now)
        elif self._call is not None:
            self._give_up(reason, now)
        self._close()

    def kept(self) -> KeptPhone | None:
        """Return what another process needs to go on with the call; None while it is not in progress, or if what the
        phone has sent cannot be kept, which is logged.
        """
        try:
            dialog = None if self._call is None or self._over else self._call.kept()
            if dialog is None or self._theirs is None:
                return None
            theirs = bytes(self._theirs).decode("utf-8", "replace")
            return KeptPhone(dialog=dialog, theirs=theirs, rtp_port=self._transport.port)
        except ValueError as error:
            if not self._unkept:
                self._unkept = True
                self.log.warning("the call cannot go on in another process: {}", error)
            return None

    def line_quality(self) -> dict[str, Any]:
        """Return what `RtpSession.quality` returns; empty before the answer."""
        session = self._transport.session
        return self._measured if session is None else session.quality(self._loop.time())

    # ------------------------------------------------------------------ used by `Phones`

    def on_half_tick(self, now: float) -> None:
        """20 ms have passed: read what came, report it, and send. `now` is the event loop's time in seconds."""
        session = self._transport.session
        if session is None or self._over:
            return
        pcm, keys = self._transport.poll(now)
        listener = self._listener
        if listener is None:
            return
        if keys and (new := self._keys.take(keys, "rtp", now)):
            listener.caller_dtmf(new)
        listener.caller_audio(pcm)
        unheard_s = session.unheard_s(now)
        if unheard_s > self._host.media_timeout_s:
            self.lose(now, f"media lost: nothing was heard of the phone for {unheard_s:.0f} s")

    def lose(self, now: float, detail: str) -> None:
        """End the call and this leg, because the audio cannot go on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(now, detail)
        self.end(EndReason.CALLER_HANGUP, detail)

    # ------------------------------------------------------------------ reports of the SIP call

    @abstractmethod
    def call_ringing(self, now: float) -> None:
        """Handle that the other side rings, as `CallListener` says."""

    @abstractmethod
    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Handle early media, as `CallListener` says."""

    @abstractmethod
    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        """Handle that the call is established, as `CallListener` says."""

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        session = self._transport.session
        if session is None or self._over:
            return None
        if offer is None:
            return self._negotiation.offer()
        ours, agreed = self._negotiation.answer(offer)
        self._theirs = offer
        session.agree(agreed, now)
        return ours

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        session = self._transport.session
        if session is None or self._over:
            return
        try:
            session.agree(self._negotiation.accept(description), now)
            self._theirs = description
        except SdpRefused as error:
            self.lose(now, f"the phone's media cannot be used: {error}")

    def call_dtmf(self, digits: str, now: float) -> None:
        if self._listener is not None and self._answered and (new := self._keys.take(digits, "info", now)):
            self._listener.caller_dtmf(new)

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None:
        if code >= 200 and self._on_referred is not None:
            done, self._on_referred = self._on_referred, None
            done(code < 300, f"{code} {phrase}", now)
            if code < 300 and not self._over:
                # The transfer had been given up, and nobody waited for it. The caller talks to somebody else.
                self.lose(now, "the phone got where it was sent, after it had been given up")

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._over:
            return
        if self._on_referred is not None:
            # Some phones hang up as soon as the transfer's target has answered, and report no progress.
            done, self._on_referred = self._on_referred, None
            done(ending is Ending.PEER_HUNG_UP, phrase, now)
        if not self._over:
            self._hung_up(ending, code, phrase, now)

    # ------------------------------------------------------------------ within

    @abstractmethod
    def _give_up(self, reason: EndReason, now: float) -> None:
        """End the SIP call before it is answered."""

    def _hung_up(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self._call = None  # it is over and needs no BYE
        self.lose(now, f"the phone was lost: {code} {phrase}" if ending is Ending.LOST else "")

    def _open(self, media: AgreedMedia) -> RtpSession:
        session = self._transport.open(media, rate=self.rate, cname=secrets.token_hex(12))
        if self._call is not None:
            session.expect(self._call.source[0])
        self._host.leg_opened(self)
        return session

    def _close(self) -> None:
        # The user agent keeps the call, and the call keeps this leg, for half a minute: the buffers go now.
        self._measured = self.line_quality()
        self._transport.close()
        self._host.leg_closed(self)


class IncomingSipLeg(SipLeg):
    """A phone that calls.

    `rate` is known from the beginning: the first codec of the offer that we have decides. A phone that leaves
    the offer to us gets a codec of 8 kHz.

    Args:
        call: The SIP call, which reports to this leg from now on.
        transport: The RTP sockets; they are closed with the leg.
        negotiation: Our side of offers and answers.
        host: Knows where phones are reached, and calls `on_half_tick`.

    Raises:
        SdpRefused: The offer cannot be met.
    """

    def __init__(
        self, call: IncomingCall, transport: RtpTransport, negotiation: Negotiation, host: LegHost
    ) -> None:
        super().__init__(transport, negotiation, host)
        self._incoming = call
        self._call = call
        self._agreed: AgreedMedia | None = None
        if call.offer is None:
            self._ours = negotiation.offer()
        else:
            self._ours, self._agreed = negotiation.answer(call.offer)
            self._theirs = call.offer
            self.rate = codec_rate(self._agreed.codec.name)
        call.attach(self)

    def ring(self, call_id: str) -> None:
        super().ring(call_id)
        if self._call is not None and not self._over:
            self._incoming.ring(self._loop.time())

    def answer(self) -> None:
        if self._call is None or self._over:
            return
        self._answered = True
        if self._agreed is not None:
            self._open(self._agreed).awaited = self._incoming.present
        self._incoming.answer(self._ours, self._loop.time())

    def call_ringing(self, now: float) -> None:
        """Only outgoing calls ring at the other side."""

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        """Only outgoing calls have early media."""

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        if self._transport.session is not None:
            self._transport.session.awaited = True
        if description is None or self._over:
            return
        try:
            self._open(self._negotiation.accept(description))
            self._theirs = description
        except SdpRefused as error:
            self.lose(now, f"the phone's media cannot be used: {error}")

    def _give_up(self, reason: EndReason, now: float) -> None:
        self._incoming.reject(*refusal(reason), now)
