"""A LiveKit server of a few lines: rooms in which one agent and one caller are, with aiortc as the server's side.

It speaks LiveKit's signalling (the protobuf messages of the package `livekit-protocol`, over a WebSocket at ``/rtc``)
as servers do that have one peer connection for each direction: the real client falls back to that. The caller joins
when the agent has accepted the call, as Piopiy bridges a caller in. It is part of the program `tests.cloud.fake_cloud`,
because within one process with the client the client's signalling was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web
from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame
from livekit.protocol import models, rtc
from numpy.typing import NDArray

from tests.support.microphone import Microphone

CALLER = "caller"
CALLER_SID, CALLER_TRACK, BOT_SID, BOT_TRACK = "PA_caller", "TR_caller", "PA_bot", "TR_bot"
MOST_S = 120.0
"""So much of what the caller hears is kept."""

Tell = Callable[..., None]


class FakeRoom:
    """One room. The agent connects with `token`; the caller is a microphone, and a list of what it hears.

    Args:
        name: Of the room.
        token: With which the agent may join.
        tell: Called with what happens.
    """

    def __init__(self, name: str, token: str, tell: Tell) -> None:
        self.name = name
        self.token = token
        self.microphone = Microphone()
        self.heard: list[tuple[float, NDArray[np.int16]]] = []
        """What the caller has heard: the time of its arrival, and int16 of shape [samples] at 48 kHz."""
        self._tell = tell
        self._socket: web.WebSocketResponse | None = None
        self._channels: dict[str, RTCDataChannel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._joined = asyncio.Event()
        self._offers = 0
        self._caller_in = False
        self._connect()

    def _connect(self) -> None:
        self._offering = asyncio.Semaphore(1)  # until the answer has come
        self._subscriber = RTCPeerConnection()
        self._publisher = RTCPeerConnection()
        self._publisher.on("connectionstatechange", self._on_state)
        self._publisher.on("track", self._on_track)
        self._publisher.on("datachannel", self._on_channel)

    # ------------------------------------------------------------------ what the caller does

    async def caller_joins(self) -> None:
        await self._joined.wait()
        self._subscriber.addTrack(self.microphone)
        self._caller_in = True
        await self._on_state()
        await self._send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[self._caller()])))
        await self._offer()

    async def caller_leaves(self) -> None:
        self._caller_in = False
        gone = self._caller(gone=True)
        await self._send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[gone])))

    async def mute(self, muted: bool) -> None:
        info = self._caller(muted=muted)
        await self._send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=[info])))

    def press(self, digit: str) -> None:
        code = "0123456789*#".index(digit)
        packet = models.DataPacket(
            participant_identity=CALLER, sip_dtmf=models.SipDTMF(code=code, digit=digit)
        )
        self._channels["_reliable"].send(packet.SerializeToString())

    def message(self, topic: str, payload: bytes) -> None:
        packet = models.DataPacket(user=models.UserPacket(payload=payload, topic=topic))
        self._channels["_reliable"].send(packet.SerializeToString())

    async def delete(self) -> None:
        """End the room, as a server does whose room is deleted."""
        leave = rtc.LeaveRequest(
            reason=models.DisconnectReason.ROOM_DELETED, action=rtc.LeaveRequest.Action.DISCONNECT
        )
        await self._send(rtc.SignalResponse(leave=leave))

    async def cut(self) -> None:
        """Lose the signalling connection; media goes on."""
        if self._socket is not None:
            await self._socket.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._subscriber.close()
        await self._publisher.close()
        if self._socket is not None:
            await self._socket.close()

    # ------------------------------------------------------------------ the agent's connection

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        before, self._socket = self._socket, socket
        if request.query.get("reconnect") == "1":
            self._tell("resumed", room=self.name)
            await self._send(rtc.SignalResponse(reconnect=rtc.ReconnectResponse()))
        else:
            if self._joined.is_set():
                await self._replace(before)
            self._tell("joined", room=self.name)
            await self._send(rtc.SignalResponse(join=self._join()))
            self._channels["_reliable"] = self._subscriber.createDataChannel("_reliable")
            self._channels["_lossy"] = self._subscriber.createDataChannel("_lossy", maxRetransmits=0)
            await self._offer()
        left = False
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                asked = rtc.SignalRequest.FromString(message.data)
                left = left or asked.WhichOneof("message") == "leave"
                await self._on_request(asked)
        self._tell("left" if left else "signalling_lost", room=self.name)
        return socket

    async def _replace(self, before: web.WebSocketResponse | None) -> None:
        """Let the agent come again, from another process: who was there under its name has to go, as at LiveKit's."""
        if before is not None and not before.closed:
            leave = rtc.LeaveRequest(
                reason=models.DisconnectReason.DUPLICATE_IDENTITY, action=rtc.LeaveRequest.Action.DISCONNECT
            )
            with contextlib.suppress(ConnectionError):
                await before.send_bytes(rtc.SignalResponse(leave=leave).SerializeToString())
        for connection in (self._subscriber, self._publisher):
            task = asyncio.create_task(connection.close())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._connect()
        if self._caller_in:
            self._subscriber.addTrack(self.microphone)

    async def _on_request(self, asked: rtc.SignalRequest) -> None:
        match asked.WhichOneof("message"):
            case "answer":
                answer = RTCSessionDescription(asked.answer.sdp, "answer")
                await self._subscriber.setRemoteDescription(answer)
                self._offering.release()
            case "offer":
                await self._publisher.setRemoteDescription(RTCSessionDescription(asked.offer.sdp, "offer"))
                await self._publisher.setLocalDescription(await self._publisher.createAnswer())
                sdp = self._publisher.localDescription.sdp
                answered = rtc.SessionDescription(type="answer", sdp=sdp, id=asked.offer.id)
                await self._send(rtc.SignalResponse(answer=answered))
            case "trickle":
                await self._add_candidate(asked.trickle)
            case "add_track":
                info = models.TrackInfo(
                    sid=BOT_TRACK, type=asked.add_track.type, source=asked.add_track.source, name="bot"
                )
                published = rtc.TrackPublishedResponse(cid=asked.add_track.cid, track=info)
                await self._send(rtc.SignalResponse(track_published=published))
            case "ping":
                await self._send(rtc.SignalResponse(pong=asked.ping))
            case "ping_req":
                pong = rtc.Pong(last_ping_timestamp=asked.ping_req.timestamp, timestamp=_now_ms())
                await self._send(rtc.SignalResponse(pong_resp=pong))
            case _:
                pass

    async def _add_candidate(self, trickle: rtc.TrickleRequest) -> None:
        content = json.loads(trickle.candidateInit)
        text = content.get("candidate", "")
        if not text:
            return
        candidate = candidate_from_sdp(text.partition(":")[2])
        candidate.sdpMid, candidate.sdpMLineIndex = content["sdpMid"], content["sdpMLineIndex"]
        connection = self._publisher if trickle.target == rtc.SignalTarget.PUBLISHER else self._subscriber
        with contextlib.suppress(Exception):  # candidates of mDNS, or of a description that is still to come
            await connection.addIceCandidate(candidate)

    async def _offer(self) -> None:
        await self._offering.acquire()
        await self._subscriber.setLocalDescription(await self._subscriber.createOffer())
        self._offers += 1
        sdp = re.sub(
            r"a=msid:.*",
            f"a=msid:{CALLER_SID}|{CALLER_TRACK} {CALLER_TRACK}",
            self._subscriber.localDescription.sdp,
        )
        offer = rtc.SessionDescription(type="offer", sdp=sdp, id=self._offers)
        await self._send(rtc.SignalResponse(offer=offer))
        self._joined.set()

    async def _send(self, response: rtc.SignalResponse) -> None:
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_bytes(response.SerializeToString())

    def _join(self) -> rtc.JoinResponse:
        return rtc.JoinResponse(
            room=models.Room(sid=f"RM_{self.name}", name=self.name),
            other_participants=[self._caller()] if self._caller_in else [],
            participant=models.ParticipantInfo(
                sid=BOT_SID,
                identity="bot",
                state=models.ParticipantInfo.State.JOINED,
                permission=models.ParticipantPermission(
                    can_subscribe=True, can_publish=True, can_publish_data=True
                ),
            ),
            server_info=models.ServerInfo(version="1.8.0", protocol=15),
            server_version="1.8.0",
            subscriber_primary=True,
            ping_timeout=15,
            ping_interval=5,
        )

    @staticmethod
    def _caller(
        *,
        muted: bool = False,
        gone: bool = False,
    ) -> models.ParticipantInfo:
        track = models.TrackInfo(
            sid=CALLER_TRACK,
            type=models.TrackType.AUDIO,
            source=models.TrackSource.MICROPHONE,
            name="microphone",
            muted=muted,
            mime_type="audio/opus",
        )
        return models.ParticipantInfo(
            sid=CALLER_SID,
            identity=CALLER,
            state=models.ParticipantInfo.State.DISCONNECTED if gone else models.ParticipantInfo.State.ACTIVE,
            tracks=[track],
            kind=models.ParticipantInfo.Kind.SIP,
            is_publisher=True,
        )

    # ------------------------------------------------------------------ what the agent sends

    async def _on_state(self) -> None:
        """Tell the agent that the caller hears it, as a server does when somebody has subscribed to a track."""
        if self._caller_in and self._publisher.connectionState == "connected":
            subscribed = rtc.TrackSubscribed(track_sid=BOT_TRACK)
            await self._send(rtc.SignalResponse(track_subscribed=subscribed))

    def _on_track(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._hear(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hear(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                channels = len(frame.layout.channels)
                pcm = frame.to_ndarray().reshape(-1)[::channels].astype(np.int16)
                self.heard.append((time.monotonic(), pcm))
                del self.heard[: -int(MOST_S * 50)]

    def _on_channel(self, channel: RTCDataChannel) -> None:
        channel.on("message", self._on_packet)

    def _on_packet(self, data: Any) -> None:
        packet = models.DataPacket.FromString(data if isinstance(data, bytes) else data.encode())
        if packet.WhichOneof("value") == "sip_dtmf":
            self._tell("keys", room=self.name, digit=packet.sip_dtmf.digit, code=packet.sip_dtmf.code)


class FakeRooms:
    """All rooms of one server.

    Args:
        tell: Called with what happens.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._rooms: dict[str, FakeRoom] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, host: str) -> None:
        app = web.Application()
        app.router.add_get("/rtc", self._serve)
        app.router.add_get("/rtc/validate", self._validate)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        self.url = f"ws://{host}:{self._runner.addresses[0][1]}"

    def add(self, name: str) -> FakeRoom:
        room = self._rooms[name] = FakeRoom(name, f"token-of-{name}", self._tell)
        return room

    async def close(self) -> None:
        for room in self._rooms.values():
            await room.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _of(self, request: web.Request) -> FakeRoom | None:
        token = request.query.get("access_token") or request.headers.get("Authorization", "").removeprefix(
            "Bearer "
        )
        return next((room for room in self._rooms.values() if room.token == token), None)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        room = self._of(request)
        return web.Response(status=401, text="no such token") if room is None else await room.serve(request)

    async def _validate(self, request: web.Request) -> web.Response:
        return web.Response(status=401 if self._of(request) is None else 200, text="")


def _now_ms() -> int:
    return int(time.time() * 1000)
