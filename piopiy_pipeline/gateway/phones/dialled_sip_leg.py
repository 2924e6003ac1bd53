"""A phone that is called: the leg of an outgoing SIP call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialledLeg, DialledListener, DialRefused
from piopiy_pipeline.gateway.phones.sip_leg import LegHost, SipLeg
from piopiy_pipeline.gateway.rtp.codecs import codec_rate
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.agent.edge_proxy import FLOW_FAILED
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SdpRefused, SessionDescription

__all__ = ["OTHER_WAY_S", "DialledSipLeg", "FoundPhone", "Invite"]

OTHER_WAY_S = 1.5
"""When nothing at all is heard for so long, in seconds, the next way is tried: the gateway on the way is dead, say. The
INVITE has come three times then, and a phone says something within 0.2 s (RFC 3261, 17.2.1)."""

Invite = Callable[[SessionDescription, SipLeg], OutgoingCall]
"""Sends an INVITE with our offer, one way; it may raise `DialRefused`."""


@dataclass(frozen=True, slots=True)
class FoundPhone:
    """A phone, and the ways to it."""

    negotiation: Negotiation
    """Our side of the offer to it."""
    ways: tuple[Invite, ...]
    """In the order in which they are tried."""


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
        host: Knows where phones are reached, and calls `on_half_tick`.
        find: Finds the phone first, within a bounded time; it may raise `DialRefused`.
        ways: The ways to the phone where nobody has to find it.
        on_outcome: Told once what became of it: ``answered``, or a `DialFailure`.
    """

    def __init__(
        self,
        transport: RtpTransport,
        negotiation: Negotiation,
        host: LegHost,
        *,
        find: Callable[[], Awaitable[FoundPhone]] | None = None,
        ways: tuple[Invite, ...] = (),
        on_outcome: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        super().__init__(transport, negotiation, host)
        self._find = find
        self._ways = list(ways)
        self._finding: asyncio.Task[None] | None = None
        self._silent: asyncio.TimerHandle | None = None  # until something is heard of the other side
        self._on_outcome = on_outcome
        self._dialled: DialledListener | None = None  # until the call is answered or fails
        self._early: SessionDescription | None = None

    def call(self, listener: DialledListener) -> None:
        self._dialled = listener
        self.attach(listener)
        if self._find is not None:
            self._finding = self._loop.create_task(self._look_for(self._find), name="find a phone")
        else:
            self._next_way()

    async def _look_for(self, find: Callable[[], Awaitable[FoundPhone]]) -> None:
        try:
            found = await find()
        except DialRefused as error:
            self._finding = None
            self._fail("unreachable", str(error))
            return
        self._finding = None
        self._negotiation, self._ways = found.negotiation, list(found.ways)
        self._next_way()

    def _next_way(self) -> None:
        invite = self._ways.pop(0)
        try:
            self._call = invite(self._negotiation.offer(), self)
        except DialRefused as error:
            self._loop.call_soon(self._fail, "unreachable", str(error))
            return
        if self._ways:
            self._silent = self._loop.call_later(OTHER_WAY_S, self._try_another_way, self._call)

    def _try_another_way(self, call: OutgoingCall) -> None:
        if self._dialled is not None and self._call is call and not call.heard:
            self._call = None
            call.abandon(self._loop.time())
            self._next_way()

    def _stop_looking(self) -> None:
        if self._finding is not None:
            self._finding.cancel()
            self._finding = None
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None

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
        self._answered, self._theirs = True, description
        self.rate = codec_rate(media.codec.name)
        self._open(media)
        dialled, self._dialled = self._dialled, None
        self._on_outcome("answered")
        dialled.callee_answered(now)

    def end(self, reason: EndReason, detail: str) -> None:
        self._dialled = None
        self._stop_looking()
        super().end(reason, detail)

    def _hung_up(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if self._dialled is None:
            super()._hung_up(ending, code, phrase, now)
            return
        self._call = None
        if self._ways and (ending is Ending.LOST or code == FLOW_FAILED):
            self._stop_looking()
            self._next_way()
            return
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
