"""pipecat's worker as a call wants it: nothing is switched on that nobody asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from loguru import logger
from pipecat.frames.frames import ErrorFrame, Frame, InterruptionFrame
from pipecat.observers.base_observer import BaseObserver

from piopiy_pipeline.compat.pipecat import SourceHookWorker
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.tracing import is_tracing

__all__ = ["CallWorker"]

INTERRUPT_S = 1.0
"""How long an interruption may take down the pipeline before the call goes on without waiting for it, in seconds."""


class CallWorker(SourceHookWorker):
    """Runs the pipeline of one call.

    `has_observers` tells the stages whether they have to build anything for observers.
    """

    def __init__(
        self, state: CallState, pipeline: Any, *, observers: Sequence[BaseObserver], **options: Any
    ) -> None:
        self.has_observers = bool(observers) or is_tracing()
        self._state_of_call = state  # a name that pipecat's classes do not use
        super().__init__(
            pipeline,
            observers=list(observers),
            enable_rtvi=False,
            enable_turn_tracking=is_tracing(),
            enable_tracing=is_tracing(),
            conversation_id=state.info.call_id,
            idle_timeout_secs=None,
            check_dangling_tasks=False,
            **options,
        )

    async def interrupt(self) -> None:
        """Cut off everything that is under way. What is queued afterwards is not cut off."""
        state = self._state_of_call
        passed, state.own_interruption = state.interruption_passed, InterruptionFrame()
        passed.clear()
        await self.pipeline.queue_frame(state.own_interruption)
        try:
            async with asyncio.timeout(INTERRUPT_S):
                await passed.wait()
        except TimeoutError:
            logger.warning("a stage does not let an interruption pass")

    async def interrupt_and_settle(self) -> None:
        """Cut off everything that is under way, and return when the context knows what was heard of it."""
        await self.interrupt()
        await self.settle()

    async def settle(self) -> None:
        """Return when everything that is under way has passed, and the context knows of it; in bounded time."""
        try:
            async with asyncio.timeout(INTERRUPT_S):
                await self.flush_pipeline()
        except TimeoutError:  # speech that must not be interrupted goes on, for example
            logger.debug("something is still under way in the pipeline")

    async def frame_left_upstream(self, frame: Frame) -> None:
        """Let a fatal error pass as an ordinary one, of a service that takes no more work.

        pipecat would cancel the pipeline at once and in silence, and the caller would not hear of it.
        """
        if isinstance(frame, ErrorFrame) and frame.fatal:
            frame.fatal = False
            if frame.processor is not None:
                await frame.processor.set_usable(False)
