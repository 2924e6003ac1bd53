"""`OtherGateways`: the gateways of a cluster beside this one, as each has said of itself last. No I/O.

Every gateway tells all others every two seconds that it is there, and what it has. One of which nothing was heard for
three times as long is gone. That is for questions without an answer ("could anybody take a call?") and for operators:
which instance takes a call is asked, and answered, for each call.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces, GatewayPresence

__all__ = ["ANNOUNCE_S", "OtherGateways"]

ANNOUNCE_S = 2.0
EXPIRE_S = 3 * ANNOUNCE_S
MOST = 1000
"""So many gateways are known at most."""


class OtherGateways:
    """Who is there. Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, GatewayPresence]] = {}
        self._own: set[str] = set()  # the agents that have instances at this gateway

    def heard(self, presence: GatewayPresence, now: float) -> bool:
        """Take what a gateway says. Returns whether it was not known."""
        if presence.leaving:
            self._heard.pop(presence.gateway, None)
            return False
        known = self._heard.get(presence.gateway)
        if known is None and len(self._heard) >= MOST:
            self._heard = {gateway: one for gateway, one in self._heard.items() if now < one[0] + EXPIRE_S}
            if len(self._heard) >= MOST:
                return False
        self._heard[presence.gateway] = now, presence
        return known is None or now >= known[0] + EXPIRE_S

    def there(self, now: float) -> list[GatewayPresence]:
        """Return those that are there, by name."""
        return [one for _, (at, one) in sorted(self._heard.items()) if now < at + EXPIRE_S]

    def instances(self, agent_id: str, now: float) -> int:
        """Count the instances of the agent that are at home at other gateways."""
        return sum(one.agents[agent_id].instances for one in self.there(now) if agent_id in one.agents)

    def has_place(self, agent_id: str, now: float) -> bool:
        """Return whether an instance of the agent at another gateway has a free place."""
        return any(agent_id in one.agents and one.agents[agent_id].places > 0 for one in self.there(now))

    def note_own(self, agent_id: str, places: AgentPlaces) -> bool:
        """Note what this gateway has of an agent. Returns whether the others should know it at once: its first
        instance has come, or its last one gone.
        """
        if (agent_id in self._own) == (places.instances > 0):
            return False
        (self._own.add if places.instances else self._own.discard)(agent_id)
        return True
