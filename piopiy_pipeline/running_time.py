"""The time of the running event loop's clock.

To ask which loop runs is a call of the system in Python 3.11, which asks for the process's id. So who needs the time at
each window or frame keeps the method of the loop, and begins with this function, as long as no loop runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["running_time"]


def _running_time() -> float:
    return asyncio.get_running_loop().time()


running_time: Callable[[], float] = _running_time
"""Returns the time, in seconds."""
