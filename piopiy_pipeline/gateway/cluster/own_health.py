"""`OwnHealth`: what a gateway says of itself to operators: on its console, and to gateways whose console asks.

A gateway that is alone has one as well, so that its console shows it as it would show one of many.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.cluster.console_messages import (
    MOST_PROBLEMS,
    MOST_VERSIONS,
    AgentHealth,
    GatewayHealth,
)
from piopiy_pipeline.gateway.cluster.directory_messages import GatewayPresence
from piopiy_pipeline.gateway.core.dialling import NoDialler
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["MOST_TOLD", "OwnHealth"]

MOST_TOLD = 500
"""Of so many agents other gateways are told how they are, those in trouble before the others: it is one message."""

SHORTEST_S = 1.0
"""Over less time the use of the processor says nothing."""


class OwnHealth:
    """What there is to say.

    Args:
        name: The gateway's name.
        url: Its address.
        switchboard: Its calls and instances.
        problems: Returns what is wrong, a sentence for each cause.
        records: With which name its calls are marked in the database. Empty: none are kept.
    """

    def __init__(
        self,
        name: str,
        url: str,
        switchboard: Switchboard,
        problems: Callable[[], list[str]] = list,
        records: str = "",
    ) -> None:
        self.name = name
        self.url = url
        self.records = records
        self._switchboard = switchboard
        self._problems = problems
        self._started_at = switchboard.event_bus.wall()
        self._measured = time.perf_counter(), time.process_time()
        self._busy: float | None = None

    def presence(self, process: str, keys: dict[str, str]) -> GatewayPresence:
        """Return what stays the same in what this process tells of the gateway.

        Args:
            process: A name for it that is chosen anew with every start.
            keys: Digests of what all gateways should have alike, by what it is called.
        """
        return GatewayPresence(
            gateway=self.name,
            url=self.url,
            version=__version__,
            process=process,
            keys=keys,
            records=self.records,
        )

    def tell(self, most_agents: int | None = None) -> GatewayHealth:
        """Return how the gateway is now.

        Args:
            most_agents: Of how many agents at most; None: of all.
        """
        board = self._switchboard
        agents = {
            agent_id: health
            for agent_id in board.instances.agent_ids
            if (health := self._agent(agent_id)).instances
        }
        if most_agents is not None and len(agents) > most_agents:
            agents = dict(sorted(agents.items(), key=_concern, reverse=True)[:most_agents])
        return GatewayHealth(
            url=self.url,
            version=__version__,
            calls=board.call_count,
            max_calls=board.max_calls,
            started_at=self._started_at,
            busy=self._processor(),
            problems=[problem[:200] for problem in self._problems()[:MOST_PROBLEMS]],
            draining=board.drain.on,
            dials=not isinstance(board.resources.dialler, NoDialler),
            agents=agents,
        )

    def _agent(self, agent_id: str) -> AgentHealth:
        at_home = [one for one in self._switchboard.instances.of(agent_id) if not one.roaming]
        loads = [one.load for one in at_home if one.load is not None]
        return AgentHealth(
            instances=len(at_home),
            active=sum(one.active for one in at_home),
            capacity=sum(one.capacity for one in at_home),
            draining=sum(one.draining or one.held_back for one in at_home),
            held_back=sum(one.held_back for one in at_home),
            silent=sum(bool(one.silent) for one in at_home),
            overloaded=sum(load.takes != "all" for load in loads),
            busy=round(sum(load.busy for load in loads) / len(loads), 3) if loads else None,
            versions=sorted({one.version[:64] for one in at_home if one.version})[:MOST_VERSIONS],
        )

    def _processor(self) -> float | None:
        wall, used = time.perf_counter(), time.process_time()
        passed = wall - self._measured[0]
        if passed >= SHORTEST_S:
            self._busy = round((used - self._measured[1]) / passed, 3)
            self._measured = wall, used
        return self._busy


def _concern(agent: tuple[str, AgentHealth]) -> tuple[int, int, int]:
    health = agent[1]
    return health.silent + health.overloaded, health.draining, health.active
