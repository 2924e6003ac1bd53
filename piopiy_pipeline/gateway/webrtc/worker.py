"""The process in which browsers' calls run: ``python -m piopiy_pipeline.gateway.webrtc.worker``.

The gateway starts it with a socket as its standard input, and says there what is to be done. The end of
that socket is the end of the process, however the gateway went. It knows of peers, never of calls.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.audio import opus
from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.ice_gathering import gather_at
from piopiy_pipeline.gateway.webrtc.peer import PeerRefused, connections
from piopiy_pipeline.gateway.webrtc.peer_session import PeerSession
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    AddCandidates,
    Census,
    CensusTaken,
    Close,
    Configure,
    Kind,
    Negotiate,
    NegotiateRefused,
    OfferAnswered,
    Ready,
    Say,
    WireError,
    WorkerPing,
    WorkerPong,
    parse_to_worker,
)
from piopiy_pipeline.gateway.webrtc.worker_pipe import WorkerPipe
from piopiy_pipeline.log import log_to_stderr

__all__ = ["WebRtcWorker", "main"]

GATHER_S = 0.005
"""Callers' sound waits so long for that of others, so that the gateway wakes up less often."""
CLOSE_S = 3.0
SCTP_PAYLOAD = 1100
"""Bytes of a data channel message in one packet. aiortc's 1,200 do not pass through tunnels of 1,280 bytes."""


class WebRtcWorker:
    """All seats of this process, and the socket to the gateway."""

    def __init__(self) -> None:
        self.finished = asyncio.Event()
        self._pipe = WorkerPipe(on_frame=self._on_frame, on_lost=self._on_lost, gather_s=GATHER_S)
        self._settings: Configure | None = None
        self._seats: dict[int, PeerSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._offers = asyncio.Semaphore(2)  # a flood of offers leaves room for the calls under way

    async def run(self, connection: socket.socket) -> None:
        """Serve until the gateway is gone."""
        await asyncio.get_running_loop().create_connection(lambda: self._pipe, sock=connection)
        self._pipe.event(0, Ready())
        await self.finished.wait()
        closing = [asyncio.ensure_future(seat.close(tell=True)) for seat in self._seats.values()]
        if closing or self._tasks:
            await asyncio.wait([*closing, *self._tasks], timeout=CLOSE_S)

    def _on_lost(self, why: str) -> None:
        self.finished.set()

    def _on_frame(self, kind: int, number: int, body: bytes) -> None:
        try:
            self._take(kind, number, body)
        except WireError:
            raise
        except Exception:  # of one seat; the others of this process go on
            logger.exception("a browser's peer failed")
            if number in self._seats:
                self._seats[number].fail()

    def _take(self, kind: int, number: int, body: bytes) -> None:
        if kind == Kind.SOUND:
            seat = self._seats.get(number)
            if seat is not None:
                seat.play(body)
            return
        message = parse_to_worker(body)
        match message:
            case Configure():
                self._configure(message)
            case WorkerPing():
                self._pipe.event(0, WorkerPong())
            case Census():
                gc.collect()
                self._pipe.event(0, CensusTaken(peers=len(self._seats), connections=len(connections)))
            case Negotiate():
                self._spawn(self._negotiate(number, message))
            case AddCandidates(candidates=candidates) if number in self._seats:
                self._spawn(self._seats[number].add(candidates))
            case Say(text=text) if number in self._seats:
                self._seats[number].say(text)
            case Close(tell=tell) if number in self._seats:
                self._spawn(self._seats[number].close(tell=tell))
            case _:
                pass  # for a seat that was given up while this was on its way

    def _configure(self, settings: Configure) -> None:
        if self._settings is not None:
            raise WireError("configured twice")
        self._settings = settings
        gather_at(IceAddresses.parse(settings.addresses))

    async def _negotiate(self, number: int, message: Negotiate) -> None:
        if self._settings is None:
            raise WireError("an offer before the settings")
        seat = self._seats.get(number)
        if seat is None and not message.new:
            gone = "there is no such peer connection: its call is over"
            self._pipe.event(number, NegotiateRefused(status=404, text=gone))
            return
        if seat is None:
            seat = self._seats[number] = PeerSession(
                self._settings,
                tell=partial(self._pipe.event, number),
                sound=partial(self._pipe.sound, number),
                spawn=self._spawn,
                on_gone=lambda: self._seats.pop(number, None),
            )
        try:
            async with self._offers:
                answer = await seat.negotiate(message.sdp, restart=message.restart)
        except PeerRefused as refused:
            self._pipe.event(number, NegotiateRefused(status=refused.status, text=refused.text))
            if message.new:
                await seat.close()
        except Exception:
            logger.exception("an offer could not be answered")
            self._pipe.event(
                number, NegotiateRefused(status=500, text="internal error of the gateway: see its log")
            )
            if message.new:
                await seat.close()
        else:
            self._pipe.event(number, OfferAnswered(sdp=answer))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.opt(exception=task.exception()).error("a browser's peer failed")


def main() -> None:
    """The process's main function: its standard input is the socket to the gateway."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the gateway's to act on
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
        run = asyncio.run
    else:
        run = uvloop.run
    connection = socket.socket(fileno=sys.stdin.fileno())

    async def serve() -> None:
        await WebRtcWorker().run(connection)

    run(serve())


if __name__ == "__main__":
    main()
