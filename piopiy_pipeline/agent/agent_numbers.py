"""`AgentNumbers`: what an agent says of itself to its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["AgentNumbers", "MetricsRole"]

MetricsRole = Literal["alone", "supervisor", "worker"]


@dataclass(frozen=True, slots=True)
class AgentNumbers:
    """How an agent is, at a moment."""

    calls: int
    capacity: int
    draining: bool
    connected: bool
    """Whether a gateway knows it, or one of its call workers."""
    pids: Sequence[int]
    """The processes that serve calls."""
