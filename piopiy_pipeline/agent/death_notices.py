"""`DeathNotices`: has call workers tell the gateway which of them has died.

The supervisor has no connection to the gateway. A few call workers that have one say it; one that is not registered yet
says it as soon as it is, because there may be no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from piopiy_pipeline.agent.process_messages import TellOfDeath
from piopiy_pipeline.agent.worker_member import WorkerMember

__all__ = ["DeathNotices"]

TELLERS = 3
"""So many are told: one of them may hang, or be about to die itself. To hear it twice changes nothing."""
NEWS_S = 2.0
"""For how long a death is told to those that register, in seconds. Nobody waits for it longer than half a second."""
MOST = 20


class DeathNotices:
    """The deaths of the last two seconds. Every `now` is in seconds of one clock.

    Args:
        say: Tells a call worker something.
    """

    def __init__(self, say: Callable[[WorkerMember, TellOfDeath], None]) -> None:
        self._say = say
        self._recent: deque[tuple[float, TellOfDeath]] = deque(maxlen=MOST)

    def tell(self, death: TellOfDeath, members: Iterable[WorkerMember], now: float) -> None:
        """Have some of these call workers tell of a death."""
        self._recent.append((now, death))
        for member in [each for each in members if each.registered][-TELLERS:]:
            self._say(member, death)

    def on_registered(self, member: WorkerMember, now: float) -> None:
        """Have a call worker that has registered just now tell of the last deaths."""
        for at, death in self._recent:
            if now < at + NEWS_S:
                self._say(member, death)
