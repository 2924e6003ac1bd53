"""What stands behind the port besides calls: the API, the console, the records, the browser leg.

All of it takes seconds to load, and none of it is needed to take a call over a WebSocket: so the
gateway listens first, and this is loaded in threads meanwhile. Requests that come sooner wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from loguru import logger

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.access.access import Access
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens, TokenClaims
from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.api.events import EventsHub
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.port.first_request import Connections
from piopiy_pipeline.gateway.recordings.recorder import GatewayRecorder
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.folders import recordings_folder
from piopiy_pipeline.gateway.records.recent_calls import CallArchive, RecentCalls
from piopiy_pipeline.gateway.webrtc.browser_offers import (
    BrowserAnswer,
    BrowserCalls,
    BrowserOffer,
    Candidate,
    OfferRefused,
)
from piopiy_pipeline.offload import offload

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.api.http_server import HttpConnection, HttpServer
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
    from piopiy_pipeline.gateway.webhooks.sender import Webhooks

__all__ = ["GatewayServices"]

SETTLE_S = 10.0
"""How long the end of a gateway waits for what its beginning has begun."""

Place = Callable[[CallInfo, Leg], GatewayCall]


class GatewayServices:
    """See the module; `http.Site` for the door. `start` returns at once, `ready` when all is there."""

    def __init__(
        self,
        config: GatewayConfig,
        switchboard: Switchboard,
        crowd: Connections,
        place: Place,
        failures: FailureLimiter,
        carriers: CarrierGateway | None = None,
    ) -> None:
        watch = switchboard.event_bus
        self._config = config
        self._switchboard = switchboard
        self._crowd = crowd
        self._place = place
        self._failures = failures
        self._carriers = carriers
        self._access = Access(config)
        self._recent = RecentCalls(watch.wall)
        self.events = EventsHub(self._access, self._recent)
        self._records = Records(config, wall=watch.wall) if config.records else None
        self._recorder = GatewayRecorder(
            recordings_folder(config), on_finished=self._recorded, wall=watch.wall
        )
        self._webhooks = _webhooks(config, watch.wall) if config.webhooks else None
        self._browser = _BrowserCallsToCome() if config.webrtc_workers else None
        self._http: HttpServer | None = None
        self.loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._opening: asyncio.Task[None] | None = None

    def start(self, port: int) -> None:
        """Begin to load what a gateway on `port` has; what fails is logged, and raised by `ready`."""
        watch = self._switchboard.event_bus
        watch.subscribe(self.events.on_event)
        self._switchboard.recordings, self._switchboard.record = self._recorder, self._config.record
        self._tasks.append(asyncio.create_task(self._load_http(), name="load the HTTP side"))
        if self._records is not None:
            watch.subscribe(self._records.on_event)
            opening = self._start_records(self._records, port)
            self._opening = asyncio.create_task(opening, name="open the records")
        if self._webhooks is not None:
            watch.subscribe(self._webhooks.on_event)
            sending = self._webhooks.start()
            self._tasks.append(asyncio.create_task(sending, name="begin to send webhooks"))
        if self._browser is not None:
            starting = self._start_browser(self._browser)
            self._tasks.append(asyncio.create_task(starting, name="start the browser leg"))

    async def ready(self) -> None:
        """Wait until all is there. Raises `GatewayError` if something will not be."""
        for task in (*self._tasks, *([self._opening] if self._opening else [])):
            await asyncio.wait((task,))
            if task.cancelled():
                raise GatewayError("the gateway was closed before all of it was there")
            await task

    def connect(self) -> HttpConnection:
        """A protocol for one more connection, once `loaded`."""
        assert self._http is not None
        return self._http.connect()

    async def close_calls(self) -> None:
        """End the browser leg: after the calls, and before the records of their ends are closed."""
        await self._settle()
        if self._browser is not None:
            await self._browser.close()

    async def close(self) -> None:
        """After the connections have gone: end what still runs for them, and write what is to be written."""
        await self._settle()
        if self._http is not None:
            await self._http.close()
        async with asyncio.TaskGroup() as closing:
            if self._webhooks is not None:
                closing.create_task(self._webhooks.close())
            await self._recorder.close()
            if self._records is not None:
                await self._records.close()
        if not self.loaded.done():
            self.loaded.cancel()

    def _recorded(self, call_id: str, path: str) -> None:
        """A call's recording is complete: `path` is below the folder of recordings."""
        self._recent.recorded(call_id, self._recorder.folder / path)
        if self._records is not None:
            self._records.recorded(call_id, path)

    async def _settle(self) -> None:
        """What is being loaded is waited for, because a thread cannot be stopped: for a while."""
        if self._opening is not None:
            self._opening.cancel()  # a database may take minutes to answer; the records close on their own
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=SETTLE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------ loading

    async def _load_http(self) -> None:
        try:
            self._http = await offload(self._build)
        except Exception as error:
            logger.exception("the HTTP side could not be loaded")
            self.loaded.set_exception(GatewayError("the HTTP side could not be loaded"))
            self.loaded.exception()  # looked at: each connection asks again
            raise GatewayError(f"the HTTP side could not be loaded: {error}") from error
        if not self.loaded.done():
            self.loaded.set_result(None)

    def _build(self) -> HttpServer:
        """In a thread."""
        from piopiy_pipeline.gateway.api.app import build_app
        from piopiy_pipeline.gateway.api.dependencies import ApiDependencies
        from piopiy_pipeline.gateway.api.http_server import HttpServer

        config = self._config
        tokens = ClientTokens(config.token_secret, config.agents, wall=self._switchboard.event_bus.wall)
        archive: CallArchive = self._recent if self._records is None else self._records
        parts = ApiDependencies(
            config=config,
            switchboard=self._switchboard,
            access=self._access,
            failures=self._failures,
            tokens=tokens,
            recent=self._recent,
            archive=archive,
            browser=self._browser,
            carriers=self._carriers,
        )
        return HttpServer(build_app(parts), self._crowd)

    async def _start_records(self, records: Records, port: int) -> None:
        try:
            await records.start(port)
        except GatewayError as error:
            logger.error("no records are kept: {}", error)
            raise

    async def _start_browser(self, browser: _BrowserCallsToCome) -> None:
        config = self._config
        try:
            await offload(import_module, "piopiy_pipeline.gateway.webrtc.worker_pool")
            from piopiy_pipeline.gateway.webrtc.worker_pool import WebRtcCalls

            calls = WebRtcCalls(
                workers=config.webrtc_workers,
                ice_servers=config.ice_servers,
                addresses=config.webrtc_addresses,
                grace_s=config.webrtc_grace_s,
                calls_per_token=config.calls_per_token,
                place=self._place,
            )
            await calls.start()
        except Exception as error:
            logger.exception("the browser leg could not be started")
            browser.fail(str(error))
            raise GatewayError(f"the browser leg could not be started: {error}") from error
        browser.come(calls)


def _webhooks(config: GatewayConfig, wall: Callable[[], float]) -> Webhooks:
    """Only for a gateway that has them. They are to be told of all calls, so there is no waiting for a thread."""
    from piopiy_pipeline.gateway.webhooks.sender import Webhooks

    return Webhooks(config.webhooks, wall=wall)


class _BrowserCallsToCome:
    """The browser leg while it starts: offers wait for it, for as long as the route lets them."""

    def __init__(self) -> None:
        self._calls: BrowserCalls | None = None
        self._failure: str | None = None
        self._settled = asyncio.Event()

    def come(self, calls: BrowserCalls) -> None:
        self._calls = calls
        self._settled.set()

    def fail(self, why: str) -> None:
        self._failure = why
        self._settled.set()

    async def offer(self, offer: BrowserOffer, caller: TokenClaims) -> BrowserAnswer:
        return await (await self._there()).offer(offer, caller)

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        await (await self._there()).candidates(pc_id, candidates)

    async def close(self) -> None:
        if self._calls is not None:
            await self._calls.close()

    async def _there(self) -> BrowserCalls:
        await self._settled.wait()
        if self._calls is None:
            raise OfferRefused(503, f"this gateway takes no calls from browsers now: {self._failure}")
        return self._calls
