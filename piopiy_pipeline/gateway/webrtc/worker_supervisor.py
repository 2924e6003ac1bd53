"""One worker process as the gateway sees it: it is started, supervised, and started again when it dies.

The connection is a socket pair whose other half is the standard input of the process. So there is no
port, no path and no secret on a command line, and the worker reads the end of its input when the gateway dies
in any way.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.webrtc.worker_messages import (
    Configure,
    FrameKind,
    FromWorker,
    Ready,
    WireError,
    WorkerPing,
    parse_from_worker,
)
from piopiy_pipeline.gateway.webrtc.worker_pipe import WorkerPipe
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.messages import Message
from piopiy_pipeline.worker_process import end_worker, start_worker

__all__ = ["WorkerSupervisor"]

CLOSE_S = 4.0
"""How long a worker may take to close its peers."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""The wait before a worker that died is started again. It doubles each time that a worker dies young."""
YOUNG_S = 30.0
"""A worker that lived longer than this did not die young."""
START_S = 60.0
"""How long a worker may take until it is ready. On an idle machine it takes a second."""
PING_S, STUCK_S = 5.0, 20.0
"""A worker gets a ping this often, and is killed when nothing was heard from it for so long."""


class WorkerSupervisor:
    """Keeps one worker running from `start` to `close`. All callbacks come on the event loop."""

    def __init__(
        self,
        name: str,
        settings: Configure,
        *,
        on_event: Callable[[int, FromWorker], None],
        on_caller_audio: Callable[[int, bytes], None],
        on_ready: Callable[[], None],
        on_died: Callable[[], None],
    ) -> None:
        """Args:
        name: What logs call it.
        settings: The first message to the process.
        on_event: Called with the number of a peer and its event.
        on_caller_audio: Called with the number of a peer and PCM16 mono at the rate of the settings.
        on_ready: Called whenever the process can take peers.
        on_died: Called whenever the process died after it was ready. All its peers are lost.
        """
        self.name = name
        self.ready = False
        self.restarts = 0
        self.frames_dropped = 0
        """Frames of audio that were dropped because the worker did not read them."""
        self._settings = settings
        self._on_event = on_event
        self._on_caller_audio = on_caller_audio
        self._on_ready = on_ready
        self._on_died = on_died
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: WorkerPipe | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0

    @property
    def pid(self) -> int | None:
        """The id of the process, or None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process and its supervision. Returns at once."""
        self._supervisor = asyncio.create_task(self._supervise())

    def post(self, peer: int, message: Message) -> None:
        """Send a message to a peer, or to the process with 0. Without a process nothing is sent."""
        if self._pipe is not None:
            self._pipe.send_event(peer, message)

    def send_audio(self, peer: int, pcm: bytes) -> None:
        """Send 20 ms of PCM16 mono to a peer, to be played at once."""
        if self._pipe is not None and not self._pipe.send_audio(peer, pcm):
            self.frames_dropped += 1

    async def close(self) -> None:
        """End the process within some seconds. May be called more than once."""
        self._closing = True
        if self._pipe is not None:
            self._pipe.close()
        if self._supervisor is not None:
            self._lost.set()
            await asyncio.shield(self._supervisor)

    # ------------------------------------------------------------------ supervision

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = FIRST_WAIT_S
        while not self._closing:
            began = loop.time()
            try:
                await self._run_once()
            except OSError as error:
                logger.error("browser worker {} cannot be started: {}", self.name, error)
            if self._closing:
                return
            wait_s = FIRST_WAIT_S if loop.time() - began > YOUNG_S else min(2 * wait_s, LONGEST_WAIT_S)
            self.restarts += 1
            logger.error("browser worker {} died: it is started again in {:g} s", self.name, wait_s)
            self._lost.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._lost.wait()  # closing sets it
            except TimeoutError:
                pass

    async def _run_once(self) -> None:
        self._lost.clear()
        ours, theirs = socket.socketpair()
        try:
            process = self._process = await offload(_start, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            if self._closing:
                ours.close()
            else:
                await self._serve(ours)
        finally:
            was_ready, self.ready = self.ready, False
            self._pipe = None
            if was_ready and not self._closing:
                self._on_died()
            await offload(end_worker, process, CLOSE_S)
            self._process = None

    async def _serve(self, connection: socket.socket) -> None:
        pipe = self._pipe = WorkerPipe(on_frame=self._on_frame, on_lost=self._on_lost)
        try:
            await self._loop.create_connection(lambda: pipe, sock=connection)
        except OSError:
            connection.close()
            raise
        try:
            pipe.send_event(0, self._settings)
            await self._watch(pipe)
        finally:
            pipe.abort()  # also when `close` came before there was anything to close

    async def _watch(self, pipe: WorkerPipe) -> None:
        """Return when the connection is lost. A worker that is silent for too long is cut off first."""
        self._heard_at = self._loop.time()
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PING_S):
                    await self._lost.wait()
            except TimeoutError:
                silent_s = self._loop.time() - self._heard_at
                if silent_s > (STUCK_S if self.ready else START_S):
                    logger.error("browser worker {} does not answer, and is killed", self.name)
                    pipe.abort()
                    await self._lost.wait()
                pipe.send_event(0, WorkerPing())

    def _on_lost(self, why: str) -> None:
        self._lost.set()

    def _on_frame(self, kind: int, peer: int, body: bytes) -> None:
        self._heard_at = self._loop.time()
        if kind == FrameKind.AUDIO:
            self._on_caller_audio(peer, body)
            return
        event = parse_from_worker(body)
        if isinstance(event, Ready):
            if self.ready:
                raise WireError("ready twice")
            self.ready = True
            self._on_ready()
        else:
            self._on_event(peer, event)


def _start(stdin: socket.socket) -> subprocess.Popen[bytes]:
    return start_worker("piopiy_pipeline.gateway.webrtc.worker", stdin=stdin.fileno())
