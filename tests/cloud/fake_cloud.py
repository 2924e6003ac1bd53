"""Piopiy's cloud in a process of its own: a dispatcher of generation 2, its REST API, and LiveKit rooms.

The dispatcher speaks gRPC with the messages that piopiy-agent brings. It reads commands from its standard input and
writes what happens to its standard output, one JSON object a line, so that a test in another process moves it:
``python -m tests.cloud.fake_cloud HOST``. `tests.cloud.cloud_peer` is the other end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
import soundfile
import soxr
from aiohttp import web
from numpy.typing import NDArray
from piopiy_agent._pb import agent_pb2 as pb
from piopiy_agent._pb import agent_pb2_grpc as pb_grpc

from tests.cloud.fake_room import FakeRoom, FakeRooms
from tests.support.microphone import RATE

DEADLINE_MS = 400


def tell(event: str, **data: Any) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **data}), flush=True)


class FakeDispatcher(pb_grpc.AgentGatewayServicer):
    """The register: one worker at a time, with the token `token`.

    Args:
        rooms: Where the rooms of its calls are.
        token: The worker's.
    """

    def __init__(self, rooms: FakeRooms, token: str) -> None:
        self._rooms = rooms
        self._token = token
        self._server: Any = None
        self._outbox: asyncio.Queue[Any] = asyncio.Queue(100)
        self.calls: dict[str, FakeRoom] = {}
        self.transfers: dict[str, dict[str, Any]] = {}
        self.port = 0

    async def start(self, host: str) -> None:
        self._server = grpc.aio.server()
        pb_grpc.add_AgentGatewayServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"{host}:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(grace=0)

    async def Connect(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {self._token}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong token")
        self._outbox = asyncio.Queue(100)
        reading = asyncio.create_task(self._read(requests))
        try:
            while True:
                yield await self._outbox.get()
        finally:
            reading.cancel()
            tell("gone")

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        async for message in requests:
            kind = message.WhichOneof("payload")
            value = getattr(message, kind)
            if kind == "register":
                tell("register", agent_id=value.agent_id, most=value.max_sessions, runtime=value.runtime)
                registered = pb.Registered(
                    session_id="s1", heartbeat_interval_s=1, accept_deadline_ms=DEADLINE_MS
                )
                await self._outbox.put(pb.DispatcherMessage(registered=registered))
            elif kind == "status":
                state = pb.ServingState.Name(value.state)
                tell("status", active=value.active_sessions, free=value.available_slots, state=state)
            elif kind == "accepted":
                tell("accepted", job=value.job_id, ms=value.join_ms, identity=value.participant_identity)
                if (room := self.calls.get(value.job_id)) is not None:
                    await room.caller_joins()
            elif kind == "rejected":
                reason = pb.RejectReason.Name(value.reason)
                tell("rejected", job=value.job_id, reason=reason, detail=value.detail)
            elif kind == "completed":
                tell("completed", job=value.job_id)

    async def offer(self, job: str, asked: dict[str, Any]) -> None:
        room = self.calls[job] = self._rooms.add(job)
        await self._outbox.put(
            pb.DispatcherMessage(
                job=pb.JobAssignment(
                    job_id=job,
                    room_name=job,
                    livekit_url=asked.get("url") or self._rooms.url,
                    access_token=asked.get("token", room.token),
                    accept_deadline_ms=asked.get("deadline_ms", DEADLINE_MS),
                    call=pb.CallContext(
                        call_uuid=asked.get("uuid", f"uuid-{job}"),
                        from_number="919000000001",
                        to_number="918000000002",
                        direction="inbound",
                        sip_headers={"X-Customer": "ada"},
                        variables=asked.get("variables", {"table": "4"}),
                    ),
                )
            )
        )

    async def say(self, **message: Any) -> None:
        """Send the worker a message."""
        await self._outbox.put(pb.DispatcherMessage(**message))


class FakeRest:
    """The REST API: hang-ups and transfers of calls, with the outcome that a test has chosen."""

    def __init__(self, dispatcher: FakeDispatcher) -> None:
        self._dispatcher = dispatcher
        self.outcome: dict[str, Any] = {"status": "completed"}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, host: str) -> None:
        app = web.Application()
        app.router.add_post("/v3/calls/{call}/actions/{action}", self._act)
        app.router.add_get("/v3/transfers/{request}", self._status)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}/v3"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _act(self, request: web.Request) -> web.Response:
        call, action = request.match_info["call"], request.match_info["action"]
        body = await request.json()
        tell("rest", call=call, action=action, body=body)
        if refusal := self.outcome.get("refusal"):
            return web.json_response({"error": refusal}, status=409)
        if action == "transfer" and self.outcome.get("in_room"):
            room = self._dispatcher.calls[call.removeprefix("uuid-")]
            message = {"type": "transfer_status", "request_id": "r1", "call_id": call, **self.outcome}
            asyncio.get_running_loop().call_later(
                0.1, room.message, "transfer_status", json.dumps(message).encode()
            )
        return web.json_response({"request_id": "r1", "call_id": call})

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"request_id": request.match_info["request"], **self.outcome})


class FakeCloud:
    """All of it."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._rooms = FakeRooms(tell)
        self._dispatcher = FakeDispatcher(self._rooms, token)
        self._rest = FakeRest(self._dispatcher)

    async def run(self) -> None:
        await self._rooms.start(self._host)
        await self._dispatcher.start(self._host)
        await self._rest.start(self._host)
        tell("ready", register=f"{self._host}:{self._dispatcher.port}", api=self._rest.url)
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            command = json.loads(line)
            await self._do(command)
            tell("done", number=command["number"])
        await self._dispatcher.stop()
        await self._rest.close()
        await self._rooms.close()

    async def _do(self, command: dict[str, Any]) -> None:
        job = command.get("job", "")
        room = self._dispatcher.calls.get(job)
        match command["do"], room:
            case "offer", _:
                await self._dispatcher.offer(job, command)
            case "cancel", _:
                await self._dispatcher.say(cancel=pb.JobCancel(job_id=job, reason="caller_gone"))
            case "drain", _:
                await self._dispatcher.say(drain=pb.Drain(grace_seconds=60))
            case "restart", _:
                await self._dispatcher.stop()
                await asyncio.sleep(command.get("pause_s", 0.2))
                await self._dispatcher.start(self._host)
            case "outcome", _:
                self._rest.outcome = command["outcome"]
            case "say", FakeRoom():
                at = np.arange(int(command["seconds"] * RATE)) / RATE
                room.microphone.say((9000 * np.sin(2 * np.pi * command["hz"] * at)).astype(np.int16))
            case "play", FakeRoom():
                room.microphone.say(_recording(command["wav"]))
            case "leave", FakeRoom():
                await room.caller_leaves()
            case "mute", FakeRoom():
                await room.mute(command["on"])
            case "press", FakeRoom():
                room.press(command["digit"])
            case "revoke", FakeRoom():
                room.token = ""
            case "delete", FakeRoom():
                await room.delete()
            case "cut", FakeRoom():
                await room.cut()
            case "heard", FakeRoom():
                tell("heard", job=job, **_heard(room))
            case _:
                raise ValueError(command)


def _recording(path: str) -> NDArray[np.int16]:
    """Return a recording at 48 kHz."""
    pcm, rate = soundfile.read(path, dtype="int16")
    at_rate: NDArray[np.int16] = soxr.resample(pcm, rate, RATE)
    return at_rate


def _heard(room: FakeRoom) -> dict[str, Any]:
    """Return how long the bot was heard, in seconds, and when it was heard last, by the machine's monotonic clock."""
    loud = [(at, pcm.size / RATE) for at, pcm in room.heard if pcm.size and np.abs(pcm).max() > 1500]
    return {
        "loud_s": round(sum(length for _, length in loud), 3),
        "first_at": loud[0][0] if loud else None,
        "last_at": loud[-1][0] if loud else None,
        "hole_s": round(max((after - before for (before, _), (after, _) in pairwise(loud)), default=0.0), 3),
        "now": time.monotonic(),
    }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(FakeCloud(sys.argv[1], sys.argv[2]).run())
