"""Connections that hand each message to a function: in order, none lost, everything bounded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import CloseCode, Frame, Opcode

from piopiy_pipeline.signaling import websocket as sockets
from piopiy_pipeline.signaling.websocket import (
    DirectClientConnection,
    DirectConnection,
    DirectServerConnection,
)
from tests.support.agents import logged
from tests.support.gateway_peers import until


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[DirectServerConnection, DirectClientConnection]]:
    """Both ends of one connection, neither listening yet."""
    arrived: asyncio.Queue[DirectServerConnection] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        assert isinstance(connection, DirectServerConnection)
        arrived.put_nowait(connection)
        await connection.wait_closed()

    async with serve(
        handler, "127.0.0.1", 0, create_connection=DirectServerConnection, compression=None, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(
            f"ws://127.0.0.1:{port}",
            create_connection=DirectClientConnection,
            compression=None,
            proxy=None,
            close_timeout=1,
        ) as client:
            assert isinstance(client, DirectClientConnection)
            yield await arrived.get(), client


def everything(end: DirectConnection) -> list[tuple[str, bytes]]:
    """What `end` hears from now on."""
    heard: list[tuple[str, bytes]] = []
    end.listen(
        on_text=lambda data: heard.append(("text", data)),
        on_binary=lambda data: heard.append(("binary", data)),
    )
    return heard


def test_messages_arrive_in_order_text_and_binary_whole_and_in_fragments() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            heard: list[tuple[str, bytes]] = []
            server.listen(
                on_text=lambda data: heard.append(("text", data)),
                on_binary=lambda data: heard.append(("binary", data)),
            )
            assert client.post_text("grüezi")
            assert client.post_binary(b"\x01\x02")
            await client.send([b"in ", b"three ", b"parts"])
            await client.send(["and ", "text"])
            assert client.post_text(b"bytes")
            await until(lambda: len(heard) == 5)
            assert heard == [
                ("text", "grüezi".encode()),
                ("binary", b"\x01\x02"),
                ("binary", b"in three parts"),
                ("text", b"and text"),
                ("text", b"bytes"),
            ]

    asyncio.run(story())


def test_a_stream_says_the_same_however_it_is_cut_into_pieces() -> None:
    sizes = (0, 1, 125, 126, 320, 65_535, 65_536)
    frames = [Frame(Opcode.BINARY, bytes(size)) for size in sizes]
    frames += [Frame(Opcode.PING, b"alive"), Frame(Opcode.TEXT, b"{}")]
    frames += [Frame(Opcode.BINARY, b"one ", fin=False), Frame(Opcode.PING, b""), Frame(Opcode.CONT, b"two")]
    frames += [Frame(Opcode.BINARY, bytes(320))] * 3
    expected = [("binary", bytes(size)) for size in sizes]
    expected += [("text", b"{}"), ("binary", b"one two"), *[("binary", bytes(320))] * 3]
    dice = random.Random(1)

    async def story() -> None:
        async with pair() as both:
            for end, masked in zip(both, (True, False), strict=True):
                stream = b"".join(frame.serialize(mask=masked) for frame in frames)
                heard = everything(end)
                for longest in (len(stream), 1000, 400, 40):
                    rest, heard[:] = stream, []
                    while rest:
                        cut = dice.randint(1, longest) if longest < len(stream) else longest
                        end.data_received(rest[:cut])
                        rest = rest[cut:]
                    assert heard == expected, (masked, longest)

    asyncio.run(story())


def test_a_frame_that_is_too_long_or_not_masked_is_refused_also_behind_others() -> None:
    sound = Frame(Opcode.BINARY, bytes(320))
    for bad, code in (
        (sound.serialize(mask=False), CloseCode.PROTOCOL_ERROR),
        (Frame(Opcode.BINARY, bytes(2 << 20)).serialize(mask=True), CloseCode.MESSAGE_TOO_BIG),
    ):

        async def story(bad: bytes = bad, code: CloseCode = code) -> None:
            async with pair() as (server, client):
                heard: list[bytes] = []
                server.listen(on_binary=heard.append)
                server.data_received(2 * sound.serialize(mask=True))
                server.data_received(sound.serialize(mask=True) + bad)
                assert heard == 3 * [bytes(320)]
                await client.wait_closed()
                assert client.close_code == code

        asyncio.run(story())


def test_what_came_before_listen_is_not_lost() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            client.post_text("one")
            client.post_binary(b"two")
            await (await client.ping())
            heard: list[bytes] = []
            server.listen(on_text=heard.append, on_binary=heard.append)
            assert heard == [b"one", b"two"]

    asyncio.run(story())


def test_a_flood_before_listen_is_cut_off() -> None:
    async def story() -> None:
        async with pair() as (_, client):
            with logged() as lines:
                for n in range(sockets.EARLY_LIMIT + 10):
                    client.post_text(str(n))
                async with asyncio.timeout(10):
                    await client.wait_closed()
            assert client.close_code == 1008
            assert [line for _, line in lines if line.startswith("WARNING")] == [
                f"WARNING a WebSocket peer sent more than {sockets.EARLY_LIMIT} messages early: closed"
            ]

    asyncio.run(story())


def test_messages_sent_just_before_the_close_are_heard() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            heard: list[bytes] = []
            gone = asyncio.Event()
            server.listen(on_text=heard.append, on_close=gone.set)
            client.post_text("last words")
            client.finish()
            await asyncio.wait_for(gone.wait(), 10)
            assert heard == [b"last words"]

    asyncio.run(story())


def test_the_close_is_told_once_and_also_to_those_who_listen_late() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            told: list[str] = []
            server.listen(on_close=lambda: told.append("first"))
            await client.close()
            await server.wait_closed()
            server.listen(on_close=lambda: told.append("late"))
            assert told == ["first", "late"]
            assert not server.post_text("into the void")
            assert not server.post_binary(b"")
            await server.close()
            server.finish()

    asyncio.run(story())


def test_after_finish_nothing_is_heard_any_more() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            heard: list[bytes] = []
            server.listen(on_text=heard.append)
            server.finish(1008, "x" * 500)
            client.post_text("too late")
            await client.wait_closed()
            assert heard == []
            assert client.close_reason == "x" * 123

    asyncio.run(story())


def test_a_listener_that_raises_closes_its_connection_with_an_internal_error() -> None:
    async def story() -> None:
        async with pair() as (server, client):

            def fail(_: bytes) -> None:
                raise ZeroDivisionError

            server.listen(on_text=fail)
            client.post_text("boom")
            async with asyncio.timeout(10):
                await client.wait_closed()
            assert client.close_code == 1011

    asyncio.run(story())


def test_audio_is_refused_while_too_much_waits_and_taken_again_afterwards() -> None:
    async def story() -> None:
        async with pair() as (server, client):
            server.binary_limit_bytes = 100_000
            client.transport.pause_reading()
            sent = 0
            while server.post_binary(bytes(50_000)):
                sent += 1
                assert sent < 2000
            assert server.write_buffer_size <= 160_000
            heard: list[bytes] = []
            client.listen(on_binary=heard.append)
            client.transport.resume_reading()
            await until(lambda: len(heard) == sent)
            assert server.post_binary(b"again")

    asyncio.run(story())


def test_what_a_client_says_in_one_turn_of_the_loop_goes_out_in_one_write_and_ahead_of_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with pair() as (server, client):
            heard = everything(server)
            writes: list[bytes] = []
            write = client.transport.write

            def keep(data: bytes) -> None:
                writes.append(data)
                write(data)

            monkeypatch.setattr(client.transport, "write", keep)
            for number in range(5):
                assert client.post_binary(bytes([number]))
            assert client.write_buffer_size == 5, "what waits for the end of the turn counts"
            await asyncio.sleep(0)
            assert len(writes) == 1
            assert client.write_buffer_size == 0
            assert client.post_binary(b"before")
            assert client.post_text("now")
            assert len(writes) == 2, "a text does not wait, nor does what is before it"
            await asyncio.sleep(0)
            assert len(writes) == 2
            assert client.post_binary(b"last")
            client.finish()
            await client.wait_closed()
            binary = [("binary", bytes([number])) for number in range(5)]
            assert heard == [*binary, ("binary", b"before"), ("text", b"now"), ("binary", b"last")]

    asyncio.run(story())


def test_a_peer_that_reads_no_text_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TEXT_LIMIT_BYTES", 200_000)

    async def story() -> None:
        async with pair() as (server, client):
            gone = asyncio.Event()
            server.listen(on_close=gone.set)
            client.transport.pause_reading()
            sent = 0
            while server.post_text(b"x" * 50_000):
                sent += 1
                assert sent < 2000
            await asyncio.wait_for(gone.wait(), 10)
            client.transport.abort()

    asyncio.run(story())


def test_closing_is_bounded_even_if_the_peer_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CLOSE_S", 0.05)

    async def story() -> None:
        async with pair() as (server, client):
            server.listen()
            client.transport.pause_reading()
            while server.post_binary(bytes(50_000)):
                pass
            async with asyncio.timeout(5):
                await server.close()
            client.transport.abort()

    asyncio.run(story())
