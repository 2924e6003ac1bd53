"""`WebRtcCalls`: all calls of browsers, whose peer connections are in leg processes.

A leg process answers an offer at once. The call is placed when the browser has connected, not before. So an offer
that nobody follows up costs an agent nothing and makes no record, no bot speaks before it can be heard,
and a call's length is the length of the conversation. The price is that an agent's
setup (some tens of milliseconds) does not overlap with ICE and DTLS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims, check_metadata
from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall, PlaceCall
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace, LegPool, NoPlace
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor, ProcessKind
from piopiy_pipeline.gateway.leg_processes.shared_messages import CensusTaken
from piopiy_pipeline.gateway.webrtc.browser_call import RATE, BrowserCall
from piopiy_pipeline.gateway.webrtc.browser_offers import (
    BrowserAnswer,
    BrowserOffer,
    Candidate,
    OfferRefused,
)
from piopiy_pipeline.gateway.webrtc.peer_messages import (
    AddCandidates,
    Configure,
    IceServerSetting,
    Trickled,
    parse_from_program,
)

__all__ = ["WebRtcCalls"]

MAX_HALF_OPEN = 64
READY_S = 15.0
"""How long an offer waits for a leg process that is starting."""
MAX_SDP = 60_000


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
        workers: The number of leg processes. With 0, every offer is refused.
        place: Places a call with the switchboard.
        ice_servers: STUN and TURN servers that the leg processes use.
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
        self._closed = False
        settings = Configure(
            rate=RATE,
            ice_servers=[IceServerSetting(**server.model_dump()) for server in ice_servers],
            addresses=list(addresses),
            ports=ports,
            connect_s=connect_s,
            grace_s=grace_s,
        )
        self._workers = workers
        self.pool = LegPool(
            ProcessKind(
                name="browser",
                module="piopiy_pipeline.gateway.webrtc.peer_program",
                settings=settings,
                parse=parse_from_program,
            ),
            processes=workers,
        )

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start the processes in the background. They need a second, and offers wait for them."""
        self.pool.start()

    async def ready(self) -> None:
        """Wait until a process can take calls."""
        await self.pool.ready()

    async def close(self) -> None:
        """Take no more calls and end all, processes included, within some seconds. May be called more than once."""
        self._closed = True
        for call in tuple(self._calls.values()):
            call.fail(EndReason.SHUTDOWN, "the gateway is shutting down")
        await self.pool.close()

    # ------------------------------------------------------------------ BrowserCalls

    async def offer(
        self,
        offer: BrowserOffer,
        caller: TokenClaims,
        checkpoint: dict[str, Any] | None = None,
        on_unused: Callable[[], None] = lambda: None,
    ) -> BrowserAnswer:
        """Answer an offer, of a new call or of one that is there.

        Args:
            offer: The browser's offer. With `pc_id` it is for that peer connection.
            caller: The claims of the client token, which was verified.
            checkpoint: The state of an earlier call with whose conversation this one goes on.
            on_unused: Called, maybe more than once, when the new call is over and was never answered.

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
        metadata = _metadata(offer, caller)
        if self._half_open >= self._max_half_open:
            raise OfferRefused(
                503, f"{self._half_open} browsers are connecting just now: try again in a moment"
            )
        self._half_open += 1  # before the first wait, or all offers of a crowd would pass the check
        place: LegPlace | None = None
        call: BrowserCall | None = None
        try:
            place = await self._take_place()
            self._check_share(caller)
            call = self._make_call(place, caller, metadata, checkpoint, on_unused)
            sdp = await call.negotiate(offer.sdp, restart=False, new=True)
        except BaseException:  # also when the HTTP request was cancelled
            if call is not None:
                call.close_peer()
            else:
                self._half_open -= 1
                if place is not None:
                    place.release()
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
    def processes(self) -> list[LegSupervisor]:
        """The leg processes, whether they run at the moment or not."""
        return self.pool.supervisors

    async def census(self) -> list[CensusTaken]:
        """Return what each process counts, for tests. Raises `TimeoutError` if one does not answer."""
        return await self.pool.census()

    # ------------------------------------------------------------------ inside

    def _make_call(
        self,
        place: LegPlace,
        caller: TokenClaims,
        metadata: dict[str, Any] | None,
        checkpoint: dict[str, Any] | None,
        on_unused: Callable[[], None],
    ) -> BrowserCall:
        def closed(call: BrowserCall) -> None:
            place.release()
            if call.gateway_call is None or call.gateway_call.answered_at is None:
                on_unused()
            if self._calls.pop(call.pc_id, None) is not None:
                self._leave_half_open(call)

        call = BrowserCall(
            place=place,
            caller=caller,
            metadata=metadata,
            checkpoint=checkpoint,
            on_connected=self._connected,
            on_closed=closed,
        )
        self._calls[call.pc_id] = place.leg = call
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

    async def _take_place(self) -> LegPlace:
        if not self._workers:
            raise OfferRefused(503, "this gateway takes no calls from browsers: webrtc_workers is 0")
        try:
            return await self.pool.place(READY_S)
        except NoPlace:
            closed = self._closed
        if closed:
            raise OfferRefused(503, "the gateway is shutting down")
        raise OfferRefused(503, "no process for browsers' calls is ready: try again in a moment")


def _metadata(offer: BrowserOffer, caller: TokenClaims) -> dict[str, Any] | None:
    if caller.metadata is not None:
        return caller.metadata
    if not isinstance(offer.request_data, dict):
        return None
    try:
        check_metadata(offer.request_data)
    except AccessError as error:
        raise OfferRefused(error.status, error.text) from None
    return offer.request_data


def _check(sdp: str) -> None:
    """Refuse what needs no leg process to be refused. Raises `OfferRefused`."""
    if len(sdp) > MAX_SDP:
        raise OfferRefused(413, f"an offer of {len(sdp)} characters: {MAX_SDP} are the limit")
    if not sdp.startswith("v=0"):
        raise OfferRefused(400, "the offer's SDP cannot be read: it does not begin with v=0")
    if "\nm=audio" not in sdp:
        raise OfferRefused(400, "the offer has no audio: add an audio transceiver before createOffer()")
