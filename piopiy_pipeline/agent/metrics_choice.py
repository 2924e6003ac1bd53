"""Whether an agent has metrics. The library that serves them is loaded only then."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from piopiy_pipeline.agent.agent_numbers import AgentNumbers

if TYPE_CHECKING:
    from piopiy_pipeline.agent.agent_metrics import AgentMetrics

__all__ = ["choose_metrics", "metrics_address"]


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
    address = metrics_address(given, environment)
    if address is None:
        return None
    from piopiy_pipeline.agent.agent_metrics import AgentMetrics

    return AgentMetrics(agent_id, look, *address)


def metrics_address(
    given: str | int | None, environment: Mapping[str, str] = os.environ
) -> tuple[str, int] | None:
    """Return host and port of what is given; for None, of the environment; None for none.

    Raises:
        ValueError: It is no port.
    """
    name, text = "metrics_port", "" if given is None else str(given)
    if given is None:
        name, text = "PIOPIY_METRICS_PORT", environment.get("PIOPIY_METRICS_PORT", "")
    if not text:
        return None
    from piopiy_pipeline.metrics.http_server import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
