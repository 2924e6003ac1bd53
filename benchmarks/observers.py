"""What records, watchers and webhooks of many calls at once cost the gateway, and whether any of them misses something.

    python -m benchmarks.observers               200 calls, 15 s each: nothing, records, and watchers and webhooks, too
    python -m benchmarks.observers --calls 50 --json     one JSON object as the last line

The gateway runs in a process of its own, whose CPU clock is read. In this one are the callers, who are silent, and an
agent that plays a conversation of each call without a bot or audio: a turn of the caller and one of the bot in five
seconds, each with three partial texts before it, a latency and a checkpoint. So what is measured is what follows from
events alone. A webhook gets turns as well, at a server in this process; five watchers get all events of all calls.

Exits with 1 if a record, the watchers or the webhook lack a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.util
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from loguru import logger
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.caller_line import dial
from benchmarks.child_process import Failed, Found
from benchmarks.echo_gateway import cpu_s, free_port, memory_mb, start_process, wait_until_listening
from piopiy_pipeline.signaling.caller import CallStart, Leave
from piopiy_pipeline.signaling.messages import dump

AGENT_ID = "talker"
TURN_S = 5.0
PARTIALS = 3
CALL_RATE_S = 0.02
MODES = ("nothing", "records", "and watchers", "and a webhook")
WATCHERS = 5
LATE_S = 10.0
"""How long what is on its way may take to arrive after the last event."""


class Talker:
    """An agent that takes every call, and reports a conversation of each."""

    def __init__(self, url: str, token: str, calls: int) -> None:
        self.turns = 0
        self.up = 0
        """Calls under way."""
        self._url, self._token, self._calls = url, token, calls
        self._tasks: set[asyncio.Task[None]] = set()
        self.talking = asyncio.Event()

    async def serve(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            f"{self._url}/agent", additional_headers=headers, compression=None, proxy=None
        ) as socket:
            hello = {"agent_id": AGENT_ID, "instance_id": "talker", "capacity": self._calls + 10}
            await _say(socket, type="register", **hello)
            try:
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] == "ping":
                        await _say(socket, type="pong", n=message["n"])
                    elif message["type"] == "offer":
                        task = asyncio.create_task(self._take(socket, message))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
            finally:
                for task in self._tasks:
                    task.cancel()

    async def _take(self, socket: ClientConnection, offer: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {offer['media_token']}"}
        call_id = offer["call_id"]
        async with connect(
            self._url + offer["media_path"], additional_headers=headers, compression=None, proxy=None
        ) as media:
            await _say(media, event="start", caller_rate=8000, bot_rate=8000)
            await _say(socket, type="accept", call_id=call_id, offer_id=offer["offer_id"])
            await _say(socket, type="answer", call_id=call_id)
            began = time.monotonic()
            self.up += 1
            talking = asyncio.create_task(self._talk(socket, call_id, began))
            with contextlib.suppress(Exception):
                async for _ in media:
                    pass
            talking.cancel()
            self.up -= 1

    async def _talk(self, socket: ClientConnection, call_id: str, began: float) -> None:
        await self.talking.wait()
        await asyncio.sleep(secrets.randbelow(1000) * TURN_S / 1000)
        text = "I would like to book a table for four people tomorrow evening, please."
        messages = [{"role": "user", "content": text}]
        while self.talking.is_set():
            for side in ("user", "bot"):
                for part in range(1, PARTIALS + 1):
                    data = {"text": text[: len(text) * part // PARTIALS]}
                    await self._event(socket, call_id, began, f"{side}_partial", data)
                    await asyncio.sleep(TURN_S / 2 / (PARTIALS + 1))
                more = {"interrupted": False} if side == "bot" else {}
                await self._event(socket, call_id, began, f"{side}_turn", {"text": text, **more})
                self.turns += 1
                await asyncio.sleep(TURN_S / 2 / (PARTIALS + 1))
            parts = ("silence_s", "stt_s", "turn_s", "llm_s", "tts_s", "playout_s")
            await self._event(
                socket, call_id, began, "latency", {**dict.fromkeys(parts, 0.1), "total_s": 0.6}
            )
            messages.append({"role": "assistant", "content": text})
            await _say(socket, type="checkpoint", call_id=call_id, state={"version": 3, "messages": messages})

    @staticmethod
    async def _event(
        socket: ClientConnection, call_id: str, began: float, name: str, data: dict[str, Any]
    ) -> None:
        at = round(time.monotonic() - began, 3)
        await _say(socket, type="event", call_id=call_id, at=at, event=name, data=data)


class Sink:
    """The receiver of webhooks."""

    def __init__(self) -> None:
        self.turns = 0
        self.messages = 0
        self.port = free_port()
        self._server: uvicorn.Server | None = None

    async def _take(self, request: Request) -> Response:
        self.messages += 1
        self.turns += (await request.json())["type"] == "call.turn"
        return Response(status_code=204)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = Starlette(routes=[Route("/", self._take, methods=["POST"])])
        config = uvicorn.Config(application, port=self.port, log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        task = asyncio.create_task(self._server.serve())
        try:
            yield
        finally:
            self._server.should_exit = True
            await asyncio.wait({task}, timeout=10)


class Watcher:
    """A page that watches all calls."""

    def __init__(self) -> None:
        self.turns = 0

    async def watch(self, url: str, key: str) -> None:
        async with connect(f"{url}/api/events", compression=None, proxy=None, max_size=None) as socket:
            await _say(socket, type="watch", key=key)
            async for text in socket:
                self.turns += '"user_turn"' in str(text) or '"bot_turn"' in str(text)


async def measure(mode: str, options: argparse.Namespace) -> Found:
    """Measure one set of observers. Raises `Failed`."""
    level = MODES.index(mode)
    token, key, port = secrets.token_hex(8), secrets.token_hex(16), free_port()
    url = f"ws://127.0.0.1:{port}"
    sink, watchers = Sink(), [Watcher() for _ in range(WATCHERS if level >= 2 else 0)]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        webhook = ""
        if level >= 3:
            await stack.enter_async_context(sink.serving())
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            names = ["call.placed", "call.answered", "call.ended", "call.turn"]
            webhook = f'[[webhooks]]\nurl = "http://127.0.0.1:{sink.port}/"\nsecret = "{secret}"\nevents = {names}\n'
        settings = folder / "gateway.toml"
        settings.write_text(
            f"port = {port}\nwebrtc_workers = 0\nrecords = {str(level >= 1).lower()}\n"
            f'data_folder = "{folder / "data"}"\nmax_calls = {options.calls + 10}\noffer_ms = 5000\n'
            f'caller_keys = ["{key}"]\napi_keys = ["{key}"]\n[agents]\n{AGENT_ID} = "{token}"\n{webhook}'
        )
        process = await start_process(stack, "piopiy_pipeline.cli", "gateway", "--config", str(settings))
        await wait_until_listening(port, process)
        talker = Talker(url, token, options.calls)
        tasks = [asyncio.create_task(talker.serve())]
        tasks += [asyncio.create_task(one.watch(url, key)) for one in watchers]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.sleep(1.0)
        lines = []
        for _ in range(options.calls):
            socket = await dial(f"{url}/call/{AGENT_ID}", key)
            socket.listen()
            socket.post_text(dump(CallStart.model_validate({"rate": 8000, "watch": False})))
            lines.append(socket)
            await asyncio.sleep(CALL_RATE_S)
        await asyncio.sleep(2.0)
        quiet_s = await _cpu_share(process.pid, 5.0)
        talker.talking.set()
        await asyncio.sleep(TURN_S)
        share = await _cpu_share(process.pid, options.seconds)
        if process.has_ended:
            raise process.failed("the gateway has ended")
        if talker.up < options.calls:
            raise Failed(
                f"{mode}: {options.calls - talker.up} of {options.calls} calls were not answered, or ended"
            )
        mb = memory_mb(process.pid)
        talker.talking.clear()
        await asyncio.sleep(TURN_S + 1)
        for socket in lines:
            socket.post_text(dump(Leave()))
        recorded = await _settled(
            talker, sink, watchers, level, f"http://127.0.0.1:{port}", key, options.calls
        )
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()):
            raise Failed(f"{mode}: {error!r}")
    found = {
        "cpu_ms": round(1e3 * share / options.calls, 3),
        "idle_ms": round(1e3 * quiet_s / options.calls, 3),
        "core": round(share, 3),
        "memory_mb": round(mb, 1),
        "turns": talker.turns,
    }
    if level >= 1:
        found["recorded"] = recorded
    if level >= 2:
        found["watched"] = min(one.turns for one in watchers)
    if level >= 3:
        found["delivered"] = sink.turns
    return found


async def _cpu_share(pid: int, seconds: float) -> float:
    before, began = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (cpu_s(pid) - before) / (time.monotonic() - began)


async def _settled(
    talker: Talker, sink: Sink, watchers: Sequence[Watcher], level: int, url: str, key: str, calls: int
) -> int:
    """Wait until everything has arrived, for a while at most. Returns how many turns the records have."""
    until = time.monotonic() + LATE_S
    while time.monotonic() < until:
        await asyncio.sleep(0.5)
        if all(one.turns >= talker.turns for one in watchers) and (level < 3 or sink.turns >= talker.turns):
            break
    if level < 1:
        return 0
    await asyncio.sleep(1.0)
    recorded = 0
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as web:
        page: dict[str, Any] = {"limit": 100}
        listed: list[str] = []
        while len(listed) < calls:
            answer = (await web.get("/api/calls", params=page)).raise_for_status().json()
            listed += [call["call_id"] for call in answer["calls"]]
            if not answer.get("next"):
                break
            page["before"] = answer["next"]
        for call_id in listed:
            events = (await web.get(f"/api/calls/{call_id}")).raise_for_status().json()["events"]
            recorded += sum(event["event"] in ("user_turn", "bot_turn") for event in events)
    return recorded


async def _say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


def table(results: dict[str, list[Found]], calls: int) -> str:
    """Return the results as a table for people."""
    lines = [
        f"{calls} calls{'':<8}{'CPU ms a call-second':>22}{'without events':>16}{'core':>7}{'MB':>6}   of so many turns"
    ]
    for mode, runs in results.items():
        one = {
            key: statistics.median(run[key] for run in runs)
            for key in ("cpu_ms", "idle_ms", "core", "memory_mb")
        }
        got = ", ".join(
            f"{name} {sum(run[name] for run in runs)}"
            for name in ("recorded", "watched", "delivered")
            if name in runs[0]
        )
        turns = sum(run["turns"] for run in runs)
        lines.append(
            f"{mode:<18}{one['cpu_ms']:>22.2f}{one['idle_ms']:>16.2f}{one['core']:>7.2f}{one['memory_mb']:>6.0f}"
            f"   {turns}{': ' + got if got else ''}"
        )
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--calls", type=int, default=200)
    arguments.add_argument("--seconds", type=float, default=15.0, help="length of a measurement")
    arguments.add_argument("--repeats", type=int, default=1, help="measurements of each; the median counts")
    arguments.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = arguments.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    run: Any = asyncio.run
    if importlib.util.find_spec("uvloop"):
        import uvloop

        run = uvloop.run
    results: dict[str, list[Found]] = {mode: [] for mode in options.modes}
    try:
        for _ in range(options.repeats):
            for mode in options.modes:
                print(f"{mode}, {options.calls} calls ...", file=sys.stderr, flush=True)
                results[mode].append(run(measure(mode, options)))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results, options.calls))
    if options.json:
        print(json.dumps({"calls": options.calls, "seconds": options.seconds, "results": results}))
    lacking = [
        f"{mode}: {name} {one[name]} of {one['turns']} turns"
        for mode, runs in results.items()
        for one in runs
        for name in ("recorded", "watched", "delivered")
        if one.get(name, one["turns"]) < one["turns"]
    ]
    print(*lacking, sep="\n", file=sys.stderr, end="\n" if lacking else "")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
