"""The gateway: takes calls, finds an agent for each, and carries the audio between them.

It imports neither pipecat nor anything of the agent's side, so that a caller's line outlives the
agent that serves it. `GatewayConfig`, `Gateway` and `GatewayError` are what others use. They are loaded when they are
first used: the program of a leg process is in this package, needs none of them, and would take longer to start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.errors import GatewayError
    from piopiy_pipeline.gateway.server import Gateway

__all__ = ["Gateway", "GatewayConfig", "GatewayError"]

_HOMES = {"Gateway": "server", "GatewayConfig": "config", "GatewayError": "errors"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
