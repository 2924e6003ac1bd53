"""`AnnouncedPlaces`: what this gateway tells all others of its agents: only what has changed. No I/O.

The list of its agents has a number, which grows with each change. A message has what has changed since a number that is
three messages old, so one that is lost now and then costs nothing: who has that number, or a later one, has all. Others
ask for the whole list (`PlacesWanted`), such as a gateway that was cut off for long.

A change is an agent that comes or goes, another number of its instances, or its last place taken or its first one free.
The calls in between are no change: which instance takes a call is asked for each call.

A list that is too long for one message comes in parts, each of which continues the one before it. While some are
missing, the number that they leave is one that no change begins at, so whoever misses one asks for the whole list.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from itertools import pairwise

from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces

__all__ = ["AnnouncedPlaces", "fit", "in_parts"]

KEPT = 3
"""So many messages repeat a change."""
PART_BYTES = 200 << 10
"""So long the agents of one message are at most. Servers take a megabyte by default."""
ENTRY_BYTES = 100
"""What one agent takes beside its id, at most."""
_FIRST = 1 << 48
_BELOW = 1 << 47
"""So far below the number of the list are those of its parts: more than it ever grows."""


def in_parts(
    number: int, agents: dict[str, AgentPlaces], most_bytes: int = PART_BYTES
) -> list[tuple[int | None, int, dict[str, AgentPlaces]]]:
    """Divide the whole list of agents into what fits into one message each.

    Args:
        number: That of the list.
        agents: The list.
        most_bytes: How long the agents of one part may be, in bytes of JSON.

    Returns:
        Of each part since which number it is, its own number, and its agents; of the first one, since None.
    """
    parts: list[dict[str, AgentPlaces]] = [{}]
    size = 0
    for agent_id, places in agents.items():
        size += len(json.dumps(agent_id)) + ENTRY_BYTES
        if size > most_bytes and parts[-1]:
            parts.append({})
            size = len(json.dumps(agent_id)) + ENTRY_BYTES
        parts[-1][agent_id] = places
    numbers = [None, *range(number - _BELOW - len(parts) + 1, number - _BELOW), number]
    return [
        (since, here or number, part) for (since, here), part in zip(pairwise(numbers), parts, strict=True)
    ]


def fit(agents: dict[str, AgentPlaces], most_bytes: int = PART_BYTES) -> bool:
    """Return whether these agents fit into one message of `most_bytes` bytes of JSON."""
    return sum(len(json.dumps(agent_id)) + ENTRY_BYTES for agent_id in agents) <= most_bytes


class AnnouncedPlaces:
    """The list, and its last changes."""

    def __init__(self) -> None:
        self.number = _FIRST + secrets.randbits(48)
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
