"""One leg process as the gateway sees it: it is started, supervised, and started again when it dies.

The connection is a socket pair whose other half is the standard input of the process. So there is no
port, no path and no secret on a command line, and the process reads the end of its input when the gateway dies
in any way.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from piopiy_pipeline.gateway.leg_processes.leg_frames import FrameKind, WireError
from piopiy_pipeline.gateway.leg_processes.leg_pipe import LegPipe
from piopiy_pipeline.gateway.leg_processes.shared_messages import ProcessPing, Ready
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.messages import Message
from piopiy_pipeline.worker_process import end_worker, start_worker

__all__ = ["LegSupervisor", "ProcessKind"]

CLOSE_S = 4.0
"""How long a process may take to close its legs."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""The wait before a process that died is started again. It doubles each time that one dies young."""
YOUNG_S = 30.0
"""A process that lived longer than this did not die young."""
START_S = 60.0
"""How long a process may take until it is ready. On an idle machine it takes a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessKind:
    """What the processes of one kind of leg are, and how they are watched."""

    name: str
    """What logs call them, before their number: ``browser``."""
    module: str
    """The program: the full name of its module, which calls `run_leg_process`."""
    settings: Message
    """The first message to each of them."""
    parse: Callable[[bytes], Message]
    """Reads the body of an event of theirs. Raises `WireError`."""
    ping_s: float = 5.0
    """How often they are asked for a sign of life, in seconds."""
    stuck_s: float = 20.0
    """One of which nothing was heard for so long is killed, in seconds."""


class LegSupervisor:
    """Keeps one process running from `start` to `close`. All callbacks come on the event loop."""

    def __init__(
        self,
        number: int,
        kind: ProcessKind,
        *,
        on_event: Callable[[int, Message], None],
        on_caller_audio: Callable[[int, bytes], None],
        on_ready: Callable[[], None],
        on_died: Callable[[], None],
    ) -> None:
        """Args:
        number: Of the process among those of its kind, for logs.
        kind: What it is.
        on_event: Called with the number of a leg and its event.
        on_caller_audio: Called with the number of a leg and PCM16 mono at the rate of the settings.
        on_ready: Called whenever the process can take legs.
        on_died: Called whenever the process died after it was ready. All its legs are lost.
        """
        self.name = f"{kind.name} leg process {number}"
        self.ready = False
        self.pauses = False
        """Whether it has died, and is started again only after a while."""
        self.restarts = 0
        self._kind = kind
        self._on_event = on_event
        self._on_caller_audio = on_caller_audio
        self._on_ready = on_ready
        self._on_died = on_died
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: LegPipe | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._unanswered = 0  # pings since something was heard

    @property
    def pid(self) -> int | None:
        """The id of the process, or None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process and its supervision. Returns at once."""
        self._supervisor = asyncio.create_task(self._supervise())

    def post(self, leg: int, message: Message) -> None:
        """Send a message to a leg, or to the process with 0. Without a process nothing is sent."""
        if self._pipe is not None:
            self._pipe.send_event(leg, message)

    def send_audio(self, leg: int, pcm: bytes) -> bool:
        """Send 20 ms of PCM16 mono to a leg, to be played at once. Returns False if the process does not read it, so
        that it was dropped.
        """
        return self._pipe is None or self._pipe.send_audio(leg, pcm)

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
                logger.error("{} cannot be started: {}", self.name, error)
            except Exception:
                logger.exception("{} failed", self.name)
            if self._closing:
                return
            wait_s = FIRST_WAIT_S if loop.time() - began > YOUNG_S else min(2 * wait_s, LONGEST_WAIT_S)
            self.restarts += 1
            logger.error("{} died: it is started again in {:g} s", self.name, wait_s)
            self._lost.clear()
            self.pauses = True
            try:
                async with asyncio.timeout(wait_s):
                    await self._lost.wait()  # closing sets it
            except TimeoutError:
                pass
            finally:
                self.pauses = False

    async def _run_once(self) -> None:
        self._lost.clear()
        ours, theirs = socket.socketpair()
        try:
            process = self._process = await offload(self._start, theirs)
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
            try:
                if was_ready and not self._closing:
                    self._on_died()
            finally:
                await offload(end_worker, process, CLOSE_S)
                self._process = None

    async def _serve(self, connection: socket.socket) -> None:
        pipe = self._pipe = LegPipe(on_frame=self._on_frame, on_lost=self._on_lost)
        try:
            await self._loop.create_connection(lambda: pipe, sock=connection)
        except OSError:
            connection.close()
            raise
        try:
            pipe.send_event(0, self._kind.settings)
            await self._watch(pipe)
        finally:
            pipe.abort()  # also when `close` came before there was anything to close

    async def _watch(self, pipe: LegPipe) -> None:
        """Return when the connection is lost. A process that is silent for too long is cut off first."""
        self._unanswered = 0
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(self._kind.ping_s):
                    await self._lost.wait()
            except TimeoutError:
                # Counted in pings: a gateway that did not run itself for so long would kill all.
                if self._unanswered * self._kind.ping_s >= (self._kind.stuck_s if self.ready else START_S):
                    logger.error("{} does not answer, and is killed", self.name)
                    if self._process is not None:
                        self._process.kill()  # at once: its legs may be connected from elsewhere already
                    pipe.abort()
                    await self._lost.wait()
                self._unanswered += 1
                pipe.send_event(0, ProcessPing())

    def _on_lost(self, why: str) -> None:
        self._lost.set()

    def _on_frame(self, kind: int, leg: int, body: bytes) -> None:
        self._unanswered = 0
        if kind == FrameKind.AUDIO:
            self._on_caller_audio(leg, body)
            return
        event = self._kind.parse(body)
        if isinstance(event, Ready):
            if self.ready:
                raise WireError("ready twice")
            self.ready = True
            self._on_ready()
        else:
            self._on_event(leg, event)

    def _start(self, stdin: socket.socket) -> subprocess.Popen[bytes]:
        return start_worker(self._kind.module, stdin=stdin.fileno())
