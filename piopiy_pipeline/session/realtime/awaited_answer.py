"""`AwaitedAnswer`: an answer that a provider was asked for, or owes the caller, and of which nothing has come yet.

Services of pipecat's tell when an answer begins and ends. Between the question and its beginning, nobody knows but
whoever has asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import InterruptionFrame

from piopiy_pipeline.compat.frame_taps import watch_taken

__all__ = ["AwaitedAnswer"]

AWAITED_S = 8.0
"""An answer of which nothing comes is not waited for any longer, in seconds."""


class AwaitedAnswer:
    """Waits until something of the answer comes, and no longer than an interruption.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
    """

    def __init__(self, service: Any, asked: Callable[[], None]) -> None:
        self._asked = asked
        self._until = float("-inf")
        watch_taken(service, self._interrupted, InterruptionFrame)

    @property
    def is_due(self) -> bool:
        """Whether it is still waited for."""
        return asyncio.get_running_loop().time() < self._until

    def begin(self) -> None:
        """Wait for it from now on."""
        self._until = asyncio.get_running_loop().time() + AWAITED_S
        self._asked()

    def end(self) -> None:
        """Wait no more: it comes, or it never will."""
        self._until = float("-inf")

    def _interrupted(self, _service: Any, _frame: Any) -> None:
        self.end()
