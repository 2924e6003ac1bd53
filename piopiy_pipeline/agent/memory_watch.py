"""`MemoryWatch`: looks at how much memory each call worker has of its own.

A limit of the kernel's would not do: RLIMIT_AS counts addresses, of which onnxruntime and each thread reserve far more
than they use, and an allocation that fails ends a native library wherever it is. What is looked at is memory that is in
no file, less that of the template, with which a call worker shares nearly all that it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from piopiy_pipeline.agent.linux_process import anonymous_mb
from piopiy_pipeline.agent.worker_member import WorkerMember

__all__ = ["MemoryWatch"]

POLL_S = 0.2
"""How often call workers are looked at: 20 microseconds each."""


class MemoryWatch:
    """Finds call workers that have too much memory.

    Args:
        template: The process id of the template.
        limit_mb: What a call worker may have of its own, in MB.
        on_over: Called once for each that has more, with its own memory and the limit in MB.
    """

    def __init__(
        self, template: int, limit_mb: int, *, on_over: Callable[[WorkerMember, float, int], None]
    ) -> None:
        self._template = template
        self._limit_mb = limit_mb
        self._on_over = on_over

    async def run(self, members: Mapping[int, WorkerMember]) -> None:
        """Look at these call workers until this is cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            shared_mb = anonymous_mb(self._template) or 0.0
            for member in list(members.values()):
                if member.pid and member.killed_for is None:
                    own_mb = (anonymous_mb(member.pid) or 0.0) - shared_mb
                    if own_mb > self._limit_mb:
                        self._on_over(member, own_mb, self._limit_mb)
