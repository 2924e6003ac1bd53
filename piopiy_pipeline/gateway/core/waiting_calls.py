"""Calls that no instance can take at the moment: who waited longest is asked about first. No I/O."""

from __future__ import annotations

from typing import Protocol

from piopiy_pipeline.gateway.core.instances import Instances

__all__ = ["WaitingCall", "WaitingCalls"]


class WaitingCall(Protocol):
    """A call that waits for an instance."""

    def ask_next(self, now: float) -> None:
        """Offer the call to an instance that was not asked yet, if there is one; else it waits on, or ends."""


class WaitingCalls:
    """Those that wait, by agent, in the order in which they began to.

    Each of them also asks by itself from time to time, and ends its wait by itself.

    Args:
        instances: All instances that are connected to the gateway.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._by_agent: dict[str, dict[WaitingCall, None]] = {}

    def add(self, agent_id: str, call: WaitingCall) -> None:
        """Let a call wait. One that waits already keeps its place."""
        self._by_agent.setdefault(agent_id, {})[call] = None

    def discard(self, agent_id: str, call: WaitingCall) -> None:
        """Let a call wait no more. Nothing happens if it does not wait."""
        waiting = self._by_agent.get(agent_id)
        if waiting is not None:
            waiting.pop(call, None)
            if not waiting:
                del self._by_agent[agent_id]

    def waits_for(self, agent_id: str) -> bool:
        """Return whether a call waits for an instance of this agent."""
        return agent_id in self._by_agent

    def look_again(self, agent_id: str, now: float) -> None:
        """Have the calls of an agent ask, because one of its instances may have become free."""
        for call in tuple(self._by_agent.get(agent_id, ())):
            if not any(one.takes_takeovers for one in self._instances.of(agent_id)):
                return
            call.ask_next(now)
