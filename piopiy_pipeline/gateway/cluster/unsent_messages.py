"""`UnsentMessages`: what other gateways were not told, or did not take in, although they should have. No I/O.

A message that is too long for the servers, or one too many, is left out: nothing may grow without a bound. Operators
are told: each cause is in the log once in ten minutes, and a problem of the gateway until it has not come for a minute.
"""

from __future__ import annotations

from loguru import logger

__all__ = ["UnsentMessages"]

SHOWN_S = 60.0
AGAIN_S = 600.0
MOST_CAUSES = 16
"""There are a few kinds of messages, and no more causes than that."""


class UnsentMessages:
    """Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, str]] = {}  # when each cause came last, and what it is
        self._logged: dict[str, float] = {}

    def note(self, cause: str, problem: str, now: float) -> None:
        """Note that something was left out.

        Args:
            cause: Why, in a word: what comes again is one problem.
            problem: What, why, and what to do, in a sentence of less than 200 characters.
            now: The time.
        """
        if cause not in self._seen and len(self._seen) >= MOST_CAUSES:
            return
        self._seen[cause] = now, problem
        if now >= self._logged.get(cause, float("-inf")) + AGAIN_S:
            self._logged[cause] = now
            logger.error("{}", problem)

    def too_long(self, what: str, size: int, limit: int, now: float) -> None:
        """Note that a message was not sent because it is too long.

        Args:
            what: Which, as people say it.
            size: How long it is, in bytes.
            limit: How long it may be, in bytes.
            now: The time.
        """
        problem = (
            f"other gateways are not told {what}: the message has {size / 1024:.0f} kB, of which {limit / 1024:.0f}"
            " are taken: set max_payload of the NATS servers to a megabyte"
        )
        self.note(f"too long: {what}", problem, now)

    def problems(self, now: float) -> list[str]:
        """Return what has been left out lately, a sentence for each cause."""
        return [problem for at, problem in self._seen.values() if now < at + SHOWN_S]
