"""The worker process, which has the peer connections: ``python -m piopiy_pipeline.gateway.webrtc.worker``.

The gateway starts it with a socket as its standard input and sends its messages there. The process ends when
that socket is closed, whatever happened to the gateway. It knows peers and no calls.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.audio import opus
from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.frozen_heap import FrozenHeap
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.ice_gathering import gather_at
from piopiy_pipeline.gateway.webrtc.peer import PeerRefused, connections
from piopiy_pipeline.gateway.webrtc.peer_session import PeerSession
from piopiy_pipeline.gateway.webrtc.port_range import UdpPorts, loop_of
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    AddCandidates,
    BrowserMessage,
    Census,
    CensusTaken,
    Close,
    Configure,
    FrameKind,
    Negotiate,
    NegotiateRefused,
    OfferAnswered,
    Ready,
    WireError,
    WorkerPing,
    WorkerPong,
    parse_to_worker,
)
from piopiy_pipeline.gateway.webrtc.worker_pipe import WorkerPipe
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.worker_process import leave_signals_to_parent

__all__ = ["WebRtcWorker", "main"]

GATHER_S = 0.005
"""The least time between two writes of callers' audio, so that the gateway wakes up less often."""
CLOSE_S = 3.0
SCTP_PAYLOAD = 1100
"""Bytes of a data channel message in one packet. aiortc's 1,200 do not pass through tunnels of 1,280 bytes."""


class WebRtcWorker:
    """The peer sessions of this process, and the socket to the gateway."""

    def __init__(self, ports: UdpPorts) -> None:
        self._ports = ports
        self.finished = asyncio.Event()
        self._pipe = WorkerPipe(on_frame=self._on_frame, on_lost=self._on_lost, gather_s=GATHER_S)
        self._settings: Configure | None = None
        self._sessions: dict[int, PeerSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._offers = asyncio.Semaphore(2)  # a flood of offers must leave CPU for the calls under way

    async def run(self, connection: socket.socket) -> None:
        """Serve until the gateway has closed `connection`."""
        await asyncio.get_running_loop().create_connection(lambda: self._pipe, sock=connection)
        self._pipe.send_event(0, Ready())
        await self.finished.wait()
        closing = [asyncio.ensure_future(session.close(notify=True)) for session in self._sessions.values()]
        if closing or self._tasks:
            await asyncio.wait([*closing, *self._tasks], timeout=CLOSE_S)

    def _on_lost(self, why: str) -> None:
        self.finished.set()

    def _on_frame(self, kind: int, number: int, body: bytes) -> None:
        try:
            self._take(kind, number, body)
        except WireError:
            raise
        except Exception:  # of one peer; the others of this process go on
            logger.exception("a browser's peer failed")
            if number in self._sessions:
                self._sessions[number].fail()

    def _take(self, kind: int, number: int, body: bytes) -> None:
        if kind == FrameKind.AUDIO:
            session = self._sessions.get(number)
            if session is not None:
                session.send_audio(body)
            return
        message = parse_to_worker(body)
        match message:
            case Configure():
                self._configure(message)
            case WorkerPing():
                self._pipe.send_event(0, WorkerPong())
            case Census():
                gc.collect()
                self._pipe.send_event(0, CensusTaken(peers=len(self._sessions), connections=len(connections)))
            case Negotiate():
                self._spawn(self._negotiate(number, message))
            case AddCandidates(candidates=candidates) if number in self._sessions:
                self._spawn(self._sessions[number].add_candidates(candidates))
            case BrowserMessage(text=text) if number in self._sessions:
                self._sessions[number].send_message(text)
            case Close(notify=notify) if number in self._sessions:
                self._spawn(self._sessions[number].close(notify=notify))
            case _:
                pass  # its session was closed while this message was on its way

    def _configure(self, settings: Configure) -> None:
        if self._settings is not None:
            raise WireError("configured twice")
        self._settings = settings
        if settings.ports is not None:
            self._ports.set(*settings.ports)
        gather_at(IceAddresses.parse(settings.addresses))

    async def _negotiate(self, number: int, message: Negotiate) -> None:
        if self._settings is None:
            raise WireError("an offer before the settings")
        session = self._sessions.get(number)
        if session is None and not message.new:
            text = "there is no such peer connection: its call is over"
            self._pipe.send_event(number, NegotiateRefused(status=404, text=text))
            return
        if session is None:
            session = self._sessions[number] = PeerSession(
                self._settings,
                on_event=partial(self._pipe.send_event, number),
                on_caller_audio=partial(self._pipe.send_audio, number),
                spawn=self._spawn,
                on_closed=lambda: self._sessions.pop(number, None),
            )
        try:
            async with self._offers:
                answer = await session.negotiate(message.sdp, restart=message.restart)
        except PeerRefused as refused:
            self._pipe.send_event(number, NegotiateRefused(status=refused.status, text=refused.text))
            if message.new:
                await session.close()
        except Exception:
            logger.exception("an offer could not be answered")
            self._pipe.send_event(
                number, NegotiateRefused(status=500, text="internal error of the gateway: see its log")
            )
            if message.new:
                await session.close()
        else:
            self._pipe.send_event(number, OfferAnswered(sdp=answer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.opt(exception=task.exception()).error("a browser's peer failed")


def main() -> None:
    """Run the process. Its standard input is the socket to the gateway."""
    leave_signals_to_parent()
    log_to_stderr()
    compat.set_sctp_payload(SCTP_PAYLOAD)
    try:
        opus.library()
    except opus.OpusError as error:
        logger.critical("no calls of browsers: {}", error)
        sys.exit(1)
    try:
        import uvloop
    except ImportError:
        loops: type[asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
    else:
        loops = uvloop.Loop
    ports = UdpPorts()
    connection = socket.socket(fileno=sys.stdin.fileno())

    FrozenHeap()  # until the process ends

    async def serve() -> None:
        await WebRtcWorker(ports).run(connection)

    with asyncio.Runner(loop_factory=lambda: loop_of(loops, ports)) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
