"""`GeminiTools`: what tools return in a call with Gemini Live, and when its model is told.

The model answers a result by itself, as soon as it has it, and knows only the calls of its session. So a result that
nobody is to answer waits until an answer is asked for, or until another session knows it from the conversation; and one
of a call that another session has made is told in words.

Vertex AI gives calls no id. One that comes once more while it runs is the same one: it runs once. A model that goes on
while a tool runs may want another one of the same session, not of the next.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from piopiy_pipeline.compat import gemini_calls, gemini_session
from piopiy_pipeline.compat.gemini_calls import ToolResult

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
        self._owes_answer = False  # to results that a session was told in words
        self._waiting: list[ToolResult] = []  # nobody is to answer them
        self._unnamed: dict[
            str, tuple[tuple[str, Any], object]
        ] = {}  # calls that run: what, and of which session
        gemini_calls.lead_tools(service, begins=begins, take=self._take)
        gemini_calls.name_calls(service, self._ids)

    def _ids(self, asked: Sequence[tuple[str, Any]]) -> Sequence[str]:
        """Return the ids of calls that have none: of one that comes once more, the id that it was given before."""
        session = gemini_session.session_of(self._service)
        before = {
            name: call
            for name, (call, known_to) in self._unnamed.items()
            if known_to is not session or gemini_calls.waits_for(self._service, call[0])
        }
        ids = []
        for one in asked:
            name = next((name for name, call in before.items() if call == one), "") or str(uuid.uuid4())
            before.pop(name, None)
            self._unnamed[name] = one, session
            ids.append(name)
        for old in list(self._unnamed)[: -gemini_calls.CALLS]:
            del self._unnamed[old]
        return ids

    async def _take(self, result: ToolResult) -> None:
        self._unnamed.pop(result.call, None)
        if not gemini_session.hears(self._service):
            self._keep(result)
        elif not result.known:
            if not await self._tell_in_words(result):
                self._keep(result)
            elif result.wanted:
                await self._ask()
        elif result.awaited and not result.wanted:
            self._waiting = [*self._waiting, result][-MAX_WAITING:]
        else:
            await self._send(result)
            if result.wanted:
                self._awaits()

    def _keep(self, *results: ToolResult) -> None:
        """Keep what a session could not be told for the next one."""
        self._unsent = [*self._unsent, *results][-MAX_WAITING:]

    async def _send(self, result: ToolResult) -> None:
        await result.send()
        if not gemini_session.hears(self._service):
            self._keep(result)  # the connection was gone, and nobody has noticed

    async def _tell_in_words(self, result: ToolResult) -> bool:
        content = json.dumps(result.content, ensure_ascii=False)
        return await gemini_session.note(self._service, f"[Function {result.name} returned {content}]")

    def forget(self) -> None:
        """The next session knows from the conversation what has waited."""
        self._waiting.clear()

    async def goes_on(self) -> None:
        """Have the session that stands know what none was told."""
        unsent, self._unsent = self._unsent, []
        while unsent and await self._tell_in_words(unsent[0]):
            self._owes_answer = unsent.pop(0).wanted or self._owes_answer
        if unsent:
            self._keep(*unsent)
        elif self._owes_answer:
            self._owes_answer = False
            await self._ask()

    async def send_waiting(self) -> bool:
        """Send what has waited, because an answer is asked for. Returns whether the model answers it now."""
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            await self._send(result)
        return bool(waiting)

    async def tell_waiting(self) -> None:
        """Tell in words what has waited, because the model will answer something else."""
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            if not await self._tell_in_words(result):
                self._keep(result)
