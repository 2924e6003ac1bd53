"""`GeminiTools`: what tools return in a call with Gemini Live, and when its model is told.

The model answers a result by itself, as soon as it has it, and knows only the calls of its session. So a result that
nobody is to answer waits until an answer is asked for, or until another session knows it from the conversation; and one
of a call that another session has made is told in words.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from piopiy_pipeline.compat import gemini_session
from piopiy_pipeline.compat.gemini_session import ToolResult

__all__ = ["GeminiTools"]

MAX_WAITING = 32
"""So many results wait at most: a model waits for each."""


class GeminiTools:
    """Stands between the tools and one service.

    Args:
        service: The service, before it runs.
        begins: Called when the model uses tools.
        awaits: Called when the model is told something that it answers.
        ask: Asks for an answer.
    """

    def __init__(
        self,
        service: Any,
        *,
        begins: Callable[[], None],
        awaits: Callable[[], None],
        ask: Callable[[], Awaitable[None]],
    ) -> None:
        self._service = service
        self._awaits = awaits
        self._ask = ask
        self._unsent: list[ToolResult] = []  # no session stands
        self._waiting: list[ToolResult] = []  # nobody is to answer them
        gemini_session.lead_tools(service, begins=begins, take=self._take)

    async def _take(self, result: ToolResult) -> None:
        if not gemini_session.hears(self._service):
            self._unsent = [*self._unsent, result][-MAX_WAITING:]
        elif not result.known:
            await self._tell_in_words(result)
            if result.wanted:
                await self._ask()
        elif result.awaited and not result.wanted:
            self._waiting = [*self._waiting, result][-MAX_WAITING:]
        else:
            await result.send()
            if result.wanted:
                self._awaits()

    async def _tell_in_words(self, result: ToolResult) -> None:
        content = json.dumps(result.content, ensure_ascii=False)
        await gemini_session.note(self._service, f"[Function {result.name} returned {content}]")

    def forget(self) -> None:
        """The next session knows from the conversation what has waited."""
        self._waiting.clear()

    async def goes_on(self) -> None:
        """Have the session that stands know what none was told."""
        unsent, self._unsent = self._unsent, []
        wanted = False
        for result in unsent:
            await self._tell_in_words(result)
            wanted = wanted or result.wanted
        if wanted:
            await self._ask()

    async def send_waiting(self) -> bool:
        """Send what has waited, because an answer is asked for. Returns whether the model answers it now."""
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            await result.send()
        return bool(waiting)

    async def tell_waiting(self) -> None:
        """Tell in words what has waited, because the model will answer something else."""
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            await self._tell_in_words(result)
