"""What it pays to read a WebSocket's messages past websockets' documented interface: CPU time for each message.

    python -m benchmarks.websocket_reading                  both directions; a few seconds
    python -m benchmarks.websocket_reading --json           one JSON object as the last line

A message of 20 ms of audio (640 bytes) comes in a turn of the event loop of its own, as it does in a call. It is read
in three ways, in turn: with `async for message in connection`, as documented; by websockets' parser, with its events
handed over at once (`process_event`), which is a method to override; and past the parser, where the message is one
whole frame, which needs to know where the parser's generator waits (`compat/websockets.py`). The connections are
websockets' own with nothing but the socket left out. Times are of the process, the medians of several rounds, less
what a turn of the loop costs that reads nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from piopiy_pipeline.signaling.websocket import DirectClientConnection, DirectServerConnection

MESSAGES_A_SECOND = 50
WAYS = ("documented", "events", "whole")


class _Transport(asyncio.Transport):
    """A socket that takes everything and sends nothing."""

    def write(self, data: Any) -> None: ...
    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


def _connection(way: str, *, server: bool) -> Connection:
    protocol: Any
    if server:
        protocol = ServerProtocol(state=OPEN)
        kind: Any = ServerConnection if way == "documented" else DirectServerConnection
        connection = kind(protocol, cast(Any, _Server()), ping_interval=None)
    else:
        protocol = ClientProtocol(parse_uri("ws://localhost"), state=OPEN)
        kind = ClientConnection if way == "documented" else DirectClientConnection
        connection = kind(protocol, ping_interval=None)
    connection.request = connection.response = Any  # the handshake is done
    connection.connection_made(_Transport())
    return cast(Connection, connection)


class _Server:
    """What a server's connection asks of its server."""

    def __init__(self) -> None:
        self.handler_tasks: set[object] = set()

    async def handler(self, _: object) -> None: ...
    def start_connection_handler(self, _: object) -> None: ...


async def _read(way: str, data: bytes, messages: int, *, server: bool) -> float:
    """Have a connection read so many messages. Returns CPU time in microseconds for each."""
    loop = asyncio.get_running_loop()
    connection = _connection(way, server=server) if way != "nothing" else None
    done, taken = asyncio.Event(), 0

    def take(_: object = None) -> None:
        nonlocal taken
        taken += 1
        if taken == messages:
            done.set()

    async def consume(source: Connection) -> None:
        async for message in source:
            take(message)

    task = None
    receive: Callable[[bytes], None] = take
    if connection is not None:
        receive = connection.data_received
        if way == "documented":
            task = loop.create_task(consume(connection))
            await asyncio.sleep(0)
        else:
            assert isinstance(connection, DirectClientConnection | DirectServerConnection)
            connection.listen(on_binary=take)
            if way == "events":
                receive = _by_events(connection)

    sent = 0

    def turn() -> None:
        nonlocal sent
        receive(data)
        sent += 1
        if sent < messages:
            loop.call_soon(turn)

    began = time.process_time()
    loop.call_soon(turn)
    await done.wait()
    took = time.process_time() - began
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return took / messages * 1e6


def _by_events(connection: DirectClientConnection | DirectServerConnection) -> Callable[[bytes], None]:
    """Return how a connection reads that does not look whether the parser is between two frames."""

    def receive(data: bytes) -> None:
        Connection.data_received(connection, data)

    return receive


def measure(messages: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return microseconds for each message, by the side that reads and the way."""
    found: dict[str, dict[str, float]] = {}
    for side, server in (("agent", False), ("gateway", True)):
        data = Frame(Opcode.BINARY, bytes(640)).serialize(mask=server)
        each: dict[str, list[float]] = {way: [] for way in ("nothing", *WAYS)}
        for _ in range(rounds):
            for way in each:
                each[way].append(_run(_read(way, data, messages, server=server)))
        medians = {way: statistics.median(times) for way, times in each.items()}
        found[side] = {way: round(medians[way] - medians["nothing"], 2) for way in WAYS}
    return found


def _run(work: Any) -> float:
    try:
        import uvloop
    except ImportError:
        return cast(float, asyncio.run(work))
    return cast(float, uvloop.run(work))


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--messages", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = arguments.parse_args()
    found = measure(options.messages, options.rounds)
    for side, ways in found.items():
        for way, took in ways.items():
            a_second = took * MESSAGES_A_SECOND / 1e3
            print(f"{side:<8} {way:<11}{took:7.2f} µs a message,{a_second:6.2f} ms a call-second")
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
