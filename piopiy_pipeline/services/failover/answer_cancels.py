"""`AnswerCancels`: models that are giving up their answers, each in bounded time, because nobody waits for these."""

from __future__ import annotations

import asyncio

from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.pipecat import cancel_answer
from piopiy_pipeline.services.failover.switch import ServiceSwitch

__all__ = ["AnswerCancels"]

CANCEL_S = 3.0
"""How long a model may take to give up a request, before it counts as not usable for the next answer."""


class AnswerCancels:
    """The requests to the models of a switch that are being cancelled.

    Args:
        switch: Owns the tasks.
    """

    def __init__(self, switch: ServiceSwitch) -> None:
        self._switch = switch
        self._tasks: dict[FrameProcessor, asyncio.Task[None]] = {}

    def __contains__(self, service: FrameProcessor) -> bool:
        return service in self._tasks

    def begin(self, service: FrameProcessor) -> None:
        """Cancel the answer that a model is writing. Returns at once."""
        if service not in self._tasks:
            self._tasks[service] = self._switch.create_task(self._cancel(service), f"{self._switch}::drop")

    async def wait(self, service: FrameProcessor) -> None:
        """Wait until a model has given up its answer, or has taken too long."""
        while task := self._tasks.get(service):
            await asyncio.wait({task})

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks.values()):
            await self._switch.cancel_task(task)

    async def _cancel(self, service: FrameProcessor) -> None:
        assert isinstance(service, LLMService)
        try:
            async with asyncio.timeout(CANCEL_S):
                await cancel_answer(service)
        except TimeoutError:
            logger.error("{} does not give up its request", self._switch.name_of(service))
        finally:
            self._tasks.pop(service, None)
