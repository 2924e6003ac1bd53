"""`InstanceSearches`: the questions to the directory for instances of other gateways, a task for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.cluster.directory import ClusterDirectory
from piopiy_pipeline.gateway.cluster.directory_messages import DirectoryAnswer, DirectorySearch
from piopiy_pipeline.gateway.cluster.summonses import Summons

__all__ = ["InstanceSearches"]

SEARCH_S = 0.4
"""How long a gateway may take to answer, in seconds. One that was killed just now is asked for a moment still."""
MOST_ASKED = 3
"""So many gateways are asked for one call before it waits a little: a place may be gone when the question comes."""
IN_VAIN_S = 1.0
"""When nobody was found who is less busy, none is looked for by calls of that agent for so many seconds."""
MOST_SEARCHES = 1000
"""So many questions are under way at a time, at most. A call beyond asks again a little later."""


class InstanceSearches:
    """The questions that are under way, until `close`.

    Args:
        gateway: The name of this gateway.
        url: Where instances of other gateways reach it.
        directory: Whom is asked.
        expects: Returns whether a call still waits for an instance of another gateway.
        on_answer: Called with the summons, with who was sent (None: nobody), and with whether only somebody less busy
            was looked for, for a call that has a place here.
    """

    def __init__(
        self,
        gateway: str,
        url: str,
        directory: ClusterDirectory,
        expects: Callable[[str], bool],
        on_answer: Callable[[Summons, str | None, bool], None],
    ) -> None:
        self._gateway = gateway
        self._url = url
        self._directory = directory
        self._expects = expects
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_vain: dict[str, float] = {}  # until when nobody less busy is looked for, by agent

    @property
    def full(self) -> bool:
        """Whether no more questions may be under way."""
        return len(self._tasks) >= MOST_SEARCHES

    def begin(self, summons: Summons, *, takeover: bool, apart: bool, most_busy: float | None) -> None:
        """Ask for an instance for a call.

        Args:
            summons: The call's.
            takeover: Whether the call is in progress.
            apart: Whether a call worker apart is wanted.
            most_busy: How busy the instance may be at most; None: that does not matter.
        """
        search = self._search(summons, takeover=takeover, apart=apart, most_busy=most_busy)
        task = self._loop.create_task(search, name=f"{summons.call_id}::search")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def in_vain(self, agent_id: str) -> bool:
        """Return whether nobody less busy was found a moment ago."""
        now = self._loop.time()
        return now < self._in_vain.get(agent_id, now)

    def note_in_vain(self, agent_id: str) -> None:
        """Note that nobody less busy was found."""
        self._in_vain[agent_id] = self._loop.time() + IN_VAIN_S

    def cancel(self) -> None:
        """Give up all questions."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Give up all questions, and wait until they are."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _search(
        self, summons: Summons, *, takeover: bool, apart: bool, most_busy: float | None
    ) -> None:
        answer: DirectoryAnswer | None = None
        for _ in range(MOST_ASKED):
            left_s = summons.until - self._loop.time()
            search = DirectorySearch(
                call_id=summons.call_id,
                agent_id=summons.agent_id,
                gateway=self._gateway,
                url=self._url,
                ticket=summons.ticket,
                deadline_ms=max(1, round(left_s * 1000)),
                without=summons.failed,
                takeover=takeover,
                apart=apart,
                most_busy=most_busy,
            )
            try:
                answer = await self._directory.search(search, min(SEARCH_S, max(left_s, 0.001)))
            except Exception:  # noqa: BLE001  as if nobody had answered: the call is told, and may be asked for again
                logger.bind(call_id=summons.call_id).exception("an instance could not be looked for")
                answer = None
            if answer is None or answer.instance_id is not None or not self._expects(summons.call_id):
                break
        self._on_answer(summons, None if answer is None else answer.instance_id, most_busy is not None)
