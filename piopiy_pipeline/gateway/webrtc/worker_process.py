"""One worker process as the gateway sees it: started, spoken to, missed when it dies, started again.

Its connection is a socket pair of which the other half is the process's standard input, so there is no
port, no path and no secret on a command line; and when the gateway dies, however, the worker reads the
end of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.webrtc.worker_messages import (
    Configure,
    FromWorker,
    Kind,
    Ready,
    WireError,
    WorkerPing,
    parse_from_worker,
)
from piopiy_pipeline.gateway.webrtc.worker_pipe import WorkerPipe
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.messages import Message

__all__ = ["WebRtcWorkerProcess"]

CLOSE_S = 4.0
"""How long a worker may take to close its peers."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Before a worker that died is started again: doubled each time that it dies young."""
YOUNG_S = 30.0
START_S = 60.0
"""How long a worker may take to load what it needs: a second, on a machine that is not busy."""
PING_S, STUCK_S = 5.0, 20.0
"""A worker is asked for a sign of life this often, and is ended when it gave none for so long."""


class WebRtcWorkerProcess:
    """Keeps one worker running from `start` to `close`. All callbacks come on the event loop.

    `on_event(peer, event)` and `on_sound(peer, pcm)` for what it says, `on_ready` whenever it can take
    peers, `on_died` whenever all its peers are gone with it.
    """

    def __init__(
        self,
        name: str,
        settings: Configure,
        *,
        on_event: Callable[[int, FromWorker], None],
        on_sound: Callable[[int, bytes], None],
        on_ready: Callable[[], None],
        on_died: Callable[[], None],
    ) -> None:
        self.name = name
        self.ready = False
        self.restarts = 0
        self.sound_dropped = 0
        """Frames that were left out because the worker did not read them."""
        self._settings = settings
        self._on_event = on_event
        self._on_sound = on_sound
        self._on_ready = on_ready
        self._on_died = on_died
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: WorkerPipe | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin to keep it running; returns at once."""
        self._keeper = asyncio.create_task(self._keep())

    def post(self, peer: int, message: Message) -> None:
        """Say something. To a worker that is not there nothing is said: its peers are gone."""
        if self._pipe is not None:
            self._pipe.event(peer, message)

    def sound(self, peer: int, pcm: bytes) -> None:
        """20 ms of speech for a peer, to be heard now."""
        if self._pipe is not None and not self._pipe.sound(peer, pcm):
            self.sound_dropped += 1

    async def close(self) -> None:
        """End the process: in some seconds at most. May be called more than once."""
        self._closing = True
        if self._pipe is not None:
            self._pipe.close()
        if self._keeper is not None:
            self._lost.set()
            await asyncio.shield(self._keeper)

    # ------------------------------------------------------------------ keeping it running

    async def _keep(self) -> None:
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
            process = self._process = await offload(_spawn, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            if self._closing:
                ours.close()
            else:
                await self._talk(ours)
        finally:
            was_ready, self.ready = self.ready, False
            self._pipe = None
            if was_ready and not self._closing:
                self._on_died()
            await offload(_reap, process, CLOSE_S)
            self._process = None

    async def _talk(self, connection: socket.socket) -> None:
        pipe = self._pipe = WorkerPipe(on_frame=self._on_frame, on_lost=self._on_lost)
        try:
            await self._loop.create_connection(lambda: pipe, sock=connection)
        except OSError:
            connection.close()
            raise
        try:
            pipe.event(0, self._settings)
            await self._watch(pipe)
        finally:
            pipe.abort()  # also when `close` came before there was anything to close

    async def _watch(self, pipe: WorkerPipe) -> None:
        """Until the worker is gone, or has not been heard of for so long that it may as well be."""
        self._heard_at = self._loop.time()
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PING_S):
                    await self._lost.wait()
            except TimeoutError:
                silent_s = self._loop.time() - self._heard_at
                if silent_s > (STUCK_S if self.ready else START_S):
                    logger.error("browser worker {} hangs, and is ended", self.name)
                    pipe.abort()
                    await self._lost.wait()
                pipe.event(0, WorkerPing())

    def _on_lost(self, why: str) -> None:
        self._lost.set()

    def _on_frame(self, kind: int, peer: int, body: bytes) -> None:
        self._heard_at = self._loop.time()
        if kind == Kind.SOUND:
            self._on_sound(peer, body)
            return
        event = parse_from_worker(body)
        if isinstance(event, Ready):
            if self.ready:
                raise WireError("ready twice")
            self.ready = True
            self._on_ready()
        else:
            self._on_event(peer, event)


def _spawn(stdin: socket.socket) -> subprocess.Popen[bytes]:
    # -P: the folder that the gateway was started in is no place to import from.
    command = [sys.executable, "-P", "-m", "piopiy_pipeline.gateway.webrtc.worker"]
    path = os.pathsep.join(one for one in sys.path if one)
    return subprocess.Popen(command, stdin=stdin.fileno(), env={**os.environ, "PYTHONPATH": path})


def _reap(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
