"""The first request of a connection: which protocol a connection speaks, and how long it may take to say so."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.api import http_server as serving
from piopiy_pipeline.gateway.api import request_limits as bounds
from piopiy_pipeline.gateway.port import first_request as http
from tests.support.gateway_peers import (
    AGENT_TOKEN,
    agent,
    bearer,
    caller,
    config,
    until,
)
from tests.support.web import API_KEY, RawClient, client, raw

INFO = b"GET /api/info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HANDSHAKE = (
    b"GET /agent HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + AGENT_TOKEN.encode() + b"\r\n"
    b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (HANDSHAKE, True),
        (b"GET / HTTP/1.1\nupgrade:websocket", True),
        (INFO, False),
        (HANDSHAKE.replace(b"GET", b"POST"), False),
        (b"GET / HTTP/1.1\r\nUpgrade: h2c", False),
        (b"GET /?Upgrade:websocket HTTP/1.1\r\nX-Upgrade: websocket", False),
        (b"", False),
    ],
)
def test_a_websocket_is_known_by_its_upgrade(head: bytes, is_one: bool) -> None:
    assert http.is_websocket(head) is is_one


def test_both_protocols_are_understood_byte_by_byte_and_in_one_piece() -> None:
    async def byte_by_byte(to: RawClient, data: bytes) -> None:
        for at in range(len(data)):
            await to.say(data[at : at + 1])
            await asyncio.sleep(0)

    async def story() -> None:
        async with Gateway(config()) as gateway:
            async with raw(gateway) as one:
                await byte_by_byte(one, INFO)
                assert (await one.answer())[0] == 200
                await one.say(INFO + INFO)  # on the same connection, one before the other's answer
                assert [(await one.answer())[0] for _ in range(2)] == [200, 200]
            async with raw(gateway) as one:
                await byte_by_byte(one, HANDSHAKE)
                assert b"101 Switching Protocols" in await one.reader.readuntil(b"\r\n\r\n")

    asyncio.run(story())


def test_a_connection_that_has_carried_requests_becomes_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of clients with a pool, and of proxies that keep their connections, do."""
    become: list[serving.HttpConnection] = []
    hand_over = serving.HttpConnection.on_websocket

    def on_websocket(connection: serving.HttpConnection, data: bytes) -> None:
        become.append(connection)
        hand_over(connection, data)

    monkeypatch.setattr(serving.HttpConnection, "on_websocket", on_websocket)

    async def story() -> None:
        async with Gateway(config()) as gateway, raw(gateway) as one, raw(gateway) as pipelined:
            await one.say(INFO)
            assert (await one.answer())[0] == 200
            await one.say(HANDSHAKE[:30])
            await asyncio.sleep(0)
            await one.say(HANDSHAKE[30:])
            await pipelined.say(INFO + HANDSHAKE)
            assert (await pipelined.answer())[0] == 200
            for connection in (one, pipelined):
                assert b"101 Switching Protocols" in await connection.reader.readuntil(b"\r\n\r\n")
                await connection.say(b"\x89\x80\0\0\0\0")  # a ping
                assert await connection.reader.readexactly(2) == b"\x8a\x00"
            for http_connection in become:  # no limit of a request cuts the WebSocket
                assert http_connection._head_timer is None
                assert http_connection._stall_timer is None
                assert http_connection.timeout_keep_alive_task is None
            async with raw(gateway) as posting:
                await posting.say(INFO + HANDSHAKE.replace(b"GET", b"POST"))
                assert [(await posting.answer())[0] for _ in range(2)] == [200, 405]
        assert len(become) == 2

    asyncio.run(story())


def test_the_first_request_finds_the_api_and_the_health_check_answers_get_and_head() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, client(gateway) as web:
            assert (await web.get("/api/info")).status_code == 200
            health = await web.get("/healthz")
            assert (health.status_code, health.text.startswith("piopiy gateway")) == (200, True)
            head = await web.head("/healthz")
            assert (head.status_code, head.text) == (200, "")

    asyncio.run(story())


# ---------------------------------------------------------------------- bounds


def test_a_head_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.2)

    async def story() -> None:
        async with Gateway(config()) as gateway:
            await gateway.ready()
            async with raw(gateway) as slow, raw(gateway) as silent:
                await slow.say(b"GET / HTTP/1.1\r\nHost: ")
                assert b"408 Request Timeout" in await slow.hear()
                assert await silent.hear() == b""
            async with raw(gateway) as long:
                await long.say(b"GET / HTTP/1.1\r\nX: " + b"x" * http.HEAD_LIMIT)
                assert b"431 Request Header Fields Too Large" in await long.hear()

    asyncio.run(story())


def test_a_later_head_on_the_same_connection_is_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.2)

    async def story() -> None:
        async with Gateway(config()) as gateway, raw(gateway) as slow, raw(gateway) as long:
            for one in (slow, long):
                await one.say(INFO)
                assert (await one.answer())[0] == 200
            await slow.say(b"GET /api/inf")
            assert await slow.hear() == b""
            await long.say(b"GET / HTTP/1.1\r\nX: " + b"x" * 3 * http.HEAD_LIMIT)
            assert b"400 Bad Request" in await long.hear()

    asyncio.run(story())


def test_what_is_no_http_is_400() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            for rubbish in (
                b"\x16\x03\x01 hello\r\n\r\n",
                b"\r\n\r\n\r\n\r\nGET\r\n\r\n",
            ):
                async with raw(gateway) as one:
                    await one.say(rubbish)
                    assert b"400 Bad Request" in await one.hear(), rubbish

    asyncio.run(story())


def test_a_websocket_at_what_is_no_address_is_400() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, raw(gateway) as one:
            await one.say(HANDSHAKE.replace(b"/agent", b"//["))
            assert b"400 Bad Request" in await one.hear()

    asyncio.run(story())


def test_an_oversized_or_endless_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BODY_S", 0.3)
    monkeypatch.setattr(serving, "HEAD_S", 0.3)
    post = b"POST /api/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway) as web:
            answer = await web.post("/api/tokens", content=b"x" * (bounds.BODY_LIMIT + 1))
            assert (answer.status_code, answer.json()) == (
                413,
                {"error": "the body of a request may have 65536 bytes"},
            )
            assert (await web.get("/api/info")).status_code == 200, "the connection is as good as before"
            async with raw(gateway) as one:
                await one.say(post + b"Content-Length: 99999999\r\n\r\n")
                assert (await one.answer())[0] == 413
                await one.say(b"x" * 1000)
                assert await one.hear() == b"", "and what nobody reads is not sent for ever"
            async with raw(gateway) as one:
                await one.say(post + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(9):
                    await one.say(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
                assert (await one.answer())[0] == 413
            async with raw(gateway) as one:
                await one.say(post + b"Content-Length: 10\r\n\r\n{")
                assert (await one.answer())[0] == 408

    asyncio.run(story())


def test_a_client_that_takes_no_answer_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(serving, "STALL_S", 0.2)
    page = tmp_path / "index.html"
    page.write_bytes(bytes(20 << 20))
    monkeypatch.setattr("piopiy_pipeline.gateway.api.app.WEB", tmp_path)

    async def story() -> None:
        async with Gateway(config()) as gateway, raw(gateway) as one:
            await gateway.ready()
            one.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the writer's, by its full type
            await one.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert gateway._connections is not None
            connections = gateway._connections
            await until(lambda: len(connections) == 1)
            await until(lambda: len(connections) == 0)

    asyncio.run(story())


def test_100_idle_connections_hinder_nobody_and_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP_ALIVE_S", 1)

    async def story() -> None:
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        async with Gateway(config()) as gateway, client(gateway, limits=limits) as web:
            await gateway.ready()
            answers = await asyncio.gather(*(web.get("/api/info") for _ in range(100)))
            assert {answer.status_code for answer in answers} == {200}
            async with agent(gateway) as one, caller(gateway) as line:
                await one.take()
                await line.hear("answered")
            assert gateway._connections is not None
            connections = gateway._connections
            await until(lambda: len(connections) == 0)

    asyncio.run(story())


def test_http_and_websockets_are_counted_together() -> None:
    async def story() -> None:
        async with (
            Gateway(config(max_calls=1)) as gateway,
            client(gateway, limits=httpx.Limits(max_connections=300)) as web,
        ):
            await gateway.ready()
            assert gateway._connections is not None
            connections = gateway._connections
            sockets = [
                await connect(f"{gateway.url}/agent", additional_headers=bearer(AGENT_TOKEN), proxy=None)
                for _ in range(3)
            ]
            idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(255)]
            await until(lambda: len(connections) == 258)
            assert (await web.get("/api/info")).status_code == 200, (
                "and the oldest that said nothing made room"
            )
            await until(lambda: len(connections) == 258)
            assert await idle[0][0].read() == b""
            for socket in sockets:
                await asyncio.wait_for(await socket.ping(), 5)
                await socket.close()
            for _, writer in idle:
                writer.close()
            await until(lambda: len(connections) == 1)

    asyncio.run(story())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("opening", [b"", b"GET / HTTP/1.1\r\n", INFO], ids=["silent", "half a head", "idle"])
def test_one_address_cannot_take_the_port_from_others(loop: str, opening: bytes) -> None:
    """Twice as many connections as there may be, from one address, which it never closes."""

    async def story() -> None:
        async with Gateway(config(max_calls=1)) as gateway, agent(gateway) as one:
            await gateway.ready()
            assert gateway._connections is not None
            connections = gateway._connections
            writers = []
            for _ in range(520):
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", gateway.port, local_addr=("127.0.0.66", 0)
                )
                writer.write(opening)
                writers.append(writer)
            await until(lambda: len(connections) == connections.limit)
            for _ in range(20):
                async with client(gateway) as web:
                    assert (await web.get("/healthz")).status_code == 200
            async with caller(gateway) as line:
                await one.take()
                await line.hear("answered")
            for writer in writers:
                writer.close()

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(story())
    else:
        asyncio.run(story())


# ---------------------------------------------------------------------- the end


def test_closing_lets_an_answer_in_progress_end_and_cuts_idle_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        gateway = Gateway(config(api_keys=[API_KEY]))
        await gateway.start()
        await gateway.ready()
        assert gateway._services is not None
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow_page(**_: object) -> object:
            reached.set()
            await go_on.wait()
            return await real_page(limit=1)

        real_page = gateway._services.recent.page
        monkeypatch.setattr(type(gateway._services.recent), "page", lambda _, **how: slow_page(**how))
        async with client(gateway) as web, raw(gateway) as idle, raw(gateway) as fresh:
            await idle.say(INFO)
            await idle.answer()
            asking = asyncio.create_task(web.get("/api/calls"))
            await reached.wait()
            closing = asyncio.create_task(gateway.close())
            assert await idle.hear() == b""
            assert await fresh.hear() == b""
            monkeypatch.undo()
            go_on.set()
            assert (await asking).status_code == 200
            await closing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_request_that_never_ends_does_not_hold_up_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piopiy_pipeline.gateway.server.CLOSE_S", 0.2)
    monkeypatch.setattr(serving, "END_S", 0.1)

    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway:
            await gateway.ready()
            assert gateway._services is not None
            reached = asyncio.Event()

            async def never(**_: object) -> None:
                reached.set()
                await asyncio.Event().wait()

            monkeypatch.setattr(type(gateway._services.recent), "page", lambda _, **how: never(**how))
            async with raw(gateway) as one:
                head = f"GET /api/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
                await one.say(head.encode())
                await reached.wait()
                async with asyncio.timeout(10):
                    await gateway.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_gateway_that_is_closed_at_once_leaves_nothing() -> None:
    async def story() -> None:
        for _ in range(3):
            async with Gateway(config()):
                pass
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
    gc.collect()  # what was not awaited or not closed would be a warning, and that an error
