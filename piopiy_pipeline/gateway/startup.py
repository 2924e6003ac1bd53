"""The services behind the port besides calls: the API, the console, the records, webhooks and the browser leg.

They are made before the gateway listens, so that the first request finds all of them. Only a database may take
longer: the records are opened in the background, and `ready` waits for that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from piopiy_pipeline.gateway.access.access import Access
from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.api.console_link import ConsoleLink
from piopiy_pipeline.gateway.api.events import EventsHub
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import PlaceCall
from piopiy_pipeline.gateway.core.sound_cleaning import SoundCleaning
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.metrics.call_traces import CallTraces
from piopiy_pipeline.gateway.metrics.gateway_metrics import GatewayMetrics
from piopiy_pipeline.gateway.metrics.trends import Trends
from piopiy_pipeline.gateway.port.first_request import Connections
from piopiy_pipeline.gateway.recordings.recorder import GatewayRecorder
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.folders import recordings_folder
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.recent_calls import RecentCalls
from piopiy_pipeline.gateway.records.resumptions import CheckpointStore, Resumptions
from piopiy_pipeline.offload import offload
from piopiy_pipeline.private_files import restrict
from piopiy_pipeline.tracing import flush_tracing, is_tracing, set_up_tracing

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.api.http_server import HttpServer
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
    from piopiy_pipeline.gateway.carriers.config import CarriersConfig
    from piopiy_pipeline.gateway.cloud.cloud_worker import CloudWorker
    from piopiy_pipeline.gateway.cloud.config import CloudConfig
    from piopiy_pipeline.gateway.cluster.cluster import Cluster
    from piopiy_pipeline.gateway.webhooks.sender import Webhooks
    from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls

__all__ = ["GatewayServices", "PlaceCall", "check_prompts_folder", "make_carriers"]

RECOVER_AGAIN_S = (0.5, 30.0)
"""The first and the longest pause before a database that did not answer is asked for the webhooks that it has kept."""


class GatewayServices:
    """What a gateway has besides its switchboard and its port.

    Args:
        config: The gateway's settings: they say which services there are.
        switchboard: Tells the services of calls by its event bus.
        connections: All connections of the gateway.
        place: Places the calls of browsers.
        failures: Counts wrong keys.
        carriers: The carriers' side, if the configuration has one.
    """

    def __init__(
        self,
        config: GatewayConfig,
        switchboard: Switchboard,
        *,
        connections: Connections,
        place: PlaceCall,
        failures: FailureLimiter,
        carriers: CarrierGateway | None = None,
    ) -> None:
        bus = switchboard.event_bus
        access = Access(config)
        self.recent = RecentCalls(bus.wall)
        self.events = EventsHub(access, self.recent)
        bus.subscribe(self.events.on_event)
        self._switchboard = switchboard
        self.records_name = ""
        """With which name calls are marked in the database. Empty: no records are kept, or not yet."""
        self.link = ConsoleLink(switchboard, self.recent, self.events)
        self._trends = Trends(lambda: switchboard.call_count)
        bus.subscribe(self._trends.on_event)
        self._recorder = GatewayRecorder(
            recordings_folder(config), on_finished=self._on_recorded, wall=bus.wall
        )
        bus.subscribe(self._recorder.on_event)
        switchboard.resources.recordings, switchboard.resources.record = self._recorder, config.record
        switchboard.resources.cleaning = SoundCleaning(config.cleaned_kinds(), limit=config.clean_sound_calls)
        self._records = (
            Records(config, wall=bus.wall, on_lost=self._recover_webhooks) if config.records else None
        )
        if self._records is not None:
            bus.subscribe(self._records.on_event)
        self._resumptions: Resumptions | None = None
        if self._records is not None or config.cluster is not None:
            self._resumptions = Resumptions(self._records)
            switchboard.resources.on_checkpoint = self._resumptions.on_checkpoint
            bus.subscribe(self._resumptions.on_event)
        self._webhooks = _webhooks(config, bus.wall, self._records) if config.webhooks else None
        if self._webhooks is not None:
            bus.subscribe(self._webhooks.on_event)
        set_up_tracing("piopiy-gateway")
        if is_tracing():
            bus.subscribe(CallTraces().on_event)
        self._browser = _browser_calls(config, place) if config.webrtc_workers else None
        self._metrics = GatewayMetrics(
            switchboard, records=self._records, recorder=self._recorder, webhooks=self._webhooks
        )
        if self._browser is not None:
            self._metrics.leg_pools.append(self._browser.pool)
        self.http = self._http_server(config, switchboard, access, connections, failures, carriers)
        self._opening: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._to_recover = False

    async def start(self, port: int, url: str) -> None:
        """Start the webhooks and the browser leg, and begin to open the records of a gateway on `port`, at `url`."""
        name = url.partition("://")[2]
        self.link.health = OwnHealth(name, url, self._switchboard, self.problems)
        self._metrics.start()
        await offload(restrict, self._recorder.folder)
        if self._switchboard.resources.record:
            await self._recorder.try_folder()
        if self._webhooks is not None:
            await self._webhooks.start()
        if self._browser is not None:
            await self._browser.start()
        if self._records is not None:
            self.records_name = self._records.name_at(port)
            opening = self._open_records(self._records, port)
            self._opening = asyncio.create_task(opening, name="open the records")

    def open_cloud(self, config: CloudConfig, place: PlaceCall) -> CloudWorker:
        """Become a worker of Piopiy's cloud. It is imported only by a gateway that is one.

        Args:
            config: The settings.
            place: Places its calls.
        """
        from piopiy_pipeline.gateway.cloud.cloud_worker import CloudWorker

        cloud = CloudWorker(config, self._switchboard, place)
        self._metrics.leg_pools.append(cloud.pool)
        return cloud

    def join(self, cluster: Cluster) -> None:
        """Be the part of a cluster from now on."""
        self.link.join(cluster)
        if self._records is not None:
            loop = asyncio.get_running_loop()
            self._records.gone = lambda: cluster.gone_records.at(loop.time())

    async def ready(self) -> None:
        """Wait until the records are open. Raises `GatewayError` if they cannot be, or if the gateway closes."""
        if self._opening is None:
            return
        await asyncio.wait((self._opening,))
        if self._opening.cancelled():
            raise GatewayError("the gateway was closed before its records were open")
        await self._opening

    def share(self, store: CheckpointStore) -> None:
        """Keep checkpoints for callers who call again where other gateways find them."""
        if self._resumptions is not None:
            self._resumptions.share(store)

    def problems(self) -> list[str]:
        """Return why not everything is kept that should be: a sentence for each cause, for operators only."""
        found = [self._recorder.problem, self._records.problem if self._records is not None else ""]
        return [problem for problem in found if problem]

    async def close_calls(self) -> None:
        """End the browser leg: after the calls, and before the records of their ends are closed."""
        if self._browser is not None:
            await self._browser.close()

    async def close(self) -> None:
        """End what still runs for connections that have gone, and write what is to be written."""
        self._metrics.close()
        if is_tracing():
            await offload(flush_tracing)
        if self._opening is not None:
            self._opening.cancel()  # a database may take minutes to answer; the records close on their own
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)
        await self.http.close()
        async with asyncio.TaskGroup() as closing:
            if self._webhooks is not None:
                closing.create_task(self._webhooks.close())
            await self._recorder.close()
        if self._records is not None:  # last: it is told which webhooks were delivered
            await self._records.close()

    def _on_recorded(self, call_id: str, path: str) -> None:
        """Note that a call's recording is complete: `path` is below the folder of recordings."""
        self.recent.recorded(call_id, self._recorder.folder / path)
        if self._records is not None:
            self._records.recorded(call_id, path)

    async def _open_records(self, records: Records, port: int) -> None:
        try:
            await records.start(port)
        except GatewayError as error:
            logger.error("no records are kept: {}", error)
            raise
        self._recover_webhooks()

    def _recover_webhooks(self) -> None:
        """Send what a run before this one left to send, and tell of lost calls."""
        self._to_recover = True
        if self._webhooks is not None and (self._recovering is None or self._recovering.done()):
            self._recovering = asyncio.create_task(self._recover(self._webhooks), name="recover webhooks")

    async def _recover(self, webhooks: Webhooks) -> None:
        pause = RECOVER_AGAIN_S[0]
        while self._to_recover:
            self._to_recover = False
            try:
                await webhooks.recover()
            except RecordsUnavailable as error:
                level = "ERROR" if pause == RECOVER_AGAIN_S[0] else "DEBUG"
                logger.log(level, "webhooks of an earlier run, or about lost calls, wait: {}", error)
                self._to_recover = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, RECOVER_AGAIN_S[1])
            except Exception:
                logger.exception(
                    "webhooks that an earlier run has left, or about lost calls, are not all sent"
                )

    def _http_server(
        self,
        config: GatewayConfig,
        switchboard: Switchboard,
        access: Access,
        connections: Connections,
        failures: FailureLimiter,
        carriers: CarrierGateway | None,
    ) -> HttpServer:
        # Imported here and not above: the browser leg's processes import this package, and need no HTTP server.
        from piopiy_pipeline.gateway.access.client_tokens import ClientTokens
        from piopiy_pipeline.gateway.api.app import build_app
        from piopiy_pipeline.gateway.api.dependencies import ApiDependencies
        from piopiy_pipeline.gateway.api.http_server import HttpServer
        from piopiy_pipeline.gateway.port.chat_callers import ChatCallers

        tokens = ClientTokens(config.token_secret, config.agents, wall=switchboard.event_bus.wall)
        self.chats = ChatCallers(
            switchboard,
            caller_keys=tuple(config.caller_keys),
            may_watch=config.callers_may_watch,
            tokens=tokens,
            failures=failures,
        )
        deps = ApiDependencies(
            config=config,
            switchboard=switchboard,
            access=access,
            failures=failures,
            tokens=tokens,
            recent=self.recent,
            archive=self.recent if self._records is None else self._records,
            browser=self._browser,
            link=self.link,
            trends=self._trends,
            carriers=carriers,
            problems=self.problems,
            records=self._records,
            metrics=self._metrics,
            resumptions=self._resumptions,
            gone_receivers=frozenset if self._webhooks is None else self._webhooks.gone,
        )
        return HttpServer(build_app(deps), connections)


def _webhooks(config: GatewayConfig, wall: Callable[[], float], records: Records | None) -> Webhooks:
    """Imported only by a gateway that has webhooks."""
    from piopiy_pipeline.gateway.webhooks.sender import Webhooks

    return Webhooks(config.webhooks, wall=wall, records=records)


def _browser_calls(config: GatewayConfig, place: PlaceCall) -> WebRtcCalls:
    """Imported only by a gateway that takes calls from browsers."""
    from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls

    return WebRtcCalls(
        workers=config.webrtc_workers,
        ice_servers=config.ice_servers,
        addresses=config.webrtc_addresses,
        ports=config.webrtc_ports,
        grace_s=config.webrtc_grace_s,
        calls_per_token=config.calls_per_token,
        place=place,
    )


async def check_prompts_folder(folder: Path | None) -> None:
    """Raise `GatewayError` if files of prompts could not be read from this folder; None: there are no prompts."""
    if folder is None:
        return
    try:
        await offload(os.stat, f"{folder}/.")  # the dot: whether it is a folder, and may be entered
    except OSError as error:
        raise GatewayError(f"prompts_folder {folder}: cannot be used: {error.strerror}") from None


def make_carriers(
    config: GatewayConfig, carriers: CarriersConfig, switchboard: Switchboard, place: PlaceCall
) -> CarrierGateway:
    """Return what takes carriers' streams. It is imported only by a gateway that has carriers."""
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway

    return CarrierGateway(
        carriers,
        agents=config.agents,
        token_secret=config.token_secret,
        wall=switchboard.event_bus.wall,
        place=place,
    )
