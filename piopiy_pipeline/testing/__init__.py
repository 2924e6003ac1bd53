"""Whole calls from recorded audio, in virtual time: see `simulate`.

Names are loaded when they are first used: a test session that simulates nothing pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "Caller": "callers",
    "Calls": "values",
    "Event": "values",
    "LatencyParts": "values",
    "SimulatedCall": "values",
    "SimulationError": "clock",
    "TurnResult": "values",
    "run_virtual": "clock",
    "simulate": "simulate",
    "simulate_many": "simulate",
}

__all__ = [
    "Calls",
    "Event",
    "LatencyParts",
    "SimulatedCall",
    "TurnResult",
]

if TYPE_CHECKING:
    from piopiy_pipeline.testing.values import Calls, Event, LatencyParts, SimulatedCall, TurnResult


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_HOMES)
