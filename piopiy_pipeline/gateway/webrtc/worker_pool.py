"""Browsers' calls: which worker takes the next one, and what becomes of them when a worker dies.

An offer is answered by a worker at once; the call is placed when the browser has connected, not
before. So offers that nobody follows up cost an agent nothing and are on no record, nobody speaks to a
line that is still dead, and a call's length is that of the conversation. What that costs is an agent's
setup (some tens of milliseconds) that does not overlap ICE and DTLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.webrtc.browser_call import ANSWER_S, RATE, BrowserCall, PlacedCall
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserAnswer, BrowserOffer, Candidate, OfferRefused
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    AddCandidates,
    Census,
    CensusTaken,
    Configure,
    FromWorker,
    IceServerSetting,
    Trickled,
)
from piopiy_pipeline.gateway.webrtc.worker_process import WebRtcWorkerProcess

__all__ = ["PlacedCall", "WebRtcCalls"]

MAX_HALF_OPEN = 64
READY_S = 15.0
"""How long an offer waits for a worker that is just starting."""
MAX_SDP = 60_000
WORKER_LOST = "the browser leg's process was lost"
INTERNAL_ERROR = "internal error of the gateway: see its log"


class WebRtcCalls:
    """Implements `BrowserCalls`. Needs a running event loop from `start` on.

    `place` gives a call to the switchboard. `addresses` are those of this machine that browsers are
    told; without any, all but loopback. A browser has `connect_s` from its offer to its connection, and
    `grace_s` to be heard of again. A token has `calls_per_token` at once. Without workers every offer is refused.
    """

    def __init__(
        self,
        *,
        workers: int,
        place: Callable[[CallInfo, Leg], PlacedCall],
        ice_servers: Sequence[IceServer] = (),
        addresses: Sequence[str] = (),
        connect_s: float = 15.0,
        grace_s: float = 8.0,
        max_half_open: int = MAX_HALF_OPEN,
        calls_per_token: int | None = None,
    ) -> None:
        self._place = place
        self._max_half_open = max_half_open
        self._calls_per_token = calls_per_token
        self._lines: dict[str, BrowserCall] = {}
        self._half_open = 0
        self._numbers = 0
        self._closed = False
        self._changed: asyncio.Event | None = None
        settings = Configure(
            rate=RATE,
            ice_servers=[IceServerSetting(**server.model_dump()) for server in ice_servers],
            addresses=list(addresses),
            connect_s=connect_s,
            grace_s=grace_s,
        )
        self._settings = settings
        self._desks: list[_WorkerSlot] = []
        self._worker_count = workers

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start the workers, in the background: they need a second, and offers wait for them."""
        self._changed = asyncio.Event()
        self._desks = [_WorkerSlot(self, number + 1, self._settings) for number in range(self._worker_count)]
        for desk in self._desks:
            desk.worker.start()

    async def ready(self) -> None:
        """Wait until every worker can take calls."""
        assert self._changed is not None, "start it first"
        while not all(desk.worker.ready for desk in self._desks):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Take no more, and end all that there is: in some seconds at most."""
        self._closed = True
        self.became_ready()  # who waits for a worker need not
        for line in tuple(self._lines.values()):
            line.fail(EndReason.SHUTDOWN, "the gateway is shutting down")
        await asyncio.gather(*(desk.worker.close() for desk in self._desks))

    # ------------------------------------------------------------------ BrowserCalls

    async def offer(self, offer: BrowserOffer, caller: TokenClaims) -> BrowserAnswer:
        """Answer an offer: a new call's, or one more of a call that there is. Raises `OfferRefused`."""
        _check(offer.sdp)
        if offer.pc_id is not None:
            known = self._line(offer.pc_id)
            if known.caller.token_id != caller.token_id:
                raise OfferRefused(403, "this peer connection belongs to another token")
            sdp = await known.negotiate(offer.sdp, restart=bool(offer.restart_pc), new=False)
            return BrowserAnswer(sdp=sdp, pc_id=offer.pc_id, call_id=known.call_id)
        if self._half_open >= self._max_half_open:
            raise OfferRefused(
                503, f"{self._half_open} browsers are connecting just now: try again in a moment"
            )
        self._half_open += 1  # before the first wait, or all of a crowd would pass
        line: BrowserCall | None = None
        try:
            desk = await self._least_loaded()
            self._check_share(caller)
            self._numbers += 1
            line = BrowserCall(self, desk, self._numbers, caller, _metadata(offer, caller))
            self._lines[line.pc_id] = line
            desk.lines[line.number] = line
            sdp = await line.negotiate(offer.sdp, restart=False, new=True)
        except BaseException:  # of a request that was given up as well
            if line is None:
                self._half_open -= 1
            else:
                line.leave()
            raise
        return BrowserAnswer(sdp=sdp, pc_id=line.pc_id, call_id=line.call_id)

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        """More ways to reach the browser. Raises `OfferRefused` where there is no such peer connection."""
        self._line(pc_id).post(
            AddCandidates(
                candidates=[
                    Trickled(
                        candidate=one.candidate, sdp_mid=one.sdp_mid, sdp_mline_index=one.sdp_mline_index
                    )
                    for one in candidates
                ]
            )
        )

    # ------------------------------------------------------------------ what others ask

    @property
    def half_open(self) -> int:
        """Browsers that have offered and not connected yet."""
        return self._half_open

    @property
    def lines(self) -> int:
        """Browsers that there are: connecting, on a call, or just leaving."""
        return len(self._lines)

    @property
    def workers(self) -> list[WebRtcWorkerProcess]:
        """The processes, whether they run just now or not."""
        return [desk.worker for desk in self._desks]

    async def census(self) -> list[CensusTaken]:
        """What every worker counts. Raises `TimeoutError` where one does not answer."""
        async with asyncio.timeout(ANSWER_S):
            return list(await asyncio.gather(*(desk.census() for desk in self._desks)))

    # ------------------------------------------------------------------ inside

    def _check_share(self, caller: TokenClaims) -> None:
        """Raise `OfferRefused` for a token that has its share of calls: one visitor is not to take them all."""
        share = self._calls_per_token
        if share is None:
            return
        lines = sum(line.caller.token_id == caller.token_id for line in self._lines.values())
        if lines >= share:
            raise OfferRefused(429, f"calls of this token under way: {lines}, and more are not taken at once")

    def _line(self, pc_id: str) -> BrowserCall:
        line = self._lines.get(pc_id)
        if line is None:
            raise OfferRefused(404, "there is no such peer connection: its call is over")
        return line

    async def _least_loaded(self) -> _WorkerSlot:
        if not self._desks or self._changed is None:
            raise OfferRefused(503, "this gateway takes no calls from browsers: webrtc_workers is 0")
        try:
            async with asyncio.timeout(READY_S):
                while not (ready := [desk for desk in self._desks if desk.worker.ready]):
                    self._changed.clear()
                    await self._changed.wait()
                    if self._closed:
                        break
        except TimeoutError:
            raise OfferRefused(
                503, "no process for browsers' calls is ready: try again in a moment"
            ) from None
        if self._closed:
            raise OfferRefused(503, "the gateway is shutting down")
        return min(ready, key=lambda desk: len(desk.lines))

    def became_ready(self) -> None:
        """A worker can take peers."""
        if self._changed is not None:
            self._changed.set()

    def connected(self, line: BrowserCall) -> PlacedCall:
        """A browser has connected: its call begins."""
        line.half_open = False
        self._half_open -= 1
        return self._place(line.info, line.leg)

    def forget(self, line: BrowserCall) -> None:
        """A line is over."""
        if self._lines.pop(line.pc_id, None) is not None and line.half_open:
            line.half_open = False
            self._half_open -= 1


class _WorkerSlot:
    """A worker, and the lines that it has."""

    def __init__(self, calls: WebRtcCalls, number: int, settings: Configure) -> None:
        self.lines: dict[int, BrowserCall] = {}
        self._censuses: list[asyncio.Future[CensusTaken]] = []
        self.worker = WebRtcWorkerProcess(
            str(number),
            settings,
            on_event=self._on_event,
            on_sound=self._on_sound,
            on_ready=calls.became_ready,
            on_died=self._on_died,
        )

    async def census(self) -> CensusTaken:
        answer: asyncio.Future[CensusTaken] = asyncio.get_running_loop().create_future()
        self._censuses.append(answer)
        self.worker.post(0, Census())
        return await answer

    def _on_sound(self, number: int, pcm: bytes) -> None:
        line = self.lines.get(number)
        if line is not None:
            try:
                line.leg.peer_sound(pcm)
            except Exception:  # of one call; the others of this worker go on
                logger.exception("the sound of call {} could not be taken", line.call_id)
                line.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _on_event(self, number: int, event: FromWorker) -> None:
        if isinstance(event, CensusTaken):
            for answer in self._censuses:
                if not answer.done():
                    answer.set_result(event)
            self._censuses.clear()
            return
        line = self.lines.get(number)
        if line is not None:
            try:
                line.told(event)
            except Exception:  # as above
                logger.exception("what a browser did in call {} could not be taken", line.call_id)
                line.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _on_died(self) -> None:
        for line in tuple(self.lines.values()):
            line.fail(EndReason.ERROR, WORKER_LOST)


def _metadata(offer: BrowserOffer, caller: TokenClaims) -> dict[str, Any] | None:
    if caller.metadata is not None:
        return caller.metadata
    return offer.request_data if isinstance(offer.request_data, dict) else None


def _check(sdp: str) -> None:
    """What can be told without a worker. Raises `OfferRefused`."""
    if len(sdp) > MAX_SDP:
        raise OfferRefused(413, f"an offer of {len(sdp)} characters: {MAX_SDP} are the limit")
    if not sdp.startswith("v=0"):
        raise OfferRefused(400, "the offer's SDP cannot be read: it does not begin with v=0")
    if "\nm=audio" not in sdp:
        raise OfferRefused(400, "the offer has no audio: add an audio transceiver before createOffer()")
