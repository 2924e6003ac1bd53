"""`Outages`: what the log says while a gateway does not reach its cluster's directory. No I/O."""

from __future__ import annotations

from loguru import logger

__all__ = ["Outages"]

MOST_LINES = 8
"""So many causes of one outage are logged: each of several servers may have its own, and they change."""
GOES_ON = "This gateway goes on with the agents that it has, and joins again by itself"


class Outages:
    """The causes of the outage that there is."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def note(self, problem: str) -> None:
        """Log a cause, once in each outage.

        Args:
            problem: What is wrong, a sentence without a full stop; empty: nothing.
        """
        if not problem:
            if self._logged:
                logger.info("the cluster's directory is there again")
            self._logged.clear()
        elif problem not in self._logged and len(self._logged) < MOST_LINES:
            self._logged.add(problem)
            logger.error("{}. {}", problem, GOES_ON)
