"""A gateway that is killed with signal 9 in mid-call, again and again, and started on the same database.

What had been said is on record, but for the last milliseconds; each webhook is delivered at least once, under its id;
a repeated order does not dial twice; the recordings of all open calls can be played. Real processes, a real receiver
of webhooks, SQLite and PostgreSQL. Short: three kills; `--chaos-long`: twenty of each database.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import signal
import socket
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from aiohttp import web
from websockets.exceptions import ConnectionClosed

from tests.support import postgres
from tests.support.calls import eventually
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, caller
from tests.support.gateway_process import api, at_port, free_port, gateway_process

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

CALLS = 5
TURN_S = 0.02
FRAME = array("h", [5000] * 320).tobytes()
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
LOSS_S = 2.0
"""What may be lost at most, on a busy machine. What is lost is in the report."""
SOUND_LOSS_S = 2.5
"""How much of its sound a recording may lack, as soon as the machine lets the gateway write."""
Report = Callable[[str, object], None]


class WebhookReceiver:
    """An operator's server that fails half of the time, so that the gateway always has something to deliver."""

    def __init__(self, rng: random.Random) -> None:
        self.bodies: dict[str, set[bytes]] = defaultdict(set)  # by message id: those that it took
        self._rng = rng
        self.failing = True

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.failing and self._rng.random() < 0.5:
            return web.Response(status=503, headers={"Retry-After": "0"})
        self.bodies[request.headers["webhook-id"]].add(body)
        return web.Response(status=204)

    def told(self) -> Counter[tuple[str, str, int]]:
        """How often each thing was told: type, call and number of the event."""
        found: Counter[tuple[str, str, int]] = Counter()
        for message_id, bodies in self.bodies.items():
            assert len(bodies) == 1, f"{message_id} had several bodies"
            message = json.loads(next(iter(bodies)))
            data = message["data"]
            call_id = data.get("call_id") or data["call"]["call_id"]
            found[message["type"], call_id, data.get("event", {}).get("number", 0)] += 1
        return found


@asynccontextmanager
async def receiving(rng: random.Random) -> AsyncIterator[tuple[WebhookReceiver, str]]:
    receiver = WebhookReceiver(rng)
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield receiver, f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


class Trunk(asyncio.DatagramProtocol):
    """A provider that lets every call ring, and counts who was called by which SIP calls."""

    def __init__(self) -> None:
        self.dialled: dict[str, set[str]] = defaultdict(set)

    def datagram_received(self, data: bytes, _: Any) -> None:
        text = data.decode(errors="replace")
        if (to := re.match(r"INVITE sip:\+?(\d+)@", text)) and (
            call := re.search(r"^Call-ID: *(\S+)", text, re.M)
        ):
            self.dialled[to[1]].add(call[1])


@dataclass
class Round:
    """What was done to one gateway before it was killed."""

    said: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of each call, when each turn was said, by the loop's clock."""
    orders: dict[str, str] = field(default_factory=dict)
    """Idempotency keys, and whom they dialled."""
    killed_at: float = 0.0
    recorded_s: dict[str, float] = field(default_factory=dict)
    """Of each call that was not too short, how much of the bot's sound its recording held before the kill."""


async def speak(bot: ScriptedAgent, call_id: str, media: Peer, this: Round) -> None:
    """A bot says a turn every `TURN_S`, and audio, until the gateway is gone."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            number = len(this.said[call_id]) + 1
            await bot.say(
                type="event",
                call_id=call_id,
                at=number * TURN_S,
                event="bot_turn",
                data={"text": f"{number}"},
            )
            this.said[call_id].append(loop.time())
            await media.socket.send(FRAME)
            await asyncio.sleep(TURN_S)
    except ConnectionClosed:
        return


async def listen(person: Peer) -> None:
    try:
        while True:
            await person.socket.recv()
    except ConnectionClosed:
        return


async def order(client: httpx.AsyncClient, this: Round, number: int) -> None:
    """An operator's server dials once and again, each with a key of its own, until the gateway is gone."""
    try:
        for n in range(1000):
            key, to = f"key-{number}-{n}", f"4930{number:03}{n:04}"
            this.orders[key] = to
            await dial(client, key, to)
            await asyncio.sleep(0.05)
    except httpx.HTTPError:
        return


async def repeat(client: httpx.AsyncClient, key: str, to: str) -> httpx.Response:
    """Order again, as often as the gateway says that it does not know the key yet."""
    for _ in range(60):
        answer = await dial(client, key, to)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    raise AssertionError(answer.text)


def sound_s(recording: Path | BytesIO) -> float:
    """How much of the bot's sound a recording holds."""
    pcm, rate = soundfile.read(recording, dtype="int16")
    return float(np.count_nonzero(pcm[:, 1]) / rate)


async def recorded(folder: Path, this: Round) -> None:
    """Wait until all but the last `SOUND_LOSS_S` of what has been said by now is on disk, and note how much is."""
    files: dict[str, Path] = {}
    for call_id, said in this.said.items():
        wanted_s = len(said) * TURN_S - SOUND_LOSS_S
        if wanted_s < 0:
            continue

        def is_written(call_id: str = call_id, wanted_s: float = wanted_s) -> bool:
            files.update((call_id, file) for file in folder.glob(f"recordings/*/{call_id}.wav"))
            try:
                return call_id in files and sound_s(files[call_id]) > wanted_s
            except soundfile.LibsndfileError:
                return False  # it is being created

        await eventually(is_written, 60, every_s=0.05)
    this.recorded_s = {call_id: sound_s(file) for call_id, file in files.items()}


async def dial(client: httpx.AsyncClient, key: str, to: str) -> httpx.Response:
    body = {"agent_id": AGENT_ID, "to": f"+{to}"}
    return await client.post("/api/calls", json=body, headers={"Idempotency-Key": key})


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[postgres.Cluster]:
    if reason := postgres.missing():
        pytest.skip(reason)
    with postgres.cluster() as server:
        yield server


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_was_said_told_and_dialled_outlives_a_killed_gateway(
    tmp_path: Path, request: pytest.FixtureRequest, record_property: Report, database: str
) -> None:
    long = request.config.getoption("--chaos-long")
    kills = 20 if long else 2 if database == "sqlite" else 1
    seed = random.randrange(1 << 30) if long else 13
    print(f"seed {seed}")  # a failure shows it
    rng = random.Random(seed)
    port, sip_port = free_port(), free_port(socket.SOCK_DGRAM)
    settings: dict[str, Any] = {}
    if database == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres_server").new_database()

    async def one_round(number: int, settings: dict[str, Any]) -> Round:
        this, loop = Round(), asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(gateway_process(tmp_path, port, **settings))
            bot = await stack.enter_async_context(agent(at_port(port), capacity=100))
            people, media = [], {}
            for _ in range(CALLS):
                people.append(await stack.enter_async_context(caller(at_port(port))))
                offer, stream = await bot.take()
                media[offer["call_id"]] = stream
            client = await stack.enter_async_context(api(port))
            tasks = [asyncio.create_task(speak(bot, one, stream, this)) for one, stream in media.items()]
            tasks += [asyncio.create_task(listen(person)) for person in people]
            tasks.append(asyncio.create_task(order(client, this, number)))
            await asyncio.sleep(rng.uniform(0.1, 5.0))
            await recorded(tmp_path, this)
            this.killed_at = loop.time()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await asyncio.gather(*tasks)
        return this

    async def check(this: Round, client: httpx.AsyncClient, receiver: WebhookReceiver, trunk: Trunk) -> float:
        lost_s = 0.0
        wanted: set[tuple[str, str, int]] = set()
        for call_id, said in this.said.items():
            detail = (await client.get(f"/api/calls/{call_id}")).raise_for_status().json()
            numbers = [event["number"] for event in detail["events"]]
            assert numbers == list(range(1, len(numbers) + 1)), "nothing is missing in the middle"
            assert detail["call"]["reason"] == "gateway_lost"
            if len(numbers) < len(said):
                lost_s = max(lost_s, this.killed_at - said[len(numbers)])
            wanted |= {("call.turn", call_id, number) for number in numbers}
            wanted |= {("call.placed", call_id, 0), ("call.answered", call_id, 0), ("call.ended", call_id, 0)}
            if call_id not in this.recorded_s:
                continue
            assert detail["call"]["recorded"]
            sound = (await client.get(f"/api/calls/{call_id}/recording")).raise_for_status()
            assert sound_s(BytesIO(sound.content)) >= this.recorded_s[call_id], (
                "what was written can be played"
            )
        for key, to in this.orders.items():
            answer = await repeat(client, key, to)
            assert answer.status_code in (201, 409), answer.text
        await eventually(lambda: wanted <= set(receiver.told()), 60)
        await asyncio.sleep(0.1)
        assert all(len(trunk.dialled[to]) <= 1 for to in this.orders.values()), "nobody is dialled twice"
        return lost_s

    async def story() -> None:
        loop = asyncio.get_running_loop()
        transport, trunk = await loop.create_datagram_endpoint(Trunk, local_addr=("127.0.0.1", 0))
        trunk_port = transport.get_extra_info("sockname")[1]
        async with AsyncExitStack() as stack:
            stack.callback(transport.close)
            receiver, url = await stack.enter_async_context(receiving(rng))
            everything = settings | {
                "webhooks": [
                    {
                        "url": url,
                        "secret": SECRET,
                        "events": ["call.placed", "call.answered", "call.ended", "call.turn"],
                    }
                ],
                "dials_per_minute": 6000,
                "sip": {"port": sip_port, "trunks": {"out": {"host": "127.0.0.1", "port": trunk_port}}},
            }
            lost_s = turns = dialled = 0.0
            for number in range(kills):
                this = await one_round(number, everything)
                turns += sum(len(said) for said in this.said.values())
                receiver.failing = False
                async with (
                    gateway_process(tmp_path, port, **everything),
                    agent(at_port(port), capacity=100),
                    api(port) as client,
                ):
                    lost_s = max(lost_s, await check(this, client, receiver, trunk))
                receiver.failing = True
                dialled += len(this.orders)
            assert lost_s < LOSS_S
            told = receiver.told()
            record_property(
                "chaos",
                {
                    "fault": f"gateway killed with signal 9, {kills} times, on {database}",
                    "what became of it": f"of {turns:.0f} turns said at most the last {lost_s * 1000:.0f} ms "
                    f"are not on record; {len(told)} webhooks told, {max(told.values())} times at most; "
                    f"{dialled:.0f} orders repeated, nobody dialled twice; the recordings of {CALLS} open calls play",
                },
            )

    asyncio.run(story())
