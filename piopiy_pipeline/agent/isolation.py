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

from loguru import logger

from piopiy_pipeline.arguments import shown, whole_number

__all__ = ["AUTO_CAPACITY", "Isolation", "check_variables"]

AUTO_CAPACITY = 200
"""So many calls a process takes at most if nobody says a number: far more than one event loop serves."""
ONE_CALL_A_CORE = 20
"""So many if each has a process of its own: alone, a call takes 4 to 5% of a core."""

WARM = 2
"""How many call workers wait for a call when each takes one only."""
MAX_WORKERS = 1000
"""More processes than this nobody means."""
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
        capacity: int | None,
        workers: int | str | None,
        warm: int | None,
        memory_mb: int | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self | None:
        """Check what an author or the environment asks for.

        Args:
            isolation: "task", "process", or None for the environment's ``PIOPIY_ISOLATION``, else "task".
            capacity: How many calls the agent takes at most; None for as many as its processes can have.
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
        named, given = _given("isolation", isolation, environment)
        given = "task" if given is None else given
        if given not in ("task", "process"):
            raise ValueError(f"{named} must be 'task' or 'process', not {shown(given)}")
        asked = {"workers": workers, "warm": warm, "memory_mb": memory_mb}
        if given == "task":
            for name, value in asked.items():
                if value is not None:
                    raise ValueError(f"{name}={shown(value)} is for isolation='process' only: pass that, too")
                variable = f"PIOPIY_{name.upper()}"
                if environment.get(variable):  # agents of both kinds may share an environment, if it is right
                    _number(name, *_given(name, None, environment))
                    logger.warning(
                        "{}={} does nothing here: it is for isolation='process' only",
                        variable,
                        environment[variable],
                    )
            return None
        if sys.platform != "linux":
            raise ValueError(
                f"isolation='process' forks its processes, which works on Linux only, not on {sys.platform}"
            )
        count = _workers(*_given("workers", workers, environment), capacity=capacity)
        if capacity is None:
            capacity = ONE_CALL_A_CORE * _cores() if count is None else AUTO_CAPACITY * count
        named, asked_warm = _given("warm", warm, environment)
        if asked_warm is not None and count is not None:
            raise ValueError(
                f"{named}={asked_warm} is for workers='call' only, where each worker takes one call"
            )
        kept_warm = WARM if asked_warm is None else _number("warm", named, asked_warm)
        if asked_warm is not None and kept_warm > capacity:
            logger.warning(
                "{}={}: {} wait for a call, as many as capacity={} takes",
                named,
                kept_warm,
                capacity,
                capacity,
            )
        named, asked_memory = _given("memory_mb", memory_mb, environment)
        limit = None if asked_memory is None else _number("memory_mb", named, asked_memory)
        return cls(capacity, _shares(capacity, count), min(kept_warm, capacity), limit)


def check_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Check what the environment says, whatever an author's arguments make of it.

    Raises:
        ValueError: A variable cannot work.
    """
    for argument in ("workers", "warm", "memory_mb"):
        named, given = _given(argument, None, environment)
        if given is not None:
            _number(argument, named, given)
    if (given := environment.get("PIOPIY_ISOLATION")) and given not in ("task", "process"):
        raise ValueError(f"PIOPIY_ISOLATION must be 'task' or 'process', not {shown(given)}")


def _given(name: str, value: object, environment: Mapping[str, str]) -> tuple[str, object]:
    """Return what was given and how it is called where it was given: an argument, else a variable, else None."""
    variable = f"PIOPIY_{name.upper()}"
    return (name, value) if value is not None else (variable, environment.get(variable) or None)


def _number(argument: str, named: str, given: object) -> int:
    """Return the number that was given for an argument; 0 for a word that may stand in its place. A variable's is text.

    Raises:
        ValueError: It cannot work.
    """
    of_environment = named != argument
    if argument == "memory_mb":
        return whole_number(named, given, least=MIN_MEMORY_MB, text=of_environment)
    if argument == "warm":
        return whole_number(named, given, most=MAX_WORKERS, text=of_environment)
    if given in ("auto", "call"):
        return 0
    return whole_number(named, given, most=MAX_WORKERS, expected="'auto', 'call' or", text=of_environment)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def _workers(name: str, given: object, *, capacity: int | None) -> int | None:
    """Return the number of call workers, or None for one a call."""
    if given == "call":
        return None
    if given is None or given == "auto":
        return _cores()
    count = _number("workers", name, given)
    if capacity is not None and count > capacity:
        logger.warning(
            "{}={}: there are {}, one for each call that capacity={} takes", name, count, capacity, capacity
        )
    return count


def _shares(capacity: int, count: int | None) -> tuple[int, ...]:
    """Divide the capacity among call workers: nobody has none, and the shares differ by one at most."""
    if count is None:
        return ()
    count = min(count, capacity)
    return tuple(capacity // count + (number < capacity % count) for number in range(count))
