"""`AwaitedAnswer`: an answer that a provider was asked for, or owes the caller, and of which nothing has come yet.

Services of pipecat's tell when an answer begins and ends. Between the question and its beginning, nobody knows but
whoever has asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    VADUserStartedSpeakingFrame,
)

from piopiy_pipeline.compat.frame_taps import watch_taken

__all__ = ["AwaitedAnswer"]

AWAITED_S = 8.0
"""An answer of which nothing comes is not waited for any longer, in seconds."""
DOUBT_S = 1.5
"""An end that may be that of something else is one of an empty answer if nothing comes for so many seconds."""


class AwaitedAnswer:
    """Waits until something of the answer comes, and no longer than an interruption.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
    """

    def __init__(self, service: Any, asked: Callable[[], None]) -> None:
        self._service = service
        self._asked = asked
        self._until = float("-inf")
        self._doubt: asyncio.Task[None] | None = None
        watch_taken(service, self._interrupted, InterruptionFrame)
        watch_taken(service, self.goes_on, VADUserStartedSpeakingFrame, EndFrame, CancelFrame)

    @property
    def is_due(self) -> bool:
        """Whether it is still waited for."""
        return asyncio.get_running_loop().time() < self._until

    def begin(self) -> None:
        """Wait for it from now on."""
        self.goes_on()
        self._until = asyncio.get_running_loop().time() + AWAITED_S
        self._asked()

    def end(self) -> None:
        """Wait no more: it comes, or it never will."""
        self.goes_on()
        self._until = float("-inf")

    def seems_empty(self, tell: Callable[[], Awaitable[None]] | None = None) -> None:
        """Take note that an answer may have ended of which nothing has come. What ended may be something else: a
        turn that was cut off, or one that has used tools. So it is told if nothing else comes within `DOUBT_S`.

        Args:
            tell: Has the service tell an answer that begins and ends. None: by the two frames.
        """
        self.goes_on()
        self._doubt = self._service.create_task(self._is_empty(tell or self._tell), "an empty answer")

    async def _is_empty(self, tell: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(DOUBT_S)
        self._doubt = None
        await tell()
        self.end()

    async def _tell(self) -> None:
        await self._service.push_frame(LLMFullResponseStartFrame())
        await self._service.push_frame(LLMFullResponseEndFrame())

    def goes_on(self, *_: Any) -> None:
        """Take note that something comes, or will: what seemed to be an empty answer is none."""
        task, self._doubt = self._doubt, None
        if task is not None:
            task.cancel()

    def _interrupted(self, _service: Any, _frame: Any) -> None:
        self.end()
