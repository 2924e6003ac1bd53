"""One browser's caller as the gateway sees it: from the offer on, through the call, to its end."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.webrtc.browser_offers import OfferRefused
from piopiy_pipeline.gateway.webrtc.webrtc_leg import WebRtcLeg
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    BrowserSent,
    Close,
    Connected,
    FromWorker,
    Gone,
    Negotiate,
    NegotiateRefused,
    OfferAnswered,
    QualityMeasured,
)
from piopiy_pipeline.signaling.messages import Message

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.webrtc.worker_process import WebRtcWorkerProcess

__all__ = ["ANSWER_S", "RATE", "BrowserCall", "BrowserCallHost", "PlacedCall", "WorkerPort"]

RATE = 16000
"""Of the sound between gateway and worker, both ways: Opus carries it whole, and no bot hears more."""
ANSWER_S = 10.0
"""How long a worker may take to answer: it may ask a STUN or TURN server first."""

MAX_OFFERS = 3
"""Of one browser at a time: one that gave up and came again may overtake itself."""


class PlacedCall(Protocol):
    """What is done here with a call, once the switchboard has it."""

    def end(self, now: float, reason: EndReason, detail: str = "") -> None:
        """End it. Later reasons do not count."""


class WorkerPort(Protocol):
    """The worker that has the line, and its other lines by their numbers."""

    worker: WebRtcWorkerProcess
    lines: dict[int, BrowserCall]


class BrowserCallHost(Protocol):
    """All lines of the gateway."""

    def connected(self, line: BrowserCall) -> PlacedCall:
        """A browser has connected: its call begins."""

    def forget(self, line: BrowserCall) -> None:
        """A line is over."""


@dataclass(eq=False)
class BrowserCall:
    """One caller: from the offer on, through its call, to its end."""

    calls: BrowserCallHost
    desk: WorkerPort
    number: int
    caller: TokenClaims
    metadata: dict[str, Any] | None
    pc_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    call_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    call: PlacedCall | None = None
    half_open: bool = True
    """Whether it counts as one that has offered and not connected yet."""
    answer: asyncio.Future[str] | None = None
    offers: int = 0
    """Those that wait for their answers."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.leg = WebRtcLeg(self, rate=RATE)

    @property
    def info(self) -> CallInfo:
        return CallInfo(
            agent_id=self.caller.agent_id,
            call_id=self.call_id,
            from_number=self.caller.identity,
            to_number=self.caller.to_number or self.caller.agent_id,
            metadata=self.metadata,
            kind="browser",
        )

    def post(self, message: Message) -> None:
        self.desk.worker.post(self.number, message)

    def sound(self, pcm: bytes) -> None:
        self.desk.worker.sound(self.number, pcm)

    async def negotiate(self, sdp: str, *, restart: bool, new: bool) -> str:
        """The answer to an offer. Raises `OfferRefused`."""
        if self.offers >= MAX_OFFERS:
            raise OfferRefused(409, "another offer for this peer connection is being answered: wait for that")
        self.offers += 1
        try:
            async with self.turn:
                return await self._negotiate(Negotiate(sdp=sdp, restart=restart, new=new))
        finally:
            self.offers -= 1

    async def _negotiate(self, offer: Negotiate) -> str:
        self.answer = asyncio.get_running_loop().create_future()
        self.post(offer)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.answer
        except TimeoutError:
            raise OfferRefused(503, f"the offer was not answered within {ANSWER_S:g} s") from None
        finally:
            self.answer = None

    def told(self, event: FromWorker) -> None:
        """What the worker says of this line."""
        match event:
            case OfferAnswered(sdp=sdp):
                if self.answer is not None and not self.answer.done():
                    self.answer.set_result(sdp)
            case NegotiateRefused(status=status, text=text):
                self._refuse(OfferRefused(status, text))
            case Connected():
                if self.call is None:
                    self.call = self.calls.connected(self)
            case BrowserSent():
                self.leg.peer_heard(event)
            case QualityMeasured(quality=quality):
                self.leg.quality = quality
            case Gone(detail=detail):
                if self.call is None and detail:
                    logger.info("a browser offered a call and did not get to it: {}", detail)
                self._forget("the browser closed the connection")
                self.leg.peer_gone(detail)

    def fail(self, reason: EndReason, detail: str) -> None:
        """End what there is of it, for a reason of ours."""
        call = self.call
        self.leave()
        if call is not None:
            call.end(asyncio.get_running_loop().time(), reason, detail)

    def leave(self) -> None:
        """Close the peer; a call, if there is one, does not end by this."""
        self.post(Close())
        self._forget("the gateway closed the connection")

    def _refuse(self, refused: OfferRefused) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(refused)

    def _forget(self, why: str) -> None:
        self._refuse(OfferRefused(503, why))
        self.desk.lines.pop(self.number, None)
        self.calls.forget(self)
