"""`OtherGateways`: the gateways of a cluster beside this one, as each has said of itself last. No I/O.

Every gateway tells all others every two seconds that it is there, and which of its agents have changed
(`announced_places`). One of which nothing was heard for three times as long is gone. Its list is kept for a while: when
the directory is there again after a failure, what has not changed need not be said again.

That is for questions without an answer ("could anybody take a call?") and for operators: which instance takes a call is
asked, and answered, for each call.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces, GatewayPresence

__all__ = ["ANNOUNCE_S", "EXPIRE_S", "OtherGateways"]

ANNOUNCE_S = 2.0
EXPIRE_S = 3 * ANNOUNCE_S
"""A gateway of which nothing was heard for so long is gone, in seconds."""
FORGET_S = 600.0
"""How long the list of a gateway is kept of which nothing is heard, in seconds."""
MOST_BEFORE = 4
"""So many processes that had a gateway's name before are known."""
MOST = 1000
"""So many gateways are known at most."""


class OtherGateways:
    """Who is there. Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, GatewayPresence]] = {}  # each with all of its agents
        self._by_agent: dict[str, dict[str, AgentPlaces]] = {}  # and by gateway
        self._before: dict[str, list[str]] = {}  # the processes that had each name before

    def heard(self, presence: GatewayPresence, now: float) -> bool:
        """Take what a gateway says. Returns whether it has to be asked for its whole list."""
        name = presence.gateway
        if self.left_out(name, presence.process, now):
            return False
        if presence.leaving:
            self._forget(name)
            return False
        known = self._heard.get(name)
        if known is None and not self._has_room(now):
            return False
        if known is not None and known[1].process != presence.process:
            kept = [one for one in self._before.get(name, ()) if one != presence.process]
            self._before[name] = [*kept, known[1].process][-MOST_BEFORE:]
        number, agents = (-1, {}) if known is None else (known[1].number, known[1].agents)
        if presence.since is None:
            for agent_id in agents:
                self._by_agent[agent_id].pop(name, None)
            changes, agents = presence.agents, {}
        elif presence.since <= number <= presence.number:
            changes = presence.agents
        else:
            self._heard[name] = now, presence.model_copy(update={"agents": agents, "number": number})
            return True
        for agent_id, places in changes.items():
            if places.instances:
                agents[agent_id] = self._by_agent.setdefault(agent_id, {})[name] = places
            else:
                agents.pop(agent_id, None)
                self._by_agent.get(agent_id, {}).pop(name, None)
        self._heard[name] = now, presence.model_copy(update={"agents": agents})
        return False

    def left_out(self, gateway: str, process: str, now: float) -> bool:
        """Return whether another process has this name, which came later and is there: of two gateways with one name
        the later one is known, as when a gateway was started again.
        """
        known = self._heard.get(gateway)
        return known is not None and now < known[0] + EXPIRE_S and process in self._before.get(gateway, ())

    def there(self, now: float) -> list[GatewayPresence]:
        """Return those that are there, by name, each with all of its agents."""
        return [one for _, (at, one) in sorted(self._heard.items()) if now < at + EXPIRE_S]

    def lost(self, now: float) -> list[tuple[float, GatewayPresence]]:
        """Return those that have gone without a word, by name, each with how many seconds ago it was heard last. After
        ten minutes they are forgotten.
        """
        return [
            (now - at, one)
            for _, (at, one) in sorted(self._heard.items())
            if at + EXPIRE_S <= now < at + FORGET_S
        ]

    def heard_ago_s(self, gateway: str, now: float) -> float:
        """Return how many seconds ago a gateway was heard last."""
        return now - self._heard[gateway][0]

    def instances(self, agent_id: str, now: float) -> int:
        """Count the instances of the agent that are at home at other gateways."""
        return sum(one.instances for one in self._of(agent_id, now))

    def has_place(self, agent_id: str, now: float) -> bool:
        """Return whether an instance of the agent at another gateway has a free place."""
        return any(one.places > 0 for one in self._of(agent_id, now))

    def _of(self, agent_id: str, now: float) -> list[AgentPlaces]:
        found = self._by_agent.get(agent_id, {})
        return [places for name, places in found.items() if now < self._heard[name][0] + EXPIRE_S]

    def _has_room(self, now: float) -> bool:
        for name in [one for one, (at, _) in self._heard.items() if now >= at + FORGET_S]:
            self._forget(name)
        if len(self._heard) >= MOST:
            for name in [one for one, (at, _) in self._heard.items() if now >= at + EXPIRE_S]:
                self._forget(name)
        return len(self._heard) < MOST

    def _forget(self, name: str) -> None:
        known = self._heard.pop(name, None)
        self._before.pop(name, None)
        for agent_id in known[1].agents if known is not None else ():
            found = self._by_agent[agent_id]
            found.pop(name, None)
            if not found:
                del self._by_agent[agent_id]
