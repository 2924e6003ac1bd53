"""The gateway: takes calls, finds an agent for each, and carries the audio between them.

It imports neither pipecat nor anything of the agent's side, so that a caller's line outlives the
agent that serves it. `GatewayConfig`, `Gateway` and `GatewayError` are what others use.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.server import Gateway

__all__ = ["Gateway", "GatewayConfig", "GatewayError"]
