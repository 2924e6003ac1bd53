"""`AnnouncedPlaces`: what this gateway tells all others of its agents: only what has changed. No I/O.

The list of its agents has a number, which grows with each change. A message has what has changed since a number that is
three messages old, so one that is lost now and then costs nothing: who has that number, or a later one, has all. Others
ask for the whole list (`PlacesWanted`), such as a gateway that was cut off for long.

A change is an agent that comes or goes, another number of its instances, or its last place taken or its first one free.
The calls in between are no change: which instance takes a call is asked for each call.
"""

from __future__ import annotations

import secrets
from collections import deque

from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces

__all__ = ["AnnouncedPlaces"]

KEPT = 3
"""So many messages repeat a change."""


class AnnouncedPlaces:
    """The list, and its last changes."""

    def __init__(self) -> None:
        self.number = secrets.randbits(48)
        """Of the list. It begins by chance: one of this gateway's process before this one means nothing."""
        self._changes: deque[tuple[int, frozenset[str]]] = deque(maxlen=KEPT)  # the number before each
        self._said: dict[str, tuple[int, bool]] = {}

    def is_news(self, agent_id: str, places: AgentPlaces) -> bool:
        """Return whether the others should know at once what this gateway has of an agent: its first instance has
        come, or its last one gone.
        """
        return (agent_id in self._said) != (places.instances > 0)

    def changes(self, places: dict[str, AgentPlaces]) -> tuple[int, dict[str, AgentPlaces]]:
        """Note that a message goes to all others.

        Args:
            places: What there is of all agents that have instances here.

        Returns:
            Since which number the agents have changed that are in it, and these. An agent without instances is gone.
        """
        said = {agent_id: (one.instances, one.places > 0) for agent_id, one in places.items()}
        changed = {one for one in said.keys() | self._said.keys() if said.get(one) != self._said.get(one)}
        self._changes.append((self.number, frozenset(changed)))
        self.number += bool(changed)
        self._said = said
        nobody = AgentPlaces(instances=0, active=0, places=0)
        recent = sorted(set().union(*(one for _, one in self._changes)))
        return self._changes[0][0], {agent_id: places.get(agent_id, nobody) for agent_id in recent}
