"""`LegProgram`: what runs in a leg process, one subclass for each kind.

The gateway starts it with a socket as its standard input and sends its messages there. The process ends when
that socket is closed, whatever happened to the gateway. It knows connections and no calls.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from loguru import logger

from piopiy_pipeline.frozen_heap import FrozenHeap
from piopiy_pipeline.gateway.leg_processes.leg_frames import FrameKind, WireError
from piopiy_pipeline.gateway.leg_processes.leg_pipe import LegPipe
from piopiy_pipeline.gateway.leg_processes.shared_messages import (
    Census,
    CensusTaken,
    OfCall,
    ProcessPing,
    ProcessPong,
    Ready,
)
from piopiy_pipeline.signaling.messages import Message

__all__ = ["LegProgram", "run_leg_process"]

GATHER_S = 0.005
"""The least time between two writes of callers' audio, so that the gateway wakes up less often."""
CLOSE_S = 3.0
"""How long legs may take to close at the end of the process, in seconds."""


class LegProgram(ABC):
    """The connections of this process, and the socket to the gateway.

    Args:
        parse: Reads the body of an event for this process. Raises `WireError`.
    """

    def __init__(self, parse: Callable[[bytes], Message]) -> None:
        self.finished = asyncio.Event()
        self.pipe = LegPipe(on_frame=self._on_frame, on_lost=self._on_lost, gather_s=GATHER_S)
        self._parse = parse
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def send_audio(self, number: int, pcm: bytes) -> None:
        """Play 20 ms of PCM16 mono to a leg's caller now. The leg may be gone already."""

    @abstractmethod
    def take(self, number: int, message: Message) -> None:
        """Handle a message for a leg, or for the process with 0. The leg may be gone already."""

    def call_of(self, number: int) -> str:
        """Return the id of a leg's call, for logs; empty if the leg is gone."""
        return ""

    @abstractmethod
    def fail(self, number: int) -> None:
        """End a leg, if it is there, after an error of this program."""

    @abstractmethod
    def census(self) -> CensusTaken:
        """Count what there is."""

    @abstractmethod
    def close_legs(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Return what closes each leg, at the end of the process."""

    async def run(self, connection: socket.socket) -> None:
        """Serve until the gateway has closed `connection`."""
        await asyncio.get_running_loop().create_connection(lambda: self.pipe, sock=connection)
        self.pipe.send_event(0, Ready())
        await self.finished.wait()
        closing = [asyncio.ensure_future(one) for one in self.close_legs()]
        if closing or self._tasks:
            await asyncio.wait([*closing, *self._tasks], timeout=CLOSE_S)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task of the process."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.opt(exception=task.exception()).error("a leg of this process failed")

    def _on_lost(self, why: str) -> None:
        self.finished.set()

    def _on_frame(self, kind: int, number: int, body: bytes) -> None:
        call_id = ""
        try:
            if kind == FrameKind.AUDIO:
                self.send_audio(number, body)
                return
            match message := self._parse(body):
                case ProcessPing():
                    self.pipe.send_event(0, ProcessPong())
                case Census():
                    gc.collect()
                    self.pipe.send_event(0, self.census())
                case _:
                    call_id = message.call_id if isinstance(message, OfCall) else self.call_of(number)
                    with logger.contextualize(call_id=call_id):  # its tasks inherit that
                        self.take(number, message)
        except WireError:
            raise
        except Exception:  # noqa: BLE001  of one leg; the others of this process go on
            logger.bind(call_id=call_id or self.call_of(number)).exception("a leg of this process failed")
            self.fail(number)


def run_leg_process(
    make_program: Callable[[], LegProgram],
    make_loop: Callable[[type[asyncio.AbstractEventLoop]], asyncio.AbstractEventLoop] = lambda loop: loop(),
) -> None:
    """Serve until the gateway is gone, on the socket that is the standard input.

    Args:
        make_program: Makes the program, on the event loop.
        make_loop: Makes the event loop from its type, which is uvloop's where that is installed.
    """
    try:
        import uvloop
    except ImportError:
        loops: type[asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
    else:
        loops = uvloop.Loop
    connection = socket.socket(fileno=sys.stdin.fileno())

    FrozenHeap()  # until the process ends

    async def serve() -> None:
        await make_program().run(connection)

    with asyncio.Runner(loop_factory=lambda: make_loop(loops)) as runner:
        runner.run(serve())
