"""`leave_out_turn_advice`: pipecat's advice to set up turns of one's own, which is noise in the log of each call.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from typing import Any

from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["leave_out_turn_advice"]


def leave_out_turn_advice(service: Any) -> None:
    """Have a service of a speech-to-speech model not give it: where the provider's turns are none, ours are."""
    service._warned_realtime_service_no_turn_frames = True


check_attributes(
    "pipecat-ai",
    [(LLMService, "_warned_realtime_service_no_turn_frames")],
    written_for=PIPECAT,
    used_in=__name__,
)
