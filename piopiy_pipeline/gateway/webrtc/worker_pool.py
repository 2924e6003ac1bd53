"""All calls of browsers: which worker takes the next one, and what happens to its calls when a worker dies.

A worker answers an offer at once. The call is placed when the browser has connected, not before. So an offer
that nobody follows up costs an agent nothing and makes no record, no bot speaks before it can be heard,
and a call's length is the length of the conversation. The price is that an agent's
setup (some tens of milliseconds) does not overlap with ICE and DTLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall, PlaceCall
from piopiy_pipeline.gateway.webrtc.browser_call import ANSWER_S, RATE, BrowserCall
from piopiy_pipeline.gateway.webrtc.browser_offers import (
    BrowserAnswer,
    BrowserOffer,
    Candidate,
    OfferRefused,
)
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    AddCandidates,
    Census,
    CensusTaken,
    Configure,
    FromWorker,
    IceServerSetting,
    Trickled,
)
from piopiy_pipeline.gateway.webrtc.worker_supervisor import WorkerSupervisor

__all__ = ["WebRtcCalls"]

MAX_HALF_OPEN = 64
READY_S = 15.0
"""How long an offer waits for a worker that is starting."""
MAX_SDP = 60_000
WORKER_LOST = "the browser leg's process was lost"
INTERNAL_ERROR = "internal error of the gateway: see its log"


class WebRtcCalls:
    """The browser leg, as `BrowserCalls` describes it. It needs a running event loop from `start` on."""

    def __init__(
        self,
        *,
        workers: int,
        place: PlaceCall,
        ice_servers: Sequence[IceServer] = (),
        addresses: Sequence[str] = (),
        ports: tuple[int, int] | None = None,
        connect_s: float = 15.0,
        grace_s: float = 8.0,
        max_half_open: int = MAX_HALF_OPEN,
        calls_per_token: int | None = None,
    ) -> None:
        """Args:
        workers: The number of processes. With 0, every offer is refused.
        place: Places a call with the switchboard.
        ice_servers: STUN and TURN servers that the workers use.
        addresses: The addresses of this machine that answers name, see `IceAddresses.parse`. Without
            any: all but loopback.
        ports: The first and the last UDP port for audio; None for those of the system.
        connect_s: How long a browser may take from its offer to its connection.
        grace_s: How long nothing may be heard from a browser before its call ends.
        max_half_open: How many browsers may be connecting at a time.
        calls_per_token: How many calls a client token may have at a time; None for no limit.
        """
        self._place = place
        self._max_half_open = max_half_open
        self._calls_per_token = calls_per_token
        self._calls: dict[str, BrowserCall] = {}  # by pc_id
        self._half_open = 0
        self._numbers = 0
        self._closed = False
        self._changed: asyncio.Event | None = None
        self._settings = Configure(
            rate=RATE,
            ice_servers=[IceServerSetting(**server.model_dump()) for server in ice_servers],
            addresses=list(addresses),
            ports=ports,
            connect_s=connect_s,
            grace_s=grace_s,
        )
        self._slots: list[_WorkerSlot] = []
        self._worker_count = workers

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start the workers in the background. They need a second, and offers wait for them."""
        self._changed = asyncio.Event()
        self._slots = [
            _WorkerSlot(number + 1, self._settings, on_ready=self._notify_ready)
            for number in range(self._worker_count)
        ]
        for slot in self._slots:
            slot.worker.start()

    async def ready(self) -> None:
        """Wait until every worker can take calls."""
        assert self._changed is not None, "start it first"
        while not all(slot.worker.ready for slot in self._slots):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Take no more calls and end all, processes included, within some seconds. May be called more than once."""
        self._closed = True
        self._notify_ready()  # offers that wait for a worker are refused
        for call in tuple(self._calls.values()):
            call.fail(EndReason.SHUTDOWN, "the gateway is shutting down")
        await asyncio.gather(*(slot.worker.close() for slot in self._slots))

    # ------------------------------------------------------------------ BrowserCalls

    async def offer(
        self, offer: BrowserOffer, caller: TokenClaims, checkpoint: dict[str, Any] | None = None
    ) -> BrowserAnswer:
        """Answer an offer, of a new call or of one that is there.

        Args:
            offer: The browser's offer. With `pc_id` it is for that peer connection.
            caller: The claims of the client token, which was verified.
            checkpoint: The state of an earlier call with whose conversation this one goes on.

        Raises:
            OfferRefused: The offer cannot be answered. It carries an HTTP status and a sentence.
        """
        _check(offer.sdp)
        if offer.pc_id is not None:
            known = self._call(offer.pc_id)
            if known.caller.token_id != caller.token_id:
                raise OfferRefused(403, "this peer connection belongs to another token")
            sdp = await known.negotiate(offer.sdp, restart=bool(offer.restart_pc), new=False)
            return BrowserAnswer(sdp=sdp, pc_id=offer.pc_id, call_id=known.call_id)
        if self._half_open >= self._max_half_open:
            raise OfferRefused(
                503, f"{self._half_open} browsers are connecting just now: try again in a moment"
            )
        self._half_open += 1  # before the first wait, or all offers of a crowd would pass the check
        call: BrowserCall | None = None
        try:
            slot = await self._least_loaded()
            self._check_share(caller)
            call = self._make_call(slot, caller, _metadata(offer, caller), checkpoint)
            sdp = await call.negotiate(offer.sdp, restart=False, new=True)
        except BaseException:  # also when the HTTP request was cancelled
            if call is None:
                self._half_open -= 1
            else:
                call.close_peer()
            raise
        return BrowserAnswer(sdp=sdp, pc_id=call.pc_id, call_id=call.call_id)

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        """Pass on ICE candidates of the browser. Raises `OfferRefused` where there is no such peer connection."""
        self._call(pc_id).post(
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
        """The number of browsers that have made an offer and not connected yet."""
        return self._half_open

    @property
    def open_calls(self) -> int:
        """The number of browsers that are connecting, on a call, or just leaving."""
        return len(self._calls)

    @property
    def workers(self) -> list[WorkerSupervisor]:
        """The worker processes, whether they run at the moment or not."""
        return [slot.worker for slot in self._slots]

    async def census(self) -> list[CensusTaken]:
        """Return what each worker counts, for tests. Raises `TimeoutError` if one does not answer."""
        async with asyncio.timeout(ANSWER_S):
            return list(await asyncio.gather(*(slot.census() for slot in self._slots)))

    # ------------------------------------------------------------------ inside

    def _make_call(
        self,
        slot: _WorkerSlot,
        caller: TokenClaims,
        metadata: dict[str, Any] | None,
        checkpoint: dict[str, Any] | None,
    ) -> BrowserCall:
        def closed(call: BrowserCall) -> None:
            slot.calls.pop(call.number, None)
            if self._calls.pop(call.pc_id, None) is not None:
                self._leave_half_open(call)

        self._numbers += 1
        call = BrowserCall(
            worker=slot.worker,
            number=self._numbers,
            caller=caller,
            metadata=metadata,
            checkpoint=checkpoint,
            on_connected=self._connected,
            on_closed=closed,
        )
        self._calls[call.pc_id] = slot.calls[call.number] = call
        return call

    def _connected(self, call: BrowserCall) -> GatewayCall:
        self._leave_half_open(call)
        options = None if call.checkpoint is None else CallOptions(checkpoint=call.checkpoint)
        return self._place(call.info, call.leg, options)

    def _leave_half_open(self, call: BrowserCall) -> None:
        if call.half_open:
            call.half_open = False
            self._half_open -= 1

    def _check_share(self, caller: TokenClaims) -> None:
        """Refuse a token that has its share of calls already, so that one visitor cannot take all."""
        share = self._calls_per_token
        if share is None:
            return
        calls = sum(call.caller.token_id == caller.token_id for call in self._calls.values())
        if calls >= share:
            raise OfferRefused(429, f"calls of this token under way: {calls}, and more are not taken at once")

    def _call(self, pc_id: str) -> BrowserCall:
        call = self._calls.get(pc_id)
        if call is None:
            raise OfferRefused(404, "there is no such peer connection: its call is over")
        return call

    async def _least_loaded(self) -> _WorkerSlot:
        if not self._slots or self._changed is None:
            raise OfferRefused(503, "this gateway takes no calls from browsers: webrtc_workers is 0")
        try:
            async with asyncio.timeout(READY_S):
                while not (ready := [slot for slot in self._slots if slot.worker.ready]):
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
        return min(ready, key=lambda slot: len(slot.calls))

    def _notify_ready(self) -> None:
        if self._changed is not None:
            self._changed.set()


class _WorkerSlot:
    """One worker process and its calls, by their numbers."""

    def __init__(self, number: int, settings: Configure, *, on_ready: Callable[[], None]) -> None:
        self.calls: dict[int, BrowserCall] = {}
        self._censuses: list[asyncio.Future[CensusTaken]] = []
        self.worker = WorkerSupervisor(
            str(number),
            settings,
            on_event=self._on_event,
            on_caller_audio=self._on_caller_audio,
            on_ready=on_ready,
            on_died=self._on_died,
        )

    async def census(self) -> CensusTaken:
        answer: asyncio.Future[CensusTaken] = asyncio.get_running_loop().create_future()
        self._censuses.append(answer)
        self.worker.post(0, Census())
        return await answer

    def _on_caller_audio(self, number: int, pcm: bytes) -> None:
        call = self.calls.get(number)
        if call is not None:
            try:
                call.leg.caller_audio(pcm)
            except Exception:  # of one call; the others of this worker go on
                logger.exception("the audio of call {} could not be handled", call.call_id)
                call.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _on_event(self, number: int, event: FromWorker) -> None:
        if isinstance(event, CensusTaken):
            for answer in self._censuses:
                if not answer.done():
                    answer.set_result(event)
            self._censuses.clear()
            return
        call = self.calls.get(number)
        if call is not None:
            try:
                call.on_event(event)
            except Exception:  # as above
                logger.exception("an event of call {} could not be handled", call.call_id)
                call.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _on_died(self) -> None:
        for call in tuple(self.calls.values()):
            call.fail(EndReason.ERROR, WORKER_LOST)


def _metadata(offer: BrowserOffer, caller: TokenClaims) -> dict[str, Any] | None:
    if caller.metadata is not None:
        return caller.metadata
    return offer.request_data if isinstance(offer.request_data, dict) else None


def _check(sdp: str) -> None:
    """Refuse what needs no worker to be refused. Raises `OfferRefused`."""
    if len(sdp) > MAX_SDP:
        raise OfferRefused(413, f"an offer of {len(sdp)} characters: {MAX_SDP} are the limit")
    if not sdp.startswith("v=0"):
        raise OfferRefused(400, "the offer's SDP cannot be read: it does not begin with v=0")
    if "\nm=audio" not in sdp:
        raise OfferRefused(400, "the offer has no audio: add an audio transceiver before createOffer()")
