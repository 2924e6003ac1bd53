"""One browser's call as the gateway sees it, from the offer to its end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace
from piopiy_pipeline.gateway.webrtc.browser_offers import OfferRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import (
    BrowserSent,
    Close,
    Connected,
    Negotiate,
    NegotiateRefused,
    OfferAnswered,
    PeerClosed,
    QualityMeasured,
)
from piopiy_pipeline.gateway.webrtc.webrtc_leg import WebRtcLeg
from piopiy_pipeline.signaling.messages import Message

__all__ = ["RATE", "BrowserCall"]

RATE = 16000
"""Sample rate between the gateway and a leg process in both directions, in Hz. Opus carries all of it."""
ANSWER_S = 10.0
"""How long a leg process may take to answer an offer. It may have to ask a STUN or TURN server first."""
PROCESS_LOST = "the browser leg's process was lost"
MAX_OFFERS = 3
"""How many offers of one browser may wait at a time. A browser that gave up and tries again sends a second one."""


@dataclass(eq=False, kw_only=True)
class BrowserCall:
    """The call of one browser, which its leg process knows by the number of its `place` and the browser by `pc_id`.

    The call is placed when the browser has connected, not when it makes its offer; until then
    `gateway_call` is None.
    """

    place: LegPlace
    caller: TokenClaims
    metadata: dict[str, Any] | None
    on_connected: Callable[[BrowserCall], GatewayCall]
    """Called once, when the browser has connected. It places the call."""
    on_closed: Callable[[BrowserCall], None]
    """Called when the peer connection is over. It may be called more than once."""
    pc_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    call_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    gateway_call: GatewayCall | None = None
    checkpoint: dict[str, Any] | None = None
    """The state of an earlier call with whose conversation this one goes on."""
    half_open: bool = True
    """Whether it counts among the browsers that have made an offer and not connected yet."""
    _answer: asyncio.Future[str] | None = None
    _offer_number: int = 0  # of the last offer: the answer to an earlier one is late
    _offers: int = 0
    _negotiation: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.leg = WebRtcLeg(self, rate=RATE)

    @property
    def info(self) -> CallInfo:
        """Who calls whom, from the claims of the client token."""
        return CallInfo(
            agent_id=self.caller.agent_id,
            call_id=self.call_id,
            from_number=self.caller.identity,
            to_number=self.caller.to_number or self.caller.agent_id,
            metadata=self.metadata,
            kind="browser",
        )

    # ------------------------------------------------------------------ to the leg process

    def post(self, message: Message) -> None:
        """Send a message to the peer."""
        self.place.post(message)

    def send_audio(self, pcm: bytes) -> None:
        """Send 20 ms of PCM16 mono at `RATE` Hz to the peer, to be played at once."""
        self.place.send_audio(pcm)

    async def negotiate(self, sdp: str, *, restart: bool, new: bool) -> str:
        """Have the leg process answer an offer.

        Args:
            sdp: The browser's offer.
            restart: Whether the browser began again with a fresh RTCPeerConnection.
            new: Whether this is the first offer.

        Returns:
            The SDP of the answer.

        Raises:
            OfferRefused: The offer cannot be answered, or was not answered in time.
        """
        if self._offers >= MAX_OFFERS:
            raise OfferRefused(409, "another offer for this peer connection is being answered: wait for that")
        self._offers += 1
        try:
            async with self._negotiation:
                self._offer_number += 1
                return await self._negotiate(
                    Negotiate(
                        call_id=self.call_id,
                        offer_number=self._offer_number,
                        sdp=sdp,
                        restart=restart,
                        new=new,
                    )
                )
        finally:
            self._offers -= 1

    async def _negotiate(self, offer: Negotiate) -> str:
        self._answer = asyncio.get_running_loop().create_future()
        self.post(offer)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except TimeoutError:
            raise OfferRefused(503, f"the offer was not answered within {ANSWER_S:g} s") from None
        finally:
            self._answer = None

    # ------------------------------------------------------------------ from the leg process

    def caller_audio(self, pcm: bytes) -> None:
        """Take the caller's audio: PCM16 mono at `RATE` Hz."""
        self.leg.caller_audio(pcm)

    def process_lost(self) -> None:
        """End the call: its peer connection is gone."""
        self.fail(EndReason.ERROR, PROCESS_LOST)

    def on_event(self, event: Message) -> None:
        """Handle an event of this call's peer."""
        match event:
            case OfferAnswered() | NegotiateRefused() if event.offer_number != self._offer_number:
                logger.debug("the answer to an earlier offer of a browser came late, and is dropped")
            case OfferAnswered(sdp=sdp):
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(sdp)
            case NegotiateRefused(status=status, text=text):
                self._refuse(OfferRefused(status, text))
            case Connected():
                if self.gateway_call is None:
                    self.gateway_call = self.on_connected(self)
            case BrowserSent():
                self.leg.browser_sent(event)
            case QualityMeasured(quality=quality):
                dropped = quality.get("frames_dropped", 0) + self.place.frames_dropped
                self.leg.quality = {**quality, "frames_dropped": dropped}
            case PeerClosed(detail=detail):
                if self.gateway_call is None and detail:
                    logger.info("a browser made an offer and its call did not begin: {}", detail)
                self._close("the browser closed the connection")
                self.leg.peer_closed(detail)

    # ------------------------------------------------------------------ the end

    def fail(self, reason: EndReason, detail: str) -> None:
        """Close the peer, and end the call if there is one, for a reason on the gateway's side."""
        call = self.gateway_call
        self.close_peer()
        if call is not None:
            call.end(asyncio.get_running_loop().time(), reason, detail)

    def close_peer(self) -> None:
        """Close the peer. A call, if there is one, does not end by this."""
        self.post(Close())
        self._close("the gateway closed the connection")

    def _refuse(self, refused: OfferRefused) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(refused)

    def _close(self, why: str) -> None:
        self._refuse(OfferRefused(503, why))
        self.on_closed(self)
