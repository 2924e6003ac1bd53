"""`Announcements`: this gateway tells all others every two seconds that it is there, and what its agents have.

What they know already is not repeated (`AnnouncedPlaces`). What does not fit into one message comes in several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.gateway.cluster.announced_places import AnnouncedPlaces, fit, in_parts
from piopiy_pipeline.gateway.cluster.directory import ClusterDirectory
from piopiy_pipeline.gateway.cluster.directory_messages import AgentPlaces, GatewayNotice, GatewayPresence
from piopiy_pipeline.gateway.cluster.other_gateways import ANNOUNCE_S
from piopiy_pipeline.gateway.cluster.reservations import Reservations
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["Announcements"]

SOON_S = 0.1
"""An agent that has come to this gateway, or left it, is told after so many seconds, with those that follow it."""


class Announcements:
    """What is told, and its timer, from the first `announce` to `close`.

    Args:
        own: What this gateway says of itself that does not change.
        switchboard: Its calls and instances.
        reservations: The places of its agents.
        directory: Carries what is told.
        looking: Returns whether somebody here looks at all calls.
    """

    def __init__(
        self,
        own: GatewayPresence,
        switchboard: Switchboard,
        reservations: Reservations,
        directory: ClusterDirectory,
        looking: Callable[[], bool],
    ) -> None:
        self._own = own
        self._switchboard = switchboard
        self._reservations = reservations
        self._directory = directory
        self._looking = looking
        self._announced = AnnouncedPlaces()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def announce(self, *, hello: bool = False) -> None:
        """Tell all others now, and every now and then from now on.

        Args:
            hello: Whether they are to say what they have.
        """
        if self._timer is not None:
            self._timer.cancel()
        if self._closed:
            return
        self._timer = self._loop.call_later(
            ANNOUNCE_S, self.announce
        )  # first: an error below does not end the next
        if not self._directory.problem:  # else nobody would hear it, and it would count as said
            agents = self._agents()
            since, changed = self._announced.changes(agents)
            if hello or not fit(changed):
                for number, message in enumerate(self._whole(agents)):
                    self._directory.announce(message.model_copy(update={"hello": hello and number == 0}))
            else:
                self._directory.announce(self._presence(since, self._announced.number, changed))

    def announce_soon(self) -> None:
        """Tell all others in a moment."""
        at = self._loop.time() + SOON_S
        if self._timer is not None and not self._closed and self._timer.when() > at:
            self._timer.cancel()
            self._timer = self._loop.call_at(at, self.announce)

    def introduce_to(self, gateway: str) -> None:
        """Tell one other gateway all that this one has."""
        if not self._closed:
            for message in self._whole(self._agents()):
                self._directory.notify(gateway, GatewayNotice(notice=message))

    def is_news(self, agent_id: str, places: AgentPlaces) -> bool:
        """Return whether the others should know at once what this gateway has of an agent."""
        return self._announced.is_news(agent_id, places)

    def close(self) -> None:
        """Tell all others that this gateway leaves, and nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        leaving = self._presence(None, self._announced.number, {})
        self._directory.announce(leaving.model_copy(update={"leaving": True}))

    def _agents(self) -> dict[str, AgentPlaces]:
        return {
            agent_id: places
            for agent_id in self._switchboard.instances.agent_ids
            if (places := self._reservations.places(agent_id)).instances
        }

    def _whole(self, agents: dict[str, AgentPlaces]) -> list[GatewayPresence]:
        return [self._presence(*part) for part in in_parts(self._announced.number, agents)]

    def _presence(self, since: int | None, number: int, agents: dict[str, AgentPlaces]) -> GatewayPresence:
        words = {
            "calls": self._switchboard.call_count,
            "sent_at": round(self._switchboard.event_bus.wall()),
            "number": number,
            "since": since,
            "agents": agents,
            "watching": self._looking(),
        }
        return self._own.model_copy(update=words)
