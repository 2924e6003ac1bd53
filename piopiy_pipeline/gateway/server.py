"""The gateway's port: agents, their media streams, callers, the API and the console connect here.

This is a shell. `port.first_request` tells WebSockets from plain HTTP, `port.router` decides who may connect to
what, `port.routed_connections` gives each connection to its own class, and the `Switchboard` knows who is in which
call. Here are the socket, the two timers, and the order in which all of it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, serve

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.frozen_heap import FrozenHeap
from piopiy_pipeline.gateway.access.failure_limiter import FailureLimiter
from piopiy_pipeline.gateway.agents.outgoing_audio import OutgoingAudio
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import CannotListenError, GatewayError
from piopiy_pipeline.gateway.frame_clock import FrameClock
from piopiy_pipeline.gateway.port.first_request import Connections
from piopiy_pipeline.gateway.port.listening import (
    bind_error,
    first_request_factory,
    name_features,
    raise_open_file_limit,
    tls_context,
)
from piopiy_pipeline.gateway.port.routed_connections import RoutedConnections
from piopiy_pipeline.gateway.port.router import Router
from piopiy_pipeline.gateway.startup import GatewayServices, check_prompts_folder, make_carriers
from piopiy_pipeline.signaling.messages import MAX_MESSAGE_BYTES
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer
from piopiy_pipeline.signaling.websocket import CLOSE_S

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
    from piopiy_pipeline.gateway.cloud.cloud_worker import CloudWorker
    from piopiy_pipeline.gateway.cluster.cluster import Cluster
    from piopiy_pipeline.gateway.phones.phones import Phones
    from piopiy_pipeline.gateway.sip.config import SipConfig

__all__ = ["Gateway"]

OPEN_S = 10.0
"""How long a connection may take to become a WebSocket."""
KEEPALIVE_S = 20.0
"""How often a caller's connection is asked for a sign of life, in seconds. Agents have their own heartbeat."""
SPARE_CONNECTIONS = 256
"""Connections beyond those of `max_calls`: agents, consoles, health checks, refused ones."""


class Gateway:
    """The gateway as a whole: `async with Gateway(config) as gateway:` listens, and closes at the end.

    It needs a running event loop from `start` on.

    Args:
        config: The settings.

    Raises:
        GatewayError: `start` cannot listen. The text says what to do.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.switchboard = Switchboard(
            limits=CallLimits(
                offer_s=config.offer_ms / 1000,
                setup_s=config.setup_s,
                max_duration_s=config.max_duration_s,
                ring_s=config.ring_s,
            ),
            max_calls=config.max_calls,
            on_change=self._on_change,
        )
        self._router = Router(config, self.switchboard)
        self._failures = FailureLimiter()
        self._connections: Connections | None = None
        self._services: GatewayServices | None = None
        self._server: Server | None = None
        self._frame_clock: FrameClock | None = None
        self._outgoing = OutgoingAudio()
        self._timer: ProtocolTimer | None = None
        self._heap: FrozenHeap | None = None
        self._changed: asyncio.Event | None = None
        self._closing: asyncio.Task[None] | None = None
        self._phones: Phones | None = None
        self._carriers: CarrierGateway | None = None
        self._cluster: Cluster | None = None
        self._cloud: CloudWorker | None = None
        self._port = config.port

    # ------------------------------------------------------------------ life

    async def start(self, *, on_listening: Callable[[], object] = lambda: None) -> None:
        """Load what the configuration asks for, and listen.

        Args:
            on_listening: Called when all that listens does, and `port` is known, before the log says so.

        Raises:
            GatewayError: That is not possible.
        """
        if self._server is not None:
            raise GatewayError("this gateway has been started already")
        self._frame_clock = FrameClock(self.switchboard.on_frame_tick, self._on_half_tick)
        self._timer = ProtocolTimer(
            asyncio.get_running_loop(), wake_at=lambda: self.switchboard.wake_at, tick=self._on_timer
        )
        self._changed = asyncio.Event()
        tls = await tls_context(self.config)
        await check_prompts_folder(self.config.prompts_folder)
        if self.config.carriers is not None:
            self._carriers = self._router.carriers = make_carriers(
                self.config, self.config.carriers, self.switchboard, self._place_leg
            )
        connections = Connections(2 * self.config.max_calls + SPARE_CONNECTIONS)
        raise_open_file_limit(self.config, connections.limit)
        services = GatewayServices(
            self.config,
            self.switchboard,
            connections=connections,
            place=self._place_leg,
            failures=self._failures,
            carriers=self._carriers,
        )
        routed = RoutedConnections(
            self.config,
            self.switchboard,
            self._router,
            self._failures,
            place=self._place_leg,
            outgoing=self._outgoing,
            events=services.events,
            chats=services.chats,
            carriers=self._carriers,
        )
        host, port = self.config.host, self.config.port
        try:
            self._server = await serve(
                routed.serve,
                host,
                port,
                # Called for its result, which is what asyncio is given to talk to.
                create_connection=cast(
                    type[ServerConnection], first_request_factory(connections, services.http.connect, tls)
                ),
                process_request=routed.admit,
                process_response=name_features,
                compression=None,  # audio does not shrink, and JSON on the way to it is short
                server_header=None,
                open_timeout=OPEN_S,
                ping_interval=KEEPALIVE_S,
                ping_timeout=KEEPALIVE_S,
                close_timeout=CLOSE_S,
                max_size=MAX_MESSAGE_BYTES,
            )
        except socket.gaierror as error:
            text = f"cannot listen on host {host!r}: {error.strerror}: set host to an address of this machine"
            raise GatewayError(text) from None
        except OSError as error:
            kind = CannotListenError if error.errno in (errno.EADDRINUSE, errno.EACCES) else GatewayError
            raise kind(bind_error(error, host, port)) from None
        self._connections, self._services = connections, services
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        await services.start(self._port, self.url)
        if self.config.sip is not None:
            await self._open_phones(self.config.sip)
        if self.config.cluster is not None:
            await self._join(services)
        if self.config.cloud is not None:
            self._cloud = services.open_cloud(self.config.cloud, self._place_leg)
        self._heap = FrozenHeap(lambda: self.switchboard.has_calls)
        on_listening()
        logger.info("gateway listening on {}", self.url)

    async def _open_phones(self, config: SipConfig) -> None:
        """Imported only by a gateway that has telephones."""
        from piopiy_pipeline.gateway.phones.phones import Phones

        phones = Phones(config, place=self._place_leg, on_change=self._on_change)
        try:
            await phones.open()
        except GatewayError:
            await self.close()
            raise
        self._phones = self.switchboard.resources.dialler = phones
        self.switchboard.drain.on_change.append(phones.drain)

    async def _join(self, services: GatewayServices) -> None:
        """Imported only by a gateway that is one of several."""
        from piopiy_pipeline.gateway.cluster.joining import join_cluster

        try:
            self._cluster = await join_cluster(
                self.config,
                self.url,
                self.switchboard,
                services.share,
                services.problems,
                phones=self._phones,
                place=self._place_leg,
                records=services.records_name,
            )
            services.join(self._cluster)
        except GatewayError:
            await self.close()
            raise

    async def ready(self) -> None:
        """Wait until the records are open too. Raises `GatewayError` if they cannot be."""
        if self._services is None:
            raise GatewayError("start the gateway first")
        await self._services.ready()

    async def drain(self, drain_s: float) -> None:
        """Take no new calls, and wait until those in progress have ended, for `drain_s` seconds at most."""
        self.switchboard.drain.switch(on=True)
        await self._wait_until(lambda: not self.switchboard.call_count, drain_s)

    async def close(self) -> None:
        """End all calls with `shutdown`, let all agents go, and stop listening: in some seconds at most."""
        if self._server is None:
            return
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(self._server))
        await asyncio.shield(self._closing)

    async def serve_forever(self) -> None:
        """Wait until the gateway is closed; being cancelled closes it."""
        if self._server is None:
            raise GatewayError("start the gateway first")
        try:
            await self._server.wait_closed()
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------ what others ask

    @property
    def port(self) -> int:
        """The port it listens on: the real one, if the configuration says 0."""
        return self._port

    @property
    def phones(self) -> Phones | None:
        """The telephone side, if the configuration has one."""
        return self._phones

    @property
    def cluster(self) -> Cluster | None:
        """Its part in a cluster, if the configuration has one."""
        return self._cluster

    @property
    def url(self) -> str:
        """The address for agents and callers on this machine, as ``ws://host:port``."""
        return f"{'wss' if self.config.tls_certificate else 'ws'}://{self._address}"

    @property
    def console_url(self) -> str:
        """The address of the console for a browser on this machine, as ``http://host:port/``."""
        return f"{'https' if self.config.tls_certificate else 'http'}://{self._address}/"

    @property
    def _address(self) -> str:
        host = self.config.host
        if host in ("", "0.0.0.0", "::"):
            host = "127.0.0.1"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def wait_for_agent(self, agent_id: str, timeout_s: float) -> None:
        """Return when an instance of the agent is connected. Raises `GatewayError` after `timeout_s`."""
        if not await self._wait_until(lambda: bool(self.switchboard.instances.of(agent_id)), timeout_s):
            raise GatewayError(f"no instance of agent {agent_id!r} registered within {timeout_s:g} s")

    async def _wait_until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for something that a change of calls or instances brings. Returns whether it has come in time."""
        if self._changed is None:
            raise GatewayError("start the gateway first")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        return is_so()

    def _place_leg(self, info: CallInfo, leg: Leg, options: CallOptions | None = None) -> GatewayCall:
        return self.switchboard.place(info, leg, asyncio.get_running_loop().time(), options)

    # ------------------------------------------------------------------ time

    def _on_change(self) -> None:
        if self._changed is None or self._frame_clock is None or self._timer is None:
            return
        self._changed.set()
        self.switchboard.drain.look_again()
        if self._cloud is not None:
            self._cloud.look_again()
        if self.switchboard.playing or (self._phones is not None and self._phones.active):
            self._frame_clock.start()
        else:
            self._frame_clock.stop()
        self._timer.arm()

    def _on_half_tick(self, now: float) -> None:
        if self._phones is not None:
            self._phones.on_half_tick(now)
        self._outgoing.on_half_tick()  # after what phones have said

    def _on_timer(self, now: float) -> None:
        self.switchboard.tick(now)
        self._on_change()

    # ------------------------------------------------------------------ the end

    async def _close(self, server: Server) -> None:
        assert self._connections is not None
        assert self._services is not None
        server.close(close_connections=False)
        self.switchboard.shutdown(asyncio.get_running_loop().time())
        if self._cluster is not None:  # afterwards: it forgets the calls that could have gone on elsewhere
            await self._cluster.close()
        self._connections.close_all()
        browsers = asyncio.create_task(self._services.close_calls())
        if self._cloud is not None:
            await self._cloud.close()
        try:
            async with asyncio.timeout(2 * CLOSE_S):
                await self._connections.wait_closed()
        except TimeoutError:
            logger.warning("{} connections did not close, and were cut", len(self._connections))
            self._connections.abort_all()
        await server.wait_closed()
        if self._phones is not None:
            await self._phones.close()
        if self._carriers is not None:
            await self._carriers.close()
        await browsers
        await self._services.close()
        if self._frame_clock is not None:
            self._frame_clock.stop()
        if self._timer is not None:
            self._timer.close()
        if self._heap is not None:
            self._heap.close()
        logger.info("gateway on {} closed", self.url)
