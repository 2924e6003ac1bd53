"""Which instances the gateway of a soak has, as its own log says: what may explain that nobody took a call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

__all__ = ["LoggedInstances"]

_NEWS = re.compile(
    r" agent \S+ (?:registered: instance (?P<new>[^\s,]+),|is gone: instance (?P<gone>[^\s:]+):)"
    r"|: instance (?P<other>\S+) (?P<what>is silent: (?P<why>its event loop is blocked|nothing was heard)?|is back)"
)


class LoggedInstances:
    """Follows the gateway's log.

    Args:
        log: Returns all of it, as far as it is written.
    """

    def __init__(self, log: Callable[[], str]) -> None:
        self._log = log
        self._read = 0
        self._connected: set[str] = set()
        self._silent: set[str] = set()
        self.silences: Counter[str] = Counter()
        """How often an instance went silent, by why."""

    def read(self) -> None:
        """Read what is new."""
        log = self._log()
        end = log.rfind("\n") + 1
        for line in log[self._read : end].splitlines():
            news = _NEWS.search(line)
            if news is not None:
                self._note(news)
        self._read = max(end, self._read)

    def _note(self, news: re.Match[str]) -> None:
        if news["new"]:
            self._connected.add(news["new"])
            self._silent.discard(news["new"])  # it has registered anew
        elif news["gone"]:
            self._connected.discard(news["gone"])
            self._silent.discard(news["gone"])
        elif news["what"] == "is back":
            self._silent.discard(news["other"])
        else:
            self._silent.add(news["other"])
            self.silences[news["why"] or "another"] += 1

    @property
    def connected(self) -> bool:
        """Whether there is any."""
        return bool(self._connected)

    @property
    def heard(self) -> bool:
        """Whether there is any that is not silent."""
        return bool(self._connected - self._silent)
