"""Gives an `AnswerGate` the time and the tasks that it has not: where speech arrives at the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.transports.answer_gate import AnswerGate

__all__ = ["HeldAnswer"]

WITHDRAWN_S = 2.0
"""How long what is left of an answer that was withdrawn may take to come."""


class HeldAnswer:
    """Keeps back an answer that was begun before the caller's turn was over.

    Args:
        arrived: Takes what is not kept back, or not any more.
    """

    def __init__(self, arrived: Callable[[Frame, FrameDirection], Awaitable[None]]) -> None:
        self._gate = AnswerGate()
        self._arrived = arrived
        self._releasing: asyncio.Task[None] | None = None
        self._passed = asyncio.Event()
        self._passed.set()

    @property
    def holds(self) -> bool:
        """Whether an answer is kept back, and nothing has cut it off."""
        return self._gate.holds

    def hold(self) -> None:
        """Keep back what comes from now on."""
        self._gate.hold()

    async def take(self, frame: Frame) -> None:
        """Take a frame that comes down to the transport."""
        for one in self._gate.take(frame):
            await self._arrived(one, FrameDirection.DOWNSTREAM)
        if not self._gate.withdrawn:
            self._passed.set()

    def release(self) -> None:
        """Say the answer. Returns at once."""
        self._gate.release()
        if self._releasing is None or self._releasing.done():
            self._releasing = asyncio.create_task(self._release(), name="transport_out::release")

    async def _release(self) -> None:
        while (frame := self._gate.next_released()) is not None:
            await self._arrived(frame, FrameDirection.DOWNSTREAM)

    async def withdraw(self) -> None:
        """Drop the answer. An `EagerWithdrawnFrame` must be on its way through the pipeline."""
        for frame in self._gate.withdraw():
            await self._arrived(frame, FrameDirection.DOWNSTREAM)
        self._passed.clear()
        asyncio.get_running_loop().call_later(WITHDRAWN_S, self._gate.give_up_waiting)

    async def withdrawal_passed(self) -> None:
        """Wait until what was left of an answer that was withdrawn has come, in bounded time."""
        try:
            async with asyncio.timeout(WITHDRAWN_S):
                await self._passed.wait()
        except TimeoutError:
            logger.warning("a stage does not let the end of an answer pass")

    def close(self) -> None:
        """Release nothing any more."""
        task, self._releasing = self._releasing, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
