"""A call in progress at a switchboard, and everybody on it."""

from __future__ import annotations

from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import Control, Transfer, TransferResult
from tests.support.switchboard import NotedAgent, NotedFarLeg, NotedMedia, Room

__all__ = ["FRAME", "Live", "holds", "phase"]

FRAME = b"\1\0" * 320  # 20 ms at 16 kHz


def phase(call: GatewayCall) -> Phase:
    return call.phase


class Live:
    """A call in progress, and everybody on it."""

    def __init__(self) -> None:
        self.room = Room()
        self.agent: NotedAgent = self.room.agent()
        self.call, self.leg = self.room.call()
        self.media: NotedMedia = self.agent.take()

    def control(self, what: str, on: bool) -> None:
        self.agent.say(Control.model_validate({"call_id": self.call.call_id, "what": what, "on": on}))

    def transfer(self, to: str = "200", *, warm: bool = True, summary: str = "") -> None:
        self.agent.say(
            Transfer(
                call_id=self.call.call_id,
                request_id="t1",
                to=to,
                warm=warm,
                summary=summary,
                ring_timeout_s=15,
            )
        )

    @property
    def far(self) -> NotedFarLeg:
        return self.room.dialler.legs[-1]

    @property
    def results(self) -> list[tuple[str, str]]:
        return [(m.outcome, m.detail) for m in self.agent.sent if isinstance(m, TransferResult)]


def holds(agent: NotedAgent) -> list[bool]:
    return [message.on for message in agent.sent if isinstance(message, Control) and message.what == "hold"]
