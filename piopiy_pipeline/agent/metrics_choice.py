"""Whether an agent has metrics. The library that serves them is loaded only then."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from piopiy_pipeline.agent.agent_numbers import AgentNumbers

if TYPE_CHECKING:
    from piopiy_pipeline.agent.agent_metrics import AgentMetrics

__all__ = ["choose_metrics"]


def choose_metrics(
    agent_id: str,
    look: Callable[[], AgentNumbers],
    given: str | int | None,
    environment: Mapping[str, str] = os.environ,
) -> AgentMetrics | None:
    """Return the metrics of an agent, on the port that is given; for None, on that of the environment, if it has one.

    Args:
        agent_id: The agent.
        look: Returns how it is.
        given: PORT or HOST:PORT.
        environment: Where ``PIOPIY_METRICS_PORT`` may stand.

    Raises:
        ValueError: It is no port.
    """
    text = environment.get("PIOPIY_METRICS_PORT", "") if given is None else str(given)
    if not text:
        return None
    from piopiy_pipeline.agent.agent_metrics import AgentMetrics
    from piopiy_pipeline.metrics.http_server import parse_address

    return AgentMetrics(agent_id, look, *parse_address(text))
