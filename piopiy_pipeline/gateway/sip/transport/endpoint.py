"""The SIP endpoint: a `SipUserAgent`, which decides everything, on its UDP, TCP and TLS sockets.

Source: RFC 3261, section 18.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Self, cast

from loguru import logger

from piopiy_pipeline.gateway.access.networks import parse_address
from piopiy_pipeline.gateway.errors import GatewayError, unusable
from piopiy_pipeline.gateway.sip.agent.location import LocationService, NextHop
from piopiy_pipeline.gateway.sip.agent.registrar import Registrar
from piopiy_pipeline.gateway.sip.agent.user_agent import CannotCall, OutgoingMessage, SipUserAgent
from piopiy_pipeline.gateway.sip.agent.user_agent_server import UserAgentListener
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener
from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.restored_call import RestoredCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.stats import SipStats
from piopiy_pipeline.gateway.sip.syntax.flow import Flow, Transport
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.delivery import MessageDelivery
from piopiy_pipeline.gateway.sip.transport.streams import ConnectionTable, SipConnection, SipDatagrams
from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer

__all__ = ["CannotCall", "SipEndpoint"]

_SWEEP_S = 10.0
_LOOK_UP_S = 300.0
_BIND_TRIES = 20
_CLOSE_S = 0.5
_GOODBYE_S = 0.7  # enough for an answer, a password, and one repetition


class SipEndpoint:
    """A user agent on its sockets. It is made with `open`, and ends with `close`.

    Args:
        config: Ports, who may call, which number reaches which agent, and the limits.
        listener: What incoming calls are reported to.
    """

    def __init__(self, config: SipConfig, listener: UserAgentListener) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._addresses = SipAddresses(config.host, config.external_host)
        self._ports: dict[str, int] = {}
        self._agent = SipUserAgent(
            config,
            listener,
            address_for=self._addresses.ours_for,
            ports=self._ports,
            on_output=self._flush_soon,
        )
        self._servers: list[asyncio.Server] = []
        self._connections = ConnectionTable(
            self._received,
            most=config.max_connections,
            trusts=self._agent.admission.trusts,
            on_refused=self._connection_refused,
        )
        self._delivery = MessageDelivery(
            self._connections, self._addresses, on_undelivered=self._undelivered, on_done=self._flush
        )
        self._trusting: asyncio.Task[None] | None = None
        self._trust_at = 0.0  # when the names of trunks are looked up next
        self._unknown_names: set[str] = set()  # of trunks, which could not be looked up last
        self._timer = ProtocolTimer(self._loop, wake_at=lambda: self._agent.wake_at, tick=self._wake)
        self._sweeper: asyncio.TimerHandle | None = None
        self._flushing = False
        self._closed = False
        self._quiet: asyncio.Event | None = None

    @classmethod
    async def open(cls, config: SipConfig, listener: UserAgentListener) -> Self:
        """Listen, register with the trunks, and take calls.

        Raises:
            GatewayError: A port is taken, or the certificate cannot be read.
        """
        endpoint = cls(config, listener)
        try:
            await endpoint._listen()
        except OSError as error:
            await endpoint.close()
            why = error.__cause__ if isinstance(error.__cause__, OSError) else error  # uvloop's own says less
            raise GatewayError(
                f"sip: cannot listen on {config.host}, port {config.port}: {why.strerror or why}: set sip.host and "
                "sip.port to what is free on this machine"
            ) from None
        except GatewayError:
            await endpoint.close()
            raise
        endpoint._agent.begin_registrations(endpoint._loop.time())
        endpoint._sweep()
        endpoint._flush()
        return endpoint

    @property
    def port(self) -> int:
        """The port of UDP and TCP."""
        return self._ports.get("udp") or self._ports.get("tcp", 0)

    @property
    def tls_port(self) -> int:
        """The port of TLS; 0 without a certificate."""
        return self._ports.get("tls", 0)

    @property
    def stats(self) -> SipStats:
        """The counters of this port."""
        return self._agent.stats

    @property
    def calls(self) -> list[SipCall]:
        """All calls that still need messages, also those that have just ended."""
        return self._agent.calls

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections there are."""
        return len(self._connections)

    def registered(self, user: str) -> bool:
        """Return whether a phone of this user is registered."""
        return self._agent.registrar.find(user, self._loop.time()) is not None

    @property
    def registrations(self) -> dict[str, bool]:
        """Return, for each trunk that we register with, whether it knows us at present."""
        return {name: one.registered for name, one in self._agent.registrations.items()}

    def media_host(self, peer: str) -> str:
        """Return our address in session descriptions for the peer at this address."""
        return self._addresses.ours_for(peer)

    def invite(
        self,
        to: str,
        offer: SessionDescription,
        listener: CallListener,
        *,
        trunk: str | None = None,
        hop: NextHop | None = None,
        from_user: str = "",
        from_name: str = "",
        headers: Mapping[str, str] | None = None,
        ring_timeout_s: float | None = None,
    ) -> OutgoingCall:
        """Begin a call; see `SipUserAgent.invite` for the arguments.

        Raises:
            CannotCall: `to` cannot be reached, or `headers` has one that may not be set.
        """
        return self._agent.invite(
            to,
            offer,
            listener,
            now=self._loop.time(),
            trunk=trunk,
            hop=hop,
            from_user=from_user,
            from_name=from_name,
            headers=headers,
            ring_timeout_s=ring_timeout_s,
        )

    @property
    def location(self) -> LocationService:
        """Finds where calls go."""
        return self._agent.location

    @property
    def registrar(self) -> Registrar:
        """The phones that are registered here."""
        return self._agent.registrar

    def sign_flows(self, secret: bytes) -> None:
        """Sign with this what names the flows of phones to this gateway alone."""
        self._agent.edge_proxy.sign_with(secret)

    def path(self, flow: Flow, host: str) -> str:
        """Return the URI by which other gateways reach the phone of this flow; `host` is our address for them."""
        return self._agent.edge_proxy.path(flow, host)

    def is_here(self, kept: KeptDialog) -> bool:
        """Return whether the other side of this dialog reaches this endpoint at the address that it knows."""
        return self._agent.is_here(kept)

    def restore(self, kept: KeptDialog) -> RestoredCall:
        """Go on with a call of a process that was here before. Raises `ValueError` if that is not possible."""
        return self._agent.restore(kept, self._loop.time())

    def drain(self, *, on: bool) -> None:
        """Refuse further calls of others, or take them again."""
        self._agent.drain(on=on)

    def peer_of(self, to: str, *, trunk: str | None = None) -> str:
        """Return the address or name that a call to `to` goes to, for `media_host`. Raises `CannotCall`."""
        return self._agent.location.next_hop(to, trunk, self._loop.time()).flow.host

    async def close(self) -> None:
        """Hang up all calls, unregister, and close the sockets, within about 1.2 s. A second call does nothing."""
        if self._closed:
            return
        self._agent.close(self._loop.time())
        self._flush()
        await self._goodbye()
        self._closed = True
        self._timer.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for server in self._servers:
            server.close()
        if self._trusting is not None:
            self._trusting.cancel()
            await asyncio.gather(self._trusting, return_exceptions=True)
        await self._delivery.close()
        await self._connections.close(_CLOSE_S)
        await asyncio.sleep(0)  # the loop closes sockets in its next round

    async def _goodbye(self) -> None:
        """Wait for answers, because a trunk asks for the password when we unregister, too, and a BYE may get
        lost.
        """
        if not self._agent.unanswered:
            return
        self._quiet = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._quiet.wait()

    async def _listen(self) -> None:
        config = self._config
        for attempt in range(_BIND_TRIES):
            try:
                await self._bind(config.port)
                break
            except OSError:
                # Only with port 0: a port that is free for UDP need not be free for TCP.
                if config.port or attempt == _BIND_TRIES - 1:
                    raise
                if self._delivery.udp is not None:
                    self._delivery.udp.close()
                    self._delivery.udp = None
        if config.tls_certificate is not None:
            server = await self._serve("tls", config.tls_port, self._certificate())
            self._ports["tls"] = server.sockets[0].getsockname()[1]

    async def _bind(self, port: int) -> None:
        if "udp" in self._config.transports:
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda: SipDatagrams(self._received), local_addr=(self._config.host, port)
            )
            self._delivery.udp = transport
            with contextlib.suppress(OSError):  # room for the calls that come while the loop is busy
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            port = transport.get_extra_info("sockname")[1]
            self._ports["udp"] = port
        if "tcp" in self._config.transports:
            server = await self._serve("tcp", port, None)
            self._ports["tcp"] = server.sockets[0].getsockname()[1]

    async def _serve(self, kind: Transport, port: int, context: ssl.SSLContext | None) -> asyncio.Server:
        def connection() -> SipConnection:
            return SipConnection(self._connections, kind)

        if self._config.host == "::":  # asyncio would leave out IPv4, which UDP on this address takes
            both = socket.create_server(
                ("::", port), family=socket.AF_INET6, backlog=100, dualstack_ipv6=True
            )
            server = await self._loop.create_server(connection, sock=both, ssl=context)
        else:
            server = await self._loop.create_server(connection, self._config.host, port, ssl=context)
        self._servers.append(server)
        return server

    def _certificate(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path, key = self._config.tls_certificate, self._config.tls_key
        try:
            context.load_cert_chain(cast("Any", path), key)
        except (OSError, ssl.SSLError) as error:
            raise GatewayError(
                f"sip.tls_certificate: cannot use {path}: {unusable(error, path, key)}"
            ) from None
        return context

    # ------------------------------------------------------------------ messages

    def _received(self, data: bytes, source: Flow) -> None:
        if not self._closed:
            self._agent.receive(data, source, self._loop.time())
            self._flush()

    def _connection_refused(self) -> None:
        self._agent.stats.connections_refused += 1

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._closed:
            return
        while messages := self._agent.take_outbox():
            for message in messages:
                self._delivery.send(message)
        if self._quiet is not None and not self._agent.unanswered:
            self._quiet.set()
        self._timer.arm()

    def _wake(self, now: float) -> None:
        try:
            self._agent.wake(now)
        finally:
            self._flush()

    def _undelivered(self, message: OutgoingMessage) -> None:
        if message.key is None:
            self._agent.stats.unreachable += 1
        else:
            self._agent.undelivered(message.key, self._loop.time())
            self._flush_soon()

    async def _trust_trunks(self) -> None:
        """Trust the addresses of trunks that are configured by name, because their calls come from those."""
        for trunk in self._config.trunks.values():
            name = trunk.host
            if parse_address(name) is not None:
                continue
            try:
                addresses = await self._addresses.all(name)
            except Exception as error:  # noqa: BLE001  the others are looked up, and this one again
                self._trust_at = 0.0
                if name not in self._unknown_names:
                    logger.warning(
                        "sip: calls of the trunk {} may be refused: no address is found: {}", name, error
                    )
                self._unknown_names.add(name)
            else:
                self._unknown_names.discard(name)
                self._agent.admission.trust_named(name, addresses, self._loop.time())

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(
            _SWEEP_S, self._sweep
        )  # first: an error below does not end the next
        now = self._loop.time()
        self._connections.check(now)
        if now >= self._trust_at and (self._trusting is None or self._trusting.done()):
            self._trust_at = now + _LOOK_UP_S
            self._trusting = self._loop.create_task(self._trust_trunks())
