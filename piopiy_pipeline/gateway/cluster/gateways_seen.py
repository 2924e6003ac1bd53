"""`GatewaysSeen`: what the log says of the other gateways of a cluster: who is there, who comes, who is lost. No I/O.

What happened between two looks is one line, however many gateways it is about. Of a gateway that comes and goes all the
time there are a few lines in a minute. While this one is cut off, it says nothing of the others, and for a moment after
that it calls none of them lost: they have to be heard first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from piopiy_pipeline.gateway.cluster.other_gateways import EXPIRE_S
from piopiy_pipeline.text import counted, printable_line

__all__ = ["GatewaysSeen"]

MOST_NAMED = 5
MOST_LINES = 4
"""So many lines in a minute are about one gateway. What it is after that is told a minute later."""
MINUTE_S = 60.0

LogLine = tuple[Literal["INFO", "WARNING"], str]


class GatewaysSeen:
    """What was told. Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._there: set[str] | None = (
            None  # those that are there, as the log has it; None: it has nothing yet
        )
        self._lines: dict[str, list[float]] = {}  # when there were lines about each gateway
        self._connected_at: float | None = None

    def look(
        self, there: Collection[str], lost: Collection[str], now: float, *, connected: bool
    ) -> list[LogLine]:
        """Return what is to be logged.

        Args:
            there: The gateways that are heard.
            lost: Those that have gone without a word.
            now: The time.
            connected: Whether this gateway is connected with them.
        """
        if not connected:
            self._connected_at = None
            return []
        if self._connected_at is None:
            self._connected_at = now
        if self._there is None:
            self._there = set(there)
            others = f"with {_names(there)}" if there else "no other gateway is there yet"
            return [("INFO", f"this gateway has joined its cluster: {others}")]
        come = self._may_be_told(set(there) - self._there, now)
        gone: set[str] = set()
        if now >= self._connected_at + EXPIRE_S:
            gone = self._may_be_told(self._there - set(there), now)
        self._there = (self._there | come) - gone
        number = f"{counted(len(self._there), 'other gateway')} there now"
        lines: list[LogLine] = []
        if come:
            lines.append(("INFO", f"in the cluster there is {_names(come)} now: {number}"))
        if left := gone - set(lost):
            lines.append(("INFO", f"the cluster was left by {_names(left)}: {number}"))
        if missing := gone & set(lost):
            text = f"lost in the cluster: nothing is heard of {_names(missing)}: dead, or cut off: {number}"
            lines.append(("WARNING", text))
        return lines

    def _may_be_told(self, names: set[str], now: float) -> set[str]:
        self._lines = {
            name: recent
            for name, times in self._lines.items()
            if (recent := [at for at in times if now < at + MINUTE_S])
        }
        fit = {name for name in names if len(self._lines.get(name, ())) < MOST_LINES}
        for name in fit:
            self._lines.setdefault(name, []).append(now)
        return fit


def _names(names: Collection[str]) -> str:
    shown = ", ".join(repr(printable_line(one)) for one in sorted(names)[:MOST_NAMED])
    more = len(names) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
