"""`AgentMetrics`: the numbers of an agent, where they are counted and read. Imported only by agents that have any."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from piopiy_pipeline._version import __version__
from piopiy_pipeline.agent.agent_numbers import AgentNumbers, MetricsRole
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.forwarded_counts import ForwardedCounts
from piopiy_pipeline.metrics.http_server import MetricsServer
from piopiy_pipeline.metrics.loop_lag import LoopLag
from piopiy_pipeline.metrics.registry import MetricRegistry

__all__ = ["AgentMetrics", "MetricsError", "note_numbers"]

_P = "piopiy_agent_"
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class MetricsError(RuntimeError):
    """Nothing can listen where Prometheus was to read. The text says where, and why."""


class AgentMetrics:
    """Counts in this process, and lets Prometheus read it.

    Args:
        agent_id: The agent.
        look: Returns how it is.
        host: The address on which Prometheus is served.
        port: The port.
    """

    LOOK_S = 1.0
    """How often the state of the agent is read. A thread serves it, and must not look itself."""
    MEMORY_EVERY = 10
    """At every so many of these looks, and when there are others, the memory of the processes is read."""

    def __init__(self, agent_id: str, look: Callable[[], AgentNumbers], host: str, port: int) -> None:
        self._agent_id = agent_id
        self._numbers = look
        self._host, self._port = host, port
        self._registry = MetricRegistry(AGENT_FAMILIES)
        self._server: MetricsServer | None = None
        self._lag: LoopLag | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._pids: list[int] = []

    @property
    def port(self) -> int:
        """The port on which it is read: the real one, if 0 was asked for."""
        return self._port if self._server is None else self._server.port

    def start(self, role: MetricsRole) -> None:
        """Count from now on. But for a call worker, a thread serves Prometheus.

        Args:
            role: What this process is: one that serves calls alone, a supervisor, or a call worker.

        Raises:
            MetricsError: The port cannot be had.
        """
        if role != "supervisor":
            self._lag = LoopLag(COUNTS.loop_lag)
        if role == "worker":
            COUNTS.sink = ForwardedCounts()
            return
        COUNTS.sink = self._registry
        try:
            self._server = MetricsServer(self._registry, self._host, self._port)
        except OSError as error:
            why = error.strerror or error
            raise MetricsError(
                f"metrics: cannot listen on {self._host} port {self._port}: {why}. Choose another with --metrics-port,"
                " PIOPIY_METRICS_PORT or Agent(metrics_port=)"
            ) from None
        shown = f"[{self._host}]" if ":" in self._host else self._host
        logger.info("metrics at http://{}:{}/metrics", shown, self._server.port)
        self._look()

    def close(self) -> None:
        """Serve no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lag is not None:
            self._lag.close()
        if self._server is not None:
            self._server.close()
            self._server = None
        if COUNTS.sink is self._registry:
            COUNTS.sink = None

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.LOOK_S, self._look)
        now = self._numbers()
        note_numbers(self._registry, self._agent_id, now)
        if self._looks % self.MEMORY_EVERY == 0 or list(now.pids) != self._pids:
            self._pids = list(now.pids)
            self._registry.set(f"{_P}processes_memory_bytes", sum(map(_resident_bytes, now.pids)))
        self._looks += 1


def note_numbers(registry: MetricRegistry, agent_id: str, now: AgentNumbers) -> None:
    """Set the gauges of an agent.

    Args:
        registry: Where they are.
        agent_id: The agent.
        now: How it is.
    """
    registry.set(f"{_P}info", 1, agent_id=agent_id, version=__version__)
    registry.set(f"{_P}connected", now.connected)
    registry.set(f"{_P}draining", now.draining)
    registry.set(f"{_P}calls", now.calls)
    registry.set(f"{_P}capacity_calls", now.capacity)
    registry.set(f"{_P}processes", len(now.pids))


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):  # it has ended, or this is no Linux
        return 0
