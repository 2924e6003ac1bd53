"""The search for an instance that takes a call: who was asked, what went wrong, who is next. No I/O."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.instances import Instance, Instances

__all__ = ["MAX_RECOVERIES", "InstanceSearch"]

MAX_RECOVERIES = 3
"""A call that has lost this many agents is more likely their cause than their victim."""


class InstanceSearch:
    """Of one call. An instance is asked once, until the call has been with another."""

    def __init__(self, agent_id: str, instances: Instances) -> None:
        self.offers = 0
        self.recoveries = 0
        self._agent_id = agent_id
        self._instances = instances
        self._tried: set[Instance] = set()
        self._retried = False
        self._failure: tuple[EndReason, str] | None = None  # why another instance is being looked for

    def next(self) -> Instance | None:
        """Whom to ask now; None if nobody is left."""
        instance = self._instances.pick(self._agent_id, without=self._tried)
        if instance is not None:
            self._tried.add(instance)
            self.offers += 1
        return instance

    def may_retry(self) -> bool:
        """Whether a callback that failed before its answer may be tried elsewhere: once."""
        first, self._retried = not self._retried, True
        return first

    def may_recover(self) -> bool:
        """Whether the call, whose agent was lost, may go to another."""
        if self.recoveries >= MAX_RECOVERIES:
            return False
        self.recoveries += 1
        return True

    def begin_again(self, without: Instance | None, reason: EndReason, detail: str) -> None:
        """Look for another than this one; if there is none, the call ends for this reason."""
        self._failure = (reason, detail)
        self._tried = {without} if without else set()

    def why_nobody(self) -> tuple[EndReason, str]:
        """Why the call ends when `next` has nobody."""
        if self._failure is not None:
            return self._failure
        connected = self._instances.of(self._agent_id)
        if not connected:
            return EndReason.NO_AGENT, f"no instance of agent {self._agent_id!r} is connected"
        return EndReason.BUSY, f"instances connected: {len(connected)}, and none took the call"
