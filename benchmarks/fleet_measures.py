"""The constants of `benchmarks/fleet.py`, and how each was measured: `python -m benchmarks.fleet --measure`.

The NATS server is a real one. What it costs is its own CPU time, so it may be measured on a machine that is shared.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import statistics
import tempfile
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.cluster.directory_messages import (
    AgentPlaces,
    DirectoryAnswer,
    DirectorySearch,
    GatewayPresence,
)
from piopiy_pipeline.gateway.cluster.other_gateways import OtherGateways
from piopiy_pipeline.gateway.cluster.reservations import Reservations
from piopiy_pipeline.gateway.core.gateway_call_state import CallLimits
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.signaling.json_messages import dump, parser
from piopiy_pipeline.signaling.messages import Register, Status
from tests.support.switchboard import NotedLeg

__all__ = ["MEASURED", "measure"]

MEASURED = {
    "broker_ms": 0.04,
    "broker_us_taken": 0.5,
    "broker_us_given": 0.4,
    "broker_us_kb": 0.85,
    "client_us": 10.0,
    "presence_us": 3.2,
    "presence_us_kb": 12.0,
    "message_us": 2.1,
    "registration_ms": 0.7,
}
"""What `measure` found: CPU in microseconds, or milliseconds, on one core of the machine that the docs name."""

NATS_SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
SUBSCRIBERS = 200
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def measure() -> dict[str, Any]:
    """Measure all of them.

    Returns:
        Those of `MEASURED`, and what the documentation says beside them.
    """
    return {**_messages(), **_memory(), **asyncio.run(_broker()), **asyncio.run(_registration())}


# ---------------------------------------------------------------------- a gateway's own part


def _presence(agents: int) -> GatewayPresence:
    return GatewayPresence(
        gateway="gateway-001",
        url="ws://gateway-001:7860",
        version="0.2.0",
        calls=500,
        agents={f"desk-{one:04}": AgentPlaces(instances=1, active=20, places=4) for one in range(agents)},
    )


def _took_us(act: Any, times: int = 2000) -> float:
    """Return the CPU time of a call of this function, in microseconds: the best of five."""
    took = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            act()
        took.append((time.process_time() - began) / times)
    return min(took) * 1e6


def _messages() -> dict[str, float]:
    parse = parser(GatewayPresence)
    small, large = (dump(_presence(agents)).encode() for agents in (0, 25))
    others = OtherGateways()

    def take(text: bytes) -> None:
        others.heard(parse(text), 0.0)

    small_us, large_us = _took_us(lambda: take(small)), _took_us(lambda: take(large))
    search = DirectorySearch(
        call_id=str(uuid.uuid4()),
        agent_id="desk-0001",
        gateway="gateway-001",
        url="ws://gateway-001:7860",
        ticket="t" * 32,
        deadline_ms=1500,
    )
    answer = DirectoryAnswer(gateway="gateway-002", instance_id="agent-0001")
    read = parser(DirectorySearch)
    text = dump(search).encode()
    return {
        "presence_us": round(small_us, 1),
        "presence_us_kb": round((large_us - small_us) / (len(large) - len(small)) * 1e3, 1),
        "message_us": round(_took_us(lambda: (read(text), dump(answer))), 1),
        "bytes of a question": len(text),
        "bytes of an answer": len(dump(answer)),
        "bytes of a presence of nobody": len(small),
        "bytes of a presence for each agent more": round((len(large) - len(small)) / 25),
    }


class _Link:
    def send(self, message: Any) -> None: ...

    def replace(self) -> None: ...

    def shutdown(self) -> None: ...


def _held(make: Any, number: int) -> float:
    """Return how many bytes are kept by what one of so many things made."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make(number)
    gc.collect()
    octets = (tracemalloc.get_traced_memory()[0] - before) / number
    tracemalloc.stop()
    del kept
    return octets


def _memory() -> dict[str, float]:
    limits = CallLimits(offer_s=0.4, setup_s=10, max_duration_s=600)

    def instances(number: int) -> Any:
        board = Switchboard(limits=limits, max_calls=10_000)
        for one in range(number):
            kept = board.register(
                Register(agent_id="desk", instance_id=f"agent-{one}", capacity=24, roams=True), _Link(), 0.0
            )
            board.receive(kept, Status(active=0, capacity=24), 0.0)
        return board

    def calls(number: int) -> Any:
        board = instances(1)
        legs = [NotedLeg() for _ in range(number)]
        for leg in legs:
            board.place(CallInfo(agent_id="desk", call_id=str(uuid.uuid4())), leg, 0.0)
        return board, legs

    def reservations(number: int) -> Any:
        board = Switchboard(limits=limits, max_calls=10_000)
        link = _Link()
        for one in range(number // 20 + 1):
            board.register(
                Register(agent_id="desk", instance_id=f"agent-{one}", capacity=24, roams=True), link, 0.0
            )
        kept = Reservations(board.instances)
        for one in range(number):
            kept.reserve(
                DirectorySearch(
                    call_id=f"call-{one}", agent_id="desk", gateway="other", url="ws://other", ticket="t" * 32,
                    deadline_ms=1500,
                ),
                0.0,
            )  # fmt: skip
        return board, kept

    def views(number: int) -> Any:
        others, parse = OtherGateways(), parser(GatewayPresence)
        for one in range(number):
            presence = _presence(25).model_copy(update={"gateway": f"gateway-{one}"})
            others.heard(parse(dump(presence)), 0.0)
        return others

    return {
        "bytes of an instance": round(_held(instances, 500)),
        "bytes of a call": round(_held(calls, 500)),
        "bytes of a reservation": round(_held(reservations, 1000)),
        "bytes of another gateway with 25 agents": round(_held(views, 200)),
    }


# ---------------------------------------------------------------------- the server


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class _Reader(asyncio.Protocol):
    """A client that counts bytes and reads nothing of them, so that the server is what is measured."""

    def __init__(self) -> None:
        self.octets = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.octets += len(data)
        if data.endswith(b"PING\r\n"):
            self.transport.write(b"PONG\r\n")


async def _broker() -> dict[str, float]:
    assert NATS_SERVER is not None, "nats-server is missing: apt-get install nats-server"
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        server = await asyncio.create_subprocess_exec(
            *(NATS_SERVER, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            return await _use(port, server.pid)
        finally:
            server.kill()
            await server.wait()


async def _use(port: int, pid: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    readers: list[_Reader] = []
    for _ in range(100):
        try:
            await loop.create_connection(_Reader, "127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.05)
    idle_mb = _resident_mb(pid)
    for number in range(SUBSCRIBERS):
        _, reader = await loop.create_connection(_Reader, "127.0.0.1", port)
        reader.transport.write(b'CONNECT {"verbose":false}\r\nSUB presence 1\r\n')
        for agent in range(25):
            subject = uuid.uuid5(uuid.NAMESPACE_DNS, f"{number % 40} {agent}").hex
            reader.transport.write(f"SUB piopiy.1.search.{subject} gateways {agent + 2}\r\n".encode())
        readers.append(reader)
    _, talker = await loop.create_connection(_Reader, "127.0.0.1", port)
    talker.transport.write(b'CONNECT {"verbose":false}\r\n')
    await asyncio.sleep(1)
    joined_mb = _resident_mb(pid)
    alone_us = await _publish(talker, readers, pid, b"PUB nobody", 100, 200_000, heard=False)
    small_us = await _publish(talker, readers, pid, b"PUB presence", 100, 2000)
    large_us = await _publish(talker, readers, pid, b"PUB presence", 2500, 1000)
    per_kb = (large_us - small_us) / SUBSCRIBERS / 2.4
    per_given = (small_us - alone_us) / SUBSCRIBERS - per_kb * 0.1
    return {
        "broker_us_taken": round(alone_us, 2),
        "broker_us_given": round(max(0.0, per_given), 2),
        "broker_us_kb": round(per_kb, 2),
        "broker's memory MB, idle": round(idle_mb, 1),
        "and with 200 gateways of 25 agents": round(joined_mb, 1),
        **(await _requests(port, pid)),
    }


async def _publish(
    talker: _Reader,
    readers: list[_Reader],
    pid: int,
    what: bytes,
    size: int,
    times: int,
    *,
    heard: bool = True,
) -> float:
    """Return the server's CPU time for one message, in microseconds, with all who hear it."""
    octets, cpu_s = [one.octets for one in readers], _cpu_s(pid)
    line = what + f" {size}\r\n".encode() + b"x" * size + b"\r\n"

    def behind(number: int) -> bool:
        least = min(one.octets - before for one, before in zip(readers, octets, strict=True))
        return talker.transport.get_write_buffer_size() > 1 << 16 or (heard and least < size * number)

    async with asyncio.timeout(60):
        for number in range(times):
            talker.transport.write(line)
            while number % 20 == 0 and behind(number - 100):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.001)
        while behind(times):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.2)
    return (_cpu_s(pid) - cpu_s) / times * 1e6


async def _requests(port: int, pid: int) -> dict[str, float]:
    from nats.aio.client import Client
    from nats.js.api import KeyValueConfig

    asker, answerer = Client(), Client()
    await asker.connect(f"nats://127.0.0.1:{port}")
    await answerer.connect(f"nats://127.0.0.1:{port}")

    async def answer(message: Any) -> None:
        await message.respond(b"x" * 70)

    await answerer.subscribe("ask", queue="gateways", cb=answer)
    heard, all_heard = 0, asyncio.Event()

    async def hear(message: Any) -> None:
        nonlocal heard
        heard += 1
        if heard % 4 == 0:  # a few at a time, as they come to a gateway
            all_heard.set()

    await answerer.subscribe("hear", cb=hear)
    await answerer.flush()
    _, talker = await asyncio.get_running_loop().create_connection(_Reader, "127.0.0.1", port)
    talker.transport.write(b'CONNECT {"verbose":false}\r\n')
    cpu = time.process_time()
    while heard < 4000:
        talker.transport.write((b"PUB hear 100\r\n" + b"x" * 100 + b"\r\n") * 4)
        await all_heard.wait()
        all_heard.clear()
    client_us = (time.process_time() - cpu) / heard * 1e6
    took = []
    for _ in range(1000):
        began = time.perf_counter()
        await asker.request("ask", b"x" * 250, timeout=2)
        took.append(time.perf_counter() - began)
    bucket = await asker.jetstream().create_key_value(KeyValueConfig(bucket="measure", ttl=600, history=1))
    cpu_s, began, puts = _cpu_s(pid), time.perf_counter(), 2000
    for number in range(puts):
        await bucket.put(f"call-{number % 500}", os.urandom(4000))
    put_us, put_ms = (_cpu_s(pid) - cpu_s) / puts * 1e6, (time.perf_counter() - began) / puts * 1e3
    await asker.close()
    await answerer.close()
    request_ms = statistics.median(took) * 1e3
    return {
        "client_us": round(client_us, 1),
        "broker_ms": round(request_ms / 4, 3),  # there and back, each through the server
        "a question and its answer, ms": round(request_ms, 3),
        "a checkpoint of 4 kB, server's CPU us": round(put_us),
        "a checkpoint of 4 kB, ms": round(put_ms, 2),
    }


# ---------------------------------------------------------------------- an agent that comes


async def _registration() -> dict[str, float]:
    from websockets.asyncio.client import connect

    from piopiy_pipeline.gateway import Gateway, GatewayConfig

    settings: dict[str, Any] = {
        "port": 0, "agents": {"desk": "token"}, "records": False, "webrtc_workers": 0,
    }  # fmt: skip
    async with Gateway(GatewayConfig(**settings)) as gateway:
        took, sockets = [], []
        for number in range(200):
            began = time.process_time()
            socket = await connect(
                f"{gateway.url}/agent", additional_headers={"Authorization": "Bearer token"}, compression=None,
                proxy=None, ping_interval=None,
            )  # fmt: skip
            register = Register(agent_id="desk", instance_id=f"agent-{number}", capacity=24, roams=True)
            await socket.send(dump(register))
            await socket.recv()
            took.append(time.process_time() - began)
            sockets.append(socket)
        for socket in sockets:
            await socket.close()
    return {"registration_ms": round(statistics.median(took) * 1e3, 2)}
