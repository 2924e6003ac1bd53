"""The sockets: UDP, TCP and TLS on loopback, with peers that behave and peers that do not."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse, parse
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.gateway_peers import until
from tests.support.sip_bench import SDP, Bench, Leg, request

LIMIT_S = 10.0


class Told:
    def __init__(self) -> None:
        self.calls: list[IncomingCall] = []

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        call.attach(Leg(Bench()))
        self.calls.append(call)


@asynccontextmanager
async def listening(**settings: object) -> AsyncIterator[tuple[SipEndpoint, Told]]:
    told = Told()
    given = {"port": 0, "callers": "anyone", "default_agent": "desk", **settings}
    endpoint = await SipEndpoint.open(SipConfig.model_validate(given), told)
    try:
        yield endpoint, told
    finally:
        await endpoint.close()


def within(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(LIMIT_S):
            await work()

    asyncio.run(run())


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait(data)


@asynccontextmanager
async def peer(
    port: int, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.DatagramTransport, asyncio.Queue[bytes]]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        Datagrams, local_addr=(host, 0), remote_addr=("127.0.0.1", port)
    )
    try:
        yield transport, protocol.came
    finally:
        transport.close()


async def message(reader: asyncio.StreamReader) -> bytes:
    """The next message without a body."""
    return await reader.readuntil(b"\r\n\r\n")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, in whichever way."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_requests_over_udp_and_tcp_reach_one_user_agent() -> None:
    async def work() -> None:
        async with listening() as (endpoint, told), peer(endpoint.port) as (transport, came):
            transport.sendto(request("INVITE", body=SDP))
            assert (await came.get()).startswith(b"SIP/2.0 100 ")
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            data = request("INVITE", call_id="c2", branch="b2", body=SDP, transport="TCP")
            writer.write(data[:100])
            await writer.drain()
            writer.write(data[100:])
            assert (await message(reader)).startswith(b"SIP/2.0 100 ")
            writer.write(b"\r\n\r\n")  # RFC 5626, 4.4.1
            assert await reader.readexactly(2) == b"\r\n"
            assert [call.call_id for call in told.calls] == ["call-1", "c2"]
            writer.close()

    within(work)


def test_on_a_socket_for_both_families_ipv4_phones_are_locked_out_one_by_one_and_trunks_trusted() -> None:
    """With the host ``::`` IPv4 peers come as IPv4-mapped addresses, and are answered as IPv4 peers."""

    async def work() -> None:
        settings = {"callers": "known", "max_refusals_per_minute": 1, "trunks": {"t": {"host": "127.0.0.3"}}}
        async with (
            listening(host="::", transports=["udp"], **settings) as (endpoint, told),
            peer(endpoint.port, "127.0.0.1") as (guesser, to_guesser),
            peer(endpoint.port, "127.0.0.2") as (phone, to_phone),
            peer(endpoint.port, "127.0.0.3") as (trunk, to_trunk),
        ):
            guesser.sendto(request("REGISTER", branch="g1"))
            assert (await to_guesser.get()).startswith(b"SIP/2.0 403 ")
            guesser.sendto(request("REGISTER", branch="g2"))
            await until(lambda: endpoint.stats.floods_dropped == 1)
            phone.sendto(request("REGISTER", branch="p1"))
            assert (await to_phone.get()).startswith(b"SIP/2.0 403 ")
            trunk.sendto(request("INVITE", body=SDP, branch="t1", call_id="trunk"))
            trying = await to_trunk.get()
            assert trying.startswith(b"SIP/2.0 100 ")
            assert b"::ffff:" not in trying
            assert [call.call_id for call in told.calls] == ["trunk"]

    within(work)


def test_a_trunk_whose_name_is_not_looked_up_keeps_no_other_one_from_being_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look_up(_: SipAddresses, host: str) -> list[str]:
        if host == "first.example":
            raise RuntimeError("can't start new thread")
        return ["127.0.0.3"]

    monkeypatch.setattr(SipAddresses, "all", look_up)
    trunks = {"first": {"host": "first.example"}, "second": {"host": "second.example"}}

    async def work() -> None:
        async with (
            listening(transports=["udp"], callers="known", trunks=trunks) as (endpoint, told),
            peer(endpoint.port, "127.0.0.3") as (trunk, to_trunk),
        ):
            trunk.sendto(request("INVITE", body=SDP))
            assert (await to_trunk.get()).startswith(b"SIP/2.0 100 ")
            assert len(told.calls) == 1

    within(work)


def test_on_a_socket_for_both_families_ipv4_phones_may_use_tcp_as_well() -> None:
    """asyncio makes sockets for connections that take IPv6 only, also on ``::``."""

    async def work() -> None:
        async with listening(host="::") as (endpoint, told):
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, endpoint.port)
                writer.write(request("INVITE", body=SDP, branch=host[:1], call_id=host, transport="TCP"))
                assert (await reader.readline()).startswith(b"SIP/2.0 100 ")
                writer.close()
            assert [call.source[0] for call in told.calls] == ["127.0.0.1", "::1"]

    within(work)


def test_what_is_no_sip_closes_the_connection() -> None:
    async def work() -> None:
        async with listening() as (endpoint, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await rest(reader) == b""
            writer.close()

    within(work)


def test_connections_are_bounded() -> None:
    async def work() -> None:
        trunks = {"t": {"host": "127.0.0.1"}}
        async with listening(max_connections=2, trunks=trunks) as (endpoint, _):
            streams = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(3)]
            assert await rest(streams[2][0]) == b""
            assert endpoint.connections == 2
            assert endpoint.stats.connections_refused == 1
            for _, writer in streams:
                writer.close()

    within(work)


def test_one_address_has_a_quarter_of_the_connections_unless_it_is_a_trunks() -> None:
    async def work() -> None:
        async with listening(max_connections=8) as (endpoint, _):
            streams = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(3)]
            assert await rest(streams[2][0]) == b""
            assert endpoint.connections == 2
            local = ("127.0.0.2", 0)
            streams.append(await asyncio.open_connection("127.0.0.1", endpoint.port, local_addr=local))
            await until(lambda: endpoint.connections == 3)
            for _, writer in streams:
                writer.close()

    within(work)


def test_hundreds_of_messages_at_once_leave_room_for_the_voices_of_calls() -> None:
    rounds = 0

    async def work() -> None:
        nonlocal rounds
        async with listening() as (endpoint, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            messages = [request("OPTIONS", branch=f"b{n}", transport="TCP") for n in range(400)]
            writer.write(b"".join(messages))
            counting = asyncio.create_task(count())
            for data in messages:
                branch = data.split(b"branch=")[1].split(b";")[0]
                assert branch in await message(reader)
            counting.cancel()
            writer.close()

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    within(work)
    assert rounds >= 400 / 8


def test_a_connection_on_which_nothing_ever_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.sip.transport.streams.FIRST_MESSAGE_S", 0.05)
    monkeypatch.setattr("piopiy_pipeline.gateway.sip.transport.endpoint._SWEEP_S", 0.05)

    async def work() -> None:
        async with listening() as (endpoint, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            writer.write(b"OPTIONS sip:x SIP/2.0\r\n")
            assert await rest(reader) == b""
            assert endpoint.connections == 0
            writer.close()

    within(work)


def test_a_call_to_where_nobody_listens_is_lost_at_once() -> None:
    async def work() -> None:
        async with listening() as (endpoint, _):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                closed = probe.getsockname()[1]
            leg = Leg(Bench())
            endpoint.invite(f"sip:bob@127.0.0.1:{closed};transport=tcp", leg.media.offer(), leg)
            await until(lambda: leg.ending is not None)
            assert leg.ending == (Ending.LOST, 503)
            assert endpoint.calls == []

    within(work)


def test_a_call_to_a_name_is_sent_to_its_address() -> None:
    async def work() -> None:
        async with listening() as (endpoint, _), peer(endpoint.port) as (transport, came):
            port = transport.get_extra_info("sockname")[1]
            leg = Leg(Bench())
            endpoint.invite(f"sip:bob@localhost:{port}", leg.media.offer(), leg)
            assert (await came.get()).startswith(b"INVITE sip:bob@localhost:")

    within(work)


def test_two_gateways_see_each_other() -> None:
    async def work() -> None:
        async with listening() as (one, _), listening() as (other, told):
            legs = [Leg(Bench()), Leg(Bench())]
            for leg, way in zip(legs, ("", ";transport=tcp"), strict=True):
                one.invite(f"sip:100@localhost:{other.port}{way}", leg.media.offer(), leg)
            await until(lambda: len(told.calls) == 2)
            assert one.peer_of("sip:100@198.51.100.7") == "198.51.100.7"

    within(work)


def test_a_phone_whose_connection_is_gone_is_called_where_it_says_it_is() -> None:
    async def work() -> None:
        bench = Bench()
        async with listening(users={"bob": "pw"}) as (endpoint, _):
            came: asyncio.Queue[bytes] = asyncio.Queue()

            async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                came.put_nowait(await message(reader))
                writer.close()

            phone = await asyncio.start_server(take, "127.0.0.1", 0)
            own = phone.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            contact = f"<sip:bob@127.0.0.1:{own};transport=tcp>"

            async def exchange(data: bytes) -> SipResponse:
                writer.write(data)
                read = parse(await message(reader))
                assert isinstance(read, SipResponse)
                return read

            ask = bench.registering("bob", "TCP", contact)
            challenge = await exchange(ask(2))
            assert (await exchange(ask(3, bench.credentials("bob", "pw", challenge)))).code == 200
            writer.close()
            await until(lambda: endpoint.connections == 0)
            leg = Leg(bench)
            endpoint.invite("bob", leg.media.offer(), leg)
            assert (await came.get()).startswith(f"INVITE sip:bob@127.0.0.1:{own};transport=tcp ".encode())
            phone.close()

    within(work)


def test_closing_hangs_up_and_can_be_done_twice() -> None:
    async def work() -> None:
        async with listening() as (endpoint, told), peer(endpoint.port) as (transport, came):
            transport.sendto(request("INVITE", body=SDP))
            await came.get()
            await endpoint.close()
            assert (await came.get()).startswith(b"SIP/2.0 480 ")
            assert told.calls[0].ended
            await endpoint.close()

    within(work)


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. 'uvloop"
)  # it leaves the socket that failed to itself
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_port_that_is_taken_is_an_error_that_names_it(loop: str) -> None:
    async def work() -> None:
        async with listening() as (endpoint, _):
            with pytest.raises(GatewayError) as refused:
                await SipEndpoint.open(SipConfig(port=endpoint.port), Told())
            assert str(refused.value) == (
                f"sip: cannot listen on 127.0.0.1, port {endpoint.port}: Address already in use: "
                "set sip.host and sip.port to what is free on this machine"
            )

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(asyncio.wait_for(work(), 30))
    else:
        within(work)


def test_a_certificate_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    async def work() -> None:
        config = SipConfig(port=0, tls_certificate=tmp_path / "none.pem")
        with pytest.raises(
            GatewayError, match=r"sip\.tls_certificate: .*none\.pem: No such file or directory$"
        ):
            await SipEndpoint.open(config, Told())

    within(work)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    kept, secret = folder / "cert.pem", folder / "key.pem"
    kept.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return kept, secret


def test_calls_come_over_tls_where_there_is_a_certificate(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)

    async def work() -> None:
        async with listening(tls_port=0, tls_certificate=cert, tls_key=key) as (endpoint, told):
            context = ssl.create_default_context(cafile=str(cert))
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=context)
            writer.write(request("INVITE", body=SDP, transport="TLS"))
            assert (await message(reader)).startswith(b"SIP/2.0 100 ")
            told.calls[0].ring(asyncio.get_running_loop().time())
            ringing = await message(reader)
            assert f"Contact: <sip:100@127.0.0.1:{endpoint.tls_port};transport=tls>".encode() in ringing
            writer.close()

    within(work)
