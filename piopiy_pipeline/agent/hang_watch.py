"""`HangWatch`: kills call workers whose event loop does not turn any more, for good.

A worker's own watchdog names code that blocks its loop, and ends it. It is a thread of the worker, so it cannot run
while native code keeps the interpreter's lock, or while the process is stopped. The gateway has long moved such calls
away; what is left is a process that would hold its place for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from piopiy_pipeline.agent.worker_member import WorkerMember

__all__ = ["TURN_S", "HangWatch"]

TURN_S = 2.0
"""How often a call worker says that its loop turns."""
HUNG_S = 30.0
"""After so much silence it is killed. Watchdog and gateway act within seconds: this is for what they cannot end."""


class HangWatch:
    """Finds call workers that say nothing.

    Args:
        on_hung: Called once for each that has said nothing for `HUNG_S`, with that number of seconds.
    """

    def __init__(self, on_hung: Callable[[WorkerMember, float], None]) -> None:
        self._on_hung = on_hung
        self._looked_at = time.monotonic()

    async def run(self, members: Mapping[int, WorkerMember]) -> None:
        """Look at these call workers until this is cancelled."""
        while True:
            await asyncio.sleep(TURN_S)
            self.look(members, time.monotonic())

    def look(self, members: Mapping[int, WorkerMember], now: float) -> None:
        """Look at these call workers. If nobody has looked for long, it was this process that hung.

        Args:
            members: The call workers.
            now: The time in seconds.
        """
        hung_itself = now - self._looked_at > 3 * TURN_S
        self._looked_at = now
        for member in list(members.values()):
            if hung_itself:
                member.turned_at = max(member.turned_at, now)
            silent_s = now - member.turned_at
            if member.ready_s is not None and member.killed_for is None and silent_s > HUNG_S:
                self._on_hung(member, silent_s)
