"""A leg process's program: its lines in the log say of which call they are. The rest is tested with real processes,
in ``test_leg_pool.py``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterable
from typing import Any, Literal

from loguru import logger

from piopiy_pipeline.gateway.leg_processes.leg_pipe import LegPipe
from piopiy_pipeline.gateway.leg_processes.leg_program import LegProgram
from piopiy_pipeline.gateway.leg_processes.shared_messages import CensusTaken, OfCall, message_parser
from piopiy_pipeline.signaling.messages import Message
from tests.support.agents import logged
from tests.support.browser_peer import until


class Begin(OfCall):
    event: Literal["begin"] = "begin"


class Fall(Message):
    event: Literal["fall"] = "fall"


class Legs(LegProgram):
    """Its legs log that they have begun, now and in a task, and fail at the next message."""

    def __init__(self) -> None:
        super().__init__(message_parser("to a test", Begin, Fall))
        self.calls: dict[int, str] = {}
        self.failed: list[int] = []

    def take(self, number: int, message: Message) -> None:
        if not isinstance(message, Begin):
            raise TypeError("a test's")
        self.calls[number] = message.call_id
        logger.info("it begins")
        self.spawn(self._go_on())

    async def _go_on(self) -> None:
        logger.info("it goes on")

    def call_of(self, number: int) -> str:
        return self.calls.get(number, "")

    def send_audio(self, number: int, pcm: bytes) -> None:
        raise RuntimeError("a test's")

    def fail(self, number: int) -> None:
        self.failed.append(number)

    def census(self) -> CensusTaken:
        return CensusTaken(legs=0, connections=0)

    def close_legs(self) -> Iterable[Coroutine[Any, Any, None]]:
        return []


def test_each_line_of_a_leg_says_of_which_call_it_is() -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        program = Legs()
        running = asyncio.create_task(program.run(theirs))
        pipe = LegPipe(on_frame=lambda *_: None, on_lost=lambda _: None)
        await asyncio.get_running_loop().create_connection(lambda: pipe, sock=ours)
        with logged() as lines:
            for number in (1, 2):
                pipe.send_event(number, Begin(call_id=f"call-{number}"))
            pipe.send_event(2, Fall())
            pipe.send_audio(1, b"\0\0")
            await until(lambda: len(program.failed) == 2)
            pipe.close()
            await running
        for text, calls in (
            ("it begins", ["call-1", "call-2"]),
            ("it goes on", ["call-1", "call-2"]),
            ("a leg of this process failed", ["call-2", "call-1"]),
        ):
            assert [call_id for call_id, line in lines if text in line] == calls

    asyncio.run(story())
