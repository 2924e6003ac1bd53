"""The gateway's port with a certificate: everything is spoken over TLS, and handshakes are bounded."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.gateway import Gateway, GatewayError
from piopiy_pipeline.gateway.port import tls_handshake
from piopiy_pipeline.gateway.port.first_request import Connections, OpenConnection
from piopiy_pipeline.gateway.port.tls_handshake import TlsHandshake
from tests.gateway.port.test_first_request import INFO
from tests.support.gateway_peers import (
    AGENT_ID,
    CALLER_KEY,
    bearer,
    config,
    until,
)
from tests.support.loopback_certificate import certificate
from tests.support.web import client, raw


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_with_a_certificate_everything_is_spoken_over_tls(tmp_path: Path, loop: str) -> None:
    chain, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=chain)

    async def story() -> None:
        async with Gateway(config(tls_certificate=chain, tls_key=key)) as gateway:
            assert gateway.console_url == f"https://127.0.0.1:{gateway.port}/"
            async with client(gateway, verify=trust) as web:
                assert (await web.get("/api/info")).status_code == 200
                assert (await web.get("/healthz")).status_code == 200
                assert (await web.get("/")).text.startswith("<!doctype html>")
            async with connect(
                f"{gateway.url}/call/{AGENT_ID}",
                additional_headers=bearer(CALLER_KEY),
                proxy=None,
                ssl=trust,
            ) as socket:
                await socket.send('{"event": "start", "rate": 16000}')
                assert "no_agent" in str([message async for message in socket])
            async with raw(gateway) as plain:
                await plain.say(INFO)
                assert b"200" not in await plain.hear()

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(story())
    else:
        asyncio.run(story())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_does_not_finish_the_tls_handshake_is_cut(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_handshake, "HEAD_S", 0.3)
    chain, key = certificate(tmp_path)

    async def story() -> None:
        async with Gateway(config(tls_certificate=chain, tls_key=key)) as gateway, raw(gateway) as one:
            await one.say(b"\x16\x03\x01")
            assert await one.hear() == b""

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(story())
    else:
        asyncio.run(story())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_handshakes_of_one_address_do_not_shut_out_others(loop: str, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=chain)

    async def story() -> None:
        settings = config(tls_certificate=chain, tls_key=key, max_calls=1)
        async with Gateway(settings) as gateway:
            await gateway.ready()
            assert gateway._connections is not None
            connections = gateway._connections
            writers = []
            for _ in range(400):
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", gateway.port, local_addr=("127.0.0.66", 0)
                )
                writers.append(writer)
            await until(lambda: len(connections) == connections.limit)
            async with client(gateway, verify=trust) as web:
                assert (await web.get("/healthz")).status_code == 200
            for writer in writers:
                writer.close()
            await until(lambda: len(connections) == 0)
            for _ in range(100):  # gone in the middle, with an answer under way, with rubbish
                _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.write(b"\x16\x03\x01\x00\x05hello")
                writer.close()
            await until(lambda: len(connections) == 0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(story())
    else:
        asyncio.run(story())


class Cutting(Connections):
    """Connections that are cut as soon as they come, or a turn of the loop later."""

    def __init__(self, *, later: bool) -> None:
        super().__init__(limit=10)
        self.later = later
        self.seen = 0

    def has_seen(self, number: int) -> bool:
        return self.seen >= number

    def add(self, transport: asyncio.Transport, connection: OpenConnection) -> None:
        super().add(transport, connection)
        self.seen += 1
        if self.later:
            asyncio.get_running_loop().call_soon(transport.abort)
        else:
            transport.abort()


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_connection_that_is_cut_before_its_handshake_is_counted_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str, later: bool
) -> None:
    """As one is that comes when a gateway is full, which would take a place from all that follow."""
    monkeypatch.setattr(tls_handshake, "HEAD_S", 0.2)
    monkeypatch.setattr(tls_handshake, "LOST_S", 0.2)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate(tmp_path))

    async def story() -> None:
        connections = Cutting(later=later)
        here = asyncio.get_running_loop()
        server = await here.create_server(
            lambda: TlsHandshake(context, connections, asyncio.Protocol), "127.0.0.1", 0
        )
        async with server:
            for number in range(3):
                _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                await until(partial(connections.has_seen, number + 1))
                writer.close()
            await until(lambda: len(connections) == 0)
            await until(lambda: len(asyncio.all_tasks()) == 1)

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(story())
    else:
        asyncio.run(story())


def test_a_certificate_that_cannot_be_used_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    none = tmp_path / "none.pem"
    key.write_text("no key")

    async def story() -> None:
        with pytest.raises(GatewayError, match=r"key\.pem: cannot be used"):
            await Gateway(config(tls_certificate=chain, tls_key=key)).start()
        for files in ({"tls_certificate": chain, "tls_key": none}, {"tls_certificate": none, "tls_key": key}):
            with pytest.raises(GatewayError) as refused:
                await Gateway(config(**files)).start()
            assert str(refused.value).endswith(f": cannot be used: {none}: No such file or directory")

        own, _ = certificate(tmp_path)
        (other := tmp_path / "other").mkdir()
        for pair, why in (
            ((own, own), "PEM files are expected: a certificate chain, and its private key"),
            ((own, certificate(other)[1]), "the key is not that of the certificate"),
        ):
            with pytest.raises(GatewayError, match=f": cannot be used: {why}"):
                await Gateway(config(tls_certificate=pair[0], tls_key=pair[1])).start()

    asyncio.run(story())
    with pytest.raises(ValueError, match="give both or neither"):
        config(tls_certificate=chain)
