"""`Isolation`: whether the calls of an agent share its process or have processes of their own. Values only.

In the isolation "task", each call is a task with its own pipeline in the one process of the agent. In the isolation
"process", the agent's process serves no call: it supervises call workers (`supervisor.py`), which are forked from a
template (`template_process.py`). Each call worker is an ordinary instance at the gateway, with a connection of its
own. So nothing is relayed, the gateway chooses the least loaded one, and who is lost loses its own calls only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

__all__ = ["Isolation"]

WARM = 2
"""How many call workers wait for a call when each takes one only."""
MIN_MEMORY_MB = 64
"""The smallest limit on a call worker's own memory: an idle one has about 30 MB, a call about 15 MB more."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How many call workers an agent has, and what each of them takes.

    Attributes:
        capacity: How many calls all of them take at once.
        capacities: The capacity of each call worker that is kept. Empty if each takes one call and ends.
        warm: How many wait for a call, if each takes one call and ends.
        memory_mb: What a call worker may have of its own, in MB (2^20 bytes), or None for no limit.
    """

    capacity: int
    capacities: tuple[int, ...]
    warm: int
    memory_mb: int | None

    @property
    def one_call(self) -> bool:
        """Whether each call worker takes one call and ends with it."""
        return not self.capacities

    @classmethod
    def choose(
        cls,
        isolation: str | None,
        *,
        capacity: int,
        workers: int | str | None,
        warm: int | None,
        memory_mb: int | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self | None:
        """Check what an author or the environment asks for.

        Args:
            isolation: "task", "process", or None for the environment's ``PIOPIY_ISOLATION``, else "task".
            capacity: How many calls the agent takes at once.
            workers: A number, "auto" for one a core, "call" for one a call, or None for the environment's
                ``PIOPIY_WORKERS``, else "auto".
            warm: How many wait for a call with ``workers="call"``; None for the environment's ``PIOPIY_WARM``, else 2.
            memory_mb: The limit on a call worker's own memory in MB; None for the environment's
                ``PIOPIY_MEMORY_MB``, else for no limit.
            environment: The environment variables.

        Returns:
            None for the isolation "task".

        Raises:
            ValueError: An argument or a variable cannot work.
        """
        given = isolation or environment.get("PIOPIY_ISOLATION") or "task"
        if given not in ("task", "process"):
            raise ValueError(f"isolation must be 'task' or 'process', not {given!r}")
        asked = {"workers": workers, "warm": warm, "memory_mb": memory_mb}
        if given == "task":
            for name, value in asked.items():
                if value is not None:
                    raise ValueError(f"{name}={value!r} is for isolation='process' only: pass that, too")
            return None
        if sys.platform != "linux":
            raise ValueError(
                f"isolation='process' forks its processes, which works on Linux only, not on {sys.platform}"
            )
        count = _workers(workers if workers is not None else environment.get("PIOPIY_WORKERS") or "auto")
        warm = _number("warm", warm, environment.get("PIOPIY_WARM"), at_least=1)
        if warm is not None and count is not None:
            raise ValueError(f"warm={warm} is for workers='call' only, where each worker takes one call")
        memory_mb = _number(
            "memory_mb", memory_mb, environment.get("PIOPIY_MEMORY_MB"), at_least=MIN_MEMORY_MB
        )
        return cls(capacity, _shares(capacity, count), min(warm or WARM, capacity), memory_mb)


def _workers(given: int | str) -> int | None:
    """Return the number of call workers, or None for one a call."""
    if given == "call":
        return None
    if given == "auto":
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    try:
        count = int(given)
    except ValueError:
        count = 0
    if count < 1 or isinstance(given, bool):
        raise ValueError(f"workers must be 'auto', 'call' or a number from 1 on, not {given!r}")
    return count


def _shares(capacity: int, count: int | None) -> tuple[int, ...]:
    """Divide the capacity among call workers: nobody has none, and the shares differ by one at most."""
    if count is None:
        return ()
    count = min(count, capacity)
    return tuple(capacity // count + (number < capacity % count) for number in range(count))


def _number(name: str, given: int | None, of_environment: str | None, *, at_least: int) -> int | None:
    if given is None and not of_environment:
        return None
    try:
        number = int(given if given is not None else of_environment or "")
    except (TypeError, ValueError):
        number = at_least - 1
    if number < at_least or isinstance(given, bool):
        raise ValueError(
            f"{name} must be a number from {at_least} on, not {of_environment if given is None else given!r}"
        )
    return number
