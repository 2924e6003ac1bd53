"""The sockets of SIP: UDP, TCP and TLS around a `SipUserAgent`, which decides everything.

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

from piopiy_pipeline.gateway.access.networks import client_network, socket_host
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.sip.agent.stats import SipStats
from piopiy_pipeline.gateway.sip.agent.user_agent import CannotCall, OutgoingMessage, SipUserAgent
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.listeners import CallListener, UserAgentListener
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.message import Flow, Transport
from piopiy_pipeline.gateway.sip.transaction.timers import TIMEOUT
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.streams import FairReader, SipConnection, SipDatagrams

__all__ = ["CannotCall", "SipEndpoint"]

_CONNECT_S = 5.0
_SWEEP_S = 10.0
_MAX_WAITING = 64  # packets for a connection or a name that is not there yet
_BIND_TRIES = 20
_CLOSE_S = 0.5
_LAST_WORDS_S = 0.7  # enough for an answer, a password, and one repetition


class SipEndpoint:
    """A user agent on its sockets. Made with `open`, done with `close`."""

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
        self._udp: asyncio.DatagramTransport | None = None
        self._servers: list[asyncio.Server] = []
        self.turns = FairReader(self.received)
        self._streams: dict[Flow, SipConnection] = {}
        self._ways: dict[Flow, list[OutgoingMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._flushing = False
        self._closed = False
        self._quiet: asyncio.Event | None = None

    @classmethod
    async def open(cls, config: SipConfig, listener: UserAgentListener) -> Self:
        """Listen. Raises `GatewayError` when a port is taken or a certificate cannot be read."""
        endpoint = cls(config, listener)
        try:
            await endpoint._listen()
        except OSError as error:
            await endpoint.close()
            raise GatewayError(
                f"sip: cannot listen on {config.host}, port {config.port}: {error.strerror or error}"
            ) from None
        except GatewayError:
            await endpoint.close()
            raise
        endpoint._agent.begin_registrations(endpoint._loop.time())
        endpoint._start(endpoint._trust_trunks())
        endpoint._sweeper = endpoint._loop.call_later(_SWEEP_S, endpoint._sweep)
        endpoint._flush()
        return endpoint

    @property
    def port(self) -> int:
        """Where UDP and TCP listen."""
        return self._ports.get("udp") or self._ports.get("tcp", 0)

    @property
    def tls_port(self) -> int:
        """Where TLS listens; 0 without a certificate."""
        return self._ports.get("tls", 0)

    @property
    def stats(self) -> SipStats:
        """What was seen so far."""
        return self._agent.stats

    @property
    def calls(self) -> list[SipCall]:
        """The calls that need messages still, also those that have just ended."""
        return self._agent.calls

    @property
    def connections(self) -> int:
        """TCP and TLS connections."""
        return len(self._streams)

    def registered(self, user: str) -> bool:
        """Whether a phone of this user is here."""
        return self._agent.registrar.find(user, self._loop.time()) is not None

    @property
    def registrations(self) -> dict[str, bool]:
        """Of the trunks that we register with, whether they know us at present."""
        return {name: one.registered for name, one in self._agent.registrations.items()}

    def media_host(self, peer: str) -> str:
        """The address to name in session descriptions for a peer at this address."""
        return self._addresses.ours_for(peer)

    def invite(
        self,
        to: str,
        offer: SessionDescription,
        listener: CallListener,
        *,
        trunk: str | None = None,
        from_user: str = "",
        from_name: str = "",
        headers: Mapping[str, str] | None = None,
        ring_timeout_s: float | None = None,
    ) -> SipCall:
        """Call `to`: a registered phone's user, a `sip:` URI, or a number through a trunk (the first, or `trunk`).

        Raises `CannotCall` when nobody can be reached under it.
        """
        return self._agent.invite(
            to,
            offer,
            listener,
            now=self._loop.time(),
            trunk=trunk,
            from_user=from_user,
            from_name=from_name,
            headers=headers,
            ring_timeout_s=ring_timeout_s,
        )

    def peer_of(self, to: str, *, trunk: str | None = None) -> str:
        """The address or name that a call to `to` goes to, for `media_host`. Raises `CannotCall`."""
        return self._agent.directory.way_to(to, trunk, self._loop.time()).flow.host

    async def ping(self, to: str, *, trunk: str | None = None) -> int:
        """Ask whether anybody answers there (OPTIONS): the status, 408 for silence, 503 for no way.

        At most 32 s. Raises `CannotCall`.
        """
        answer: asyncio.Future[int] = self._loop.create_future()

        def done(code: int, phrase: str, now: float) -> None:
            if not answer.done():
                answer.set_result(code)

        self._agent.ping(to, done, now=self._loop.time(), trunk=trunk)
        try:
            async with asyncio.timeout(TIMEOUT + 1):
                return await answer
        except TimeoutError:
            return 408  # it was closed meanwhile

    async def close(self) -> None:
        """Hang up what is left, and close. Bounded in time, idempotent."""
        if self._closed:
            return
        self._agent.close(self._loop.time())
        self._flush()
        await self._last_words()
        self._closed = True
        for timer in (self._timer, self._sweeper):
            if timer is not None:
                timer.cancel()
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        streams = list(self._streams.values())
        for stream in streams:
            stream.close()
        if streams:
            await asyncio.wait([stream.gone for stream in streams], timeout=_CLOSE_S)
        for stream in streams:
            stream.abort()
        if self._udp is not None:
            self._udp.close()
        await asyncio.sleep(0)  # the loop closes sockets in its next round

    async def _last_words(self) -> None:
        """Trunks want the password of those, too, who take their leave; and a BYE may get lost."""
        if not self._agent.unanswered:
            return
        self._quiet = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._quiet.wait()

    async def _listen(self) -> None:
        config = self._config
        for attempt in range(_BIND_TRIES):
            try:
                await self._bind(config.port)
                break
            except OSError:
                # Only with port 0: what is free for UDP need not be free for TCP.
                if config.port or attempt == _BIND_TRIES - 1:
                    raise
                if self._udp is not None:
                    self._udp.close()
                    self._udp = None
        if config.tls_certificate is not None:
            server = await self._serve("tls", config.tls_port, self._certificate())
            self._ports["tls"] = server.sockets[0].getsockname()[1]

    async def _bind(self, port: int) -> None:
        if "udp" in self._config.transports:
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda: SipDatagrams(self), local_addr=(self._config.host, port)
            )
            self._udp = transport
            with contextlib.suppress(OSError):  # room for the calls that come while the loop is busy
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            port = transport.get_extra_info("sockname")[1]
            self._ports["udp"] = port
        if "tcp" in self._config.transports:
            server = await self._serve("tcp", port, None)
            self._ports["tcp"] = server.sockets[0].getsockname()[1]

    async def _serve(self, kind: Transport, port: int, context: ssl.SSLContext | None) -> asyncio.Server:
        server = await self._loop.create_server(
            lambda: SipConnection(self, kind), self._config.host, port, ssl=context
        )
        self._servers.append(server)
        return server

    def _certificate(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path, key = self._config.tls_certificate, self._config.tls_key
        try:
            context.load_cert_chain(cast("Any", path), key)
        except (OSError, ssl.SSLError) as error:
            raise GatewayError(f"sip.tls_certificate: cannot use {path}: {error}") from None
        return context

    # What comes.

    def received(self, data: bytes, source: Flow) -> None:
        """A message came."""
        if not self._closed:
            self._agent.receive(data, source, self._loop.time())
            self._flush()

    def stream_opened(self, stream: SipConnection, flow: Flow) -> bool:
        """A connection is there. False: there are too many, or too many of this address."""
        most = self._config.max_connections
        full = self._closed or len(self._streams) >= most
        if not full and not stream.ours and not self._agent.doorman.trusts(flow.host):
            network = client_network(flow.host)
            same = sum(client_network(other.host) == network for other in self._streams)
            full = same >= max(1, most // 4)
        if full:
            self._agent.stats.connections_refused += 1
            return False
        self._streams[flow] = stream
        return True

    def stream_closed(self, stream: SipConnection, flow: Flow) -> None:
        """A connection is gone."""
        if self._streams.get(flow) is stream:
            del self._streams[flow]

    # What goes.

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._closed:
            return
        while packets := self._agent.take_outbox():
            for packet in packets:
                self._send(packet)
        if self._quiet is not None and not self._agent.unanswered:
            self._quiet.set()
        self._arm()

    @staticmethod
    def _send_datagram(udp: asyncio.DatagramTransport, data: bytes, address: str, port: int) -> None:
        ipv6 = udp.get_extra_info("socket").family == socket.AF_INET6
        udp.sendto(data, (socket_host(address, ipv6=ipv6), port))

    def _arm(self) -> None:
        at = self._agent.wake_at
        if self._timer is not None:
            if at is not None and self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        at = self._agent.wake_at
        # A timer may fire by the resolution of the loop's clock too early.
        try:
            self._agent.wake(max(self._loop.time(), at or 0.0))
        finally:
            self._flush()

    def _send(self, packet: OutgoingMessage) -> None:
        flow = packet.flow
        stream = self._streams.get(flow)
        if stream is not None:
            stream.send(packet.data)
            return
        address = self._addresses.known(flow.host, self._loop.time())
        if address is not None and not flow.reliable:
            if self._udp is None:
                self._undelivered(packet)
            else:
                self._send_datagram(self._udp, packet.data, address, flow.port)
            return
        if address is not None and address != flow.host:
            stream = self._streams.get(flow._replace(host=address))
            if stream is not None:
                stream.send(packet.data)
                return
        if flow.reliable and packet.key is None and packet.or_else is None and address == flow.host:
            # A response whose connection is gone: nobody listens on the port that it came from.
            self._agent.stats.unreachable += 1
            return
        waiting = self._ways.get(flow)
        if waiting is not None:
            if len(waiting) < _MAX_WAITING:
                waiting.append(packet)
            return
        self._ways[flow] = [packet]
        self._start(self._find_way(flow))

    async def _find_way(self, flow: Flow) -> None:
        """Resolve and connect, then send what waits."""
        problem: Exception | None = None
        address: str | None = None
        stream: SipConnection | None = None
        try:
            async with asyncio.timeout(_CONNECT_S):
                address = await self._addresses.find(flow.host, self._loop.time())
                if flow.reliable:
                    stream = await self._connect(flow, address)
        except (OSError, TimeoutError) as error:
            problem = error
        waiting = self._ways.pop(flow, [])
        for packet in waiting:
            if stream is not None:
                stream.send(packet.data)
            elif problem is None and address is not None and self._udp is not None:
                self._send_datagram(self._udp, packet.data, address, flow.port)
            elif packet.or_else is not None:
                self._send(packet._replace(flow=packet.or_else, or_else=None))
            else:
                logger.debug("sip: cannot reach {}: {}", flow, problem or "no socket")
                self._undelivered(packet)
        self._flush()

    async def _connect(self, flow: Flow, address: str) -> SipConnection:
        context = None
        if flow.transport == "tls":
            context = await self._addresses.tls_context()
        wanted = flow._replace(host=address)
        _, stream = await self._loop.create_connection(
            lambda: SipConnection(self, flow.transport, wanted),
            address,
            flow.port,
            ssl=context,
            server_hostname=flow.host if context is not None else None,
        )
        if wanted not in self._streams:
            raise ConnectionRefusedError("too many connections")
        return stream

    def _undelivered(self, packet: OutgoingMessage) -> None:
        if packet.key is not None:
            self._agent.undelivered(packet.key, self._loop.time())
            self._flush_soon()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _trust_trunks(self) -> None:
        """Calls from a trunk that is configured by its name come from its addresses."""
        for trunk in self._config.trunks.values():
            with contextlib.suppress(OSError):
                for address in await self._addresses.all(trunk.host):
                    self._agent.doorman.trust(address)

    def _sweep(self) -> None:
        """Close connections on which a message never becomes whole, or none ever came."""
        now = self._loop.time()
        for stream in list(self._streams.values()):
            stream.check(now)
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
