"""`Summonses`: the calls of this gateway for which an instance is to come from another one. No I/O.

    ASKING --an instance was sent--> COMING --it says so, with the ticket--> HERE --it is offered the call--> over
      | nobody has a place, no answer  | it does not come in time              | the call does not want it any more
      |________________________________|_______________________________________|--> over

Every `now` is in seconds of one clock. A call has one summons at a time, and its ticket is good for that one. The
ticket of a call that needs nobody any more opens a connection still, so that whoever is on its way is told so, and is
not taken for somebody with a wrong key.
"""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.summons import SummonsOutcome

__all__ = ["AGAIN_S", "COME_S", "Summons", "SummonsState", "Summonses"]

COME_S = 1.5
"""How long an instance may take from the question to its arrival, in seconds: three round trips of a far network, with
TLS, and a busy agent."""
HERE_S = 2.0
"""How long an instance that has come waits for an offer: a call that moves at a pause of the conversation makes it."""
AGAIN_S = 0.2
"""When nobody had a place, nobody is asked for so many seconds."""
MOST_FAILED = 16
"""So many instances that did not come are left out at the next question."""


class SummonsState(Enum):
    """How far a summons has come."""

    ASKING = auto()
    COMING = auto()
    HERE = auto()
    OVER = auto()
    """Nobody came; the call may have another one a little later."""


@dataclass(slots=True)
class Summons:
    """The summons of one call."""

    call_id: str
    agent_id: str
    ticket: str
    until: float
    state: SummonsState = SummonsState.ASKING
    instance_id: str | None = None
    """Who was sent."""
    instance: Instance | None = None
    """Who is here."""
    failed: list[str] = field(default_factory=list)
    """The ids of those that did not come."""
    early: list[str] = field(default_factory=list)
    """The ids of those that said that they do not come before it was known that they were sent."""
    why: str = ""
    """Why the last one did not come, for operators."""


class Summonses:
    """All summonses of one gateway."""

    def __init__(self) -> None:
        self._by_call: dict[str, Summons] = {}
        self._unneeded: dict[str, Summons] = {}  # by ticket, with which an instance may be on its way
        self.outcomes: Counter[SummonsOutcome] = Counter()
        """How many were over, and how."""

    def __len__(self) -> int:
        return len(self._by_call) + len(self._unneeded)

    @property
    def wake_at(self) -> float | None:
        """When `tick` must be called next, in seconds; None: not at all."""
        waiting = [one for one in self._by_call.values() if one.state is not SummonsState.OVER]
        return min((one.until for one in [*waiting, *self._unneeded.values()]), default=None)

    def begin(self, call_id: str, agent_id: str, without: Collection[str], now: float) -> Summons | None:
        """Begin a summons for a call. Returns it; None if there is one, or nobody was there a moment ago."""
        before = self._by_call.get(call_id)
        if before is not None and now < before.until and not self._used(before):
            return None
        failed, why = ([], "") if before is None else (before.failed, before.why)
        summons = self._by_call[call_id] = Summons(
            call_id, agent_id, secrets.token_urlsafe(24), now + COME_S, failed=failed, why=why
        )
        summons.failed = [*dict.fromkeys([*without, *failed])][-MOST_FAILED:]
        return summons

    def answered(self, summons: Summons, instance_id: str | None, now: float) -> bool:
        """Take the directory's answer. Returns whether nobody comes, so that the call has to know it."""
        if self._by_call.get(summons.call_id) is not summons or summons.state is not SummonsState.ASKING:
            return False  # it is over, or the instance was faster than the answer
        if instance_id is None:
            self.outcomes["nobody"] += 1
            self._over(summons, now)
            return True
        if instance_id in summons.early:
            self.outcomes["refused"] += 1
            summons.state, summons.until = SummonsState.OVER, now  # as in `not_coming`
            return True
        summons.state, summons.instance_id = SummonsState.COMING, instance_id
        return False

    def not_coming(self, call_id: str, instance_id: str, why: str, now: float) -> bool:
        """Note that an instance that was sent does not come. Returns whether it was waited for."""
        summons = self._by_call.get(call_id)
        if summons is not None and summons.state is SummonsState.ASKING and len(summons.early) < MOST_FAILED:
            summons.early.append(instance_id)  # the answer that names it was overtaken
            summons.failed.append(instance_id)
            summons.why = why
        if summons is None or summons.state is not SummonsState.COMING or summons.instance_id != instance_id:
            return False
        summons.why = why
        self.outcomes["refused"] += 1
        summons.failed.append(instance_id)
        summons.state, summons.until = SummonsState.OVER, now  # somebody else can be asked at once
        return True

    def agent_of(self, ticket: str, now: float) -> str | None:
        """Return whose instance may connect with this ticket; None: nobody's."""
        found = None
        # Each is compared, in constant time.
        for summons in [*self._by_call.values(), *self._unneeded.values()]:
            good = _same(summons.ticket, ticket) and now < summons.until
            if good and summons.state in (SummonsState.ASKING, SummonsState.COMING):
                found = summons.agent_id
        return found

    def arrive(self, instance: Instance, call_id: str, ticket: str, now: float) -> bool:
        """Take an instance that says that it is here for a call. Returns whether it is expected."""
        self._unneeded.pop(ticket, None)
        summons = self._by_call.get(call_id)
        if (
            summons is None
            or summons.state not in (SummonsState.ASKING, SummonsState.COMING)
            or now >= summons.until
            or summons.agent_id != instance.agent_id
            or not _same(summons.ticket, ticket)
        ):
            return False
        self.outcomes["came"] += 1
        summons.state, summons.instance, summons.until = SummonsState.HERE, instance, now + HERE_S
        instance.summoned.add(call_id)
        return True

    def expects(self, call_id: str) -> bool:
        """Return whether somebody may still come for a call."""
        summons = self._by_call.get(call_id)
        return summons is not None and summons.state in (SummonsState.ASKING, SummonsState.COMING)

    def why(self, call_id: str) -> str:
        """Return why the last instance that was sent for a call did not come; empty if none was sent, or it came."""
        summons = self._by_call.get(call_id)
        return "" if summons is None else summons.why

    def forget(self, call_id: str) -> Summons | None:
        """Forget a call. Returns its summons if an instance is here that was not offered it. One that is on its way is
        not expected when it comes.
        """
        if self.expects(call_id):
            self._unneeded[self._by_call[call_id].ticket] = self._by_call[call_id]
        summons = self._by_call.pop(call_id, None)
        return summons if summons is not None and self._unused(summons) else None

    def tick(self, now: float) -> tuple[list[Summons], list[Summons]]:
        """Act on the deadlines that have passed.

        Returns:
            Those for which nobody has come in time, and those whose instance is here and was not offered the call.
        """
        missed, unused = [], []
        self._unneeded = {key: one for key, one in self._unneeded.items() if now < one.until}
        for summons in [one for one in self._by_call.values() if one.until <= now]:
            if summons.state is SummonsState.OVER:
                continue  # who did not come is known until the call is forgotten
            if summons.state is not SummonsState.HERE:
                if summons.instance_id is not None:
                    summons.failed.append(summons.instance_id)
                    summons.why = f"instance {summons.instance_id} did not come within {COME_S:g} s"
                self.outcomes["missed"] += 1
                self._over(summons, now)
                missed.append(summons)
                continue
            del self._by_call[summons.call_id]
            if self._unused(summons):
                unused.append(summons)
        return missed, unused

    def _over(self, summons: Summons, now: float) -> None:
        summons.state, summons.until = SummonsState.OVER, now + AGAIN_S

    @staticmethod
    def _used(summons: Summons) -> bool:
        """Return whether its instance is here and was offered the call."""
        return summons.instance is not None and summons.call_id not in summons.instance.summoned

    @staticmethod
    def _unused(summons: Summons) -> bool:
        """Return whether its instance is here and was not offered the call, which it is not from now on."""
        instance = summons.instance
        if instance is None or summons.call_id not in instance.summoned:
            return False
        instance.summoned.discard(summons.call_id)
        return True


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode(errors="replace"))
