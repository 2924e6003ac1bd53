"""`scope_all_tasks`: an author's code in a call sees the tasks of its call in `asyncio.all_tasks()`, and no others.

Who takes all of them does so to cancel them, or to wait for them: both would harm all other calls, and the agent.
Libraries, and an author's code outside of calls, see what there is.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Container
from typing import Any

from piopiy_pipeline.code_places import is_authors

__all__ = ["scope_all_tasks"]


@functools.cache
def scope_all_tasks(current: Callable[[], Container[asyncio.Task[Any]] | None]) -> None:
    """Have `asyncio.all_tasks` look at whose code asks, once a process.

    Args:
        current: Returns the tasks of the call in whose context it is asked; None outside of calls.
    """
    inner = asyncio.all_tasks

    @functools.wraps(inner)
    def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        tasks = inner(loop)
        if (own := current()) is None or not is_authors(sys._getframe(1)):
            return tasks
        return {task for task in tasks if task in own}

    for module in (asyncio, asyncio.tasks):
        module.all_tasks = all_tasks  # type: ignore[attr-defined]
