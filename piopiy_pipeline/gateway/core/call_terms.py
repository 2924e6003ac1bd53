"""On what terms a call is taken: the gateway's limits, what one call may have otherwise, and its host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from piopiy_pipeline.gateway.core.dialling import Dialler
from piopiy_pipeline.gateway.core.instances import Instances
from piopiy_pipeline.gateway.core.media_path import Recordings
from piopiy_pipeline.signaling.messages import ConversationEvent

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.core.gateway_call import GatewayCall

__all__ = ["CallHost", "CallLimits", "CallOptions"]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long things may take, in seconds: see `GatewayConfig`."""

    offer_s: float
    setup_s: float
    max_duration_s: float


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What may differ from call to call. None: as the gateway's configuration says."""

    max_duration_s: float | None = None
    record: bool | None = None


class CallHost(Protocol):
    """What a call needs of the switchboard."""

    instances: Instances
    limits: CallLimits
    dialler: Dialler
    recordings: Recordings
    record: bool

    def call_changed(self, call: GatewayCall) -> None:
        """The phase or a deadline of the call is another now."""

    def call_told(self, call: GatewayCall, number: int, event: ConversationEvent) -> None:
        """Something happened in the conversation: the call's event of this number."""
