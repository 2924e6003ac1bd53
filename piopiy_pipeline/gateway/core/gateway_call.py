"""One call at the gateway: from the caller's first ring to the one reason for which it ended. No I/O.

The caller's leg stays through all of it; agents come and go. `phases` says which phase may follow on which,
`agent_side` is what happens between the call and its agent, and `call_control` is what agents and operators can
have done with a call in progress.

Its tests are those of the switchboard (`tests/gateway/core/test_switchboard.py`, `test_call_control.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.agent_side import AgentSide
from piopiy_pipeline.gateway.core.call_control import GatewayCallControl
from piopiy_pipeline.gateway.core.deadlines import Deadlines
from piopiy_pipeline.gateway.core.dialling import DIAL_ENDS, DialFailure, DialledLeg
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.media_path import MediaPath
from piopiy_pipeline.gateway.core.phases import Phase, next_phase
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.signaling.messages import ConversationEvent, ConversationEventName

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["CallLimits", "CallOptions", "GatewayCall"]


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


class GatewayCall:
    """The state of one call. Implements `LegListener` for the caller, `DialledListener` for whom it calls.

    Every `now` is in seconds, of one clock.

    Args:
        info: Who calls whom.
        board: The switchboard that the call belongs to: it is told of every change, and knows the limits,
            the connected instances, the dialler and the recordings.
        now: When the call was placed.
        leg: The caller, or the person who is called.
        phase: OFFERING for a call that comes in, DIALLING for one that goes out.
        options: What differs from other calls.
    """

    def __init__(
        self,
        *,
        info: CallInfo,
        board: Switchboard,
        now: float,
        leg: Leg,
        phase: Phase = Phase.OFFERING,
        options: CallOptions | None = None,
    ) -> None:
        self.info = info
        self.leg = leg
        self.media_path = MediaPath(leg)
        self.control = GatewayCallControl(self, board.dialler)
        self.options = options or CallOptions()
        self.phase = phase
        self.placed_at = now
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.reason: EndReason | None = None
        self.detail = ""
        self.log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)
        self._board = board
        self.dialled = phase is Phase.DIALLING
        self.agent = AgentSide(self, board.instances, board.limits)
        self.deadlines: Deadlines[Literal["phase", "media", "duration"]] = Deadlines()
        self._events = 0

    # ------------------------------------------------------------------ the switchboard's side

    @property
    def call_id(self) -> str:
        return self.info.call_id

    @property
    def wake_at(self) -> float | None:
        """When `tick` wants to be called next."""
        deadlines = (self.deadlines.next_at, self.control.deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def place(self, now: float) -> None:
        """Ring, and ask the first instance."""
        self.leg.ring(self.call_id)
        self.agent.ask_next(now)

    def dial(self, leg: DialledLeg, ring_timeout_s: float, now: float) -> None:
        """Call somebody; an agent is asked when they pick up."""
        detail = f"nobody answered within {ring_timeout_s:g} s"
        self.deadlines.set(
            "phase", now + ring_timeout_s, lambda now: self.end(now, EndReason.NO_ANSWER, detail)
        )
        self._board.call_changed(self)
        leg.call(self)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        if self.phase is Phase.ENDED:
            return
        self.control.tick(now)
        self.deadlines.tick(now)

    def on_frame_tick(self, now: float) -> None:
        """Send the caller what is due: called every 20 ms while the call is LIVE or BRIDGED."""
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.media_path.on_frame_tick(now, self.agent.media)

    def end(self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False) -> None:
        """End the call, once: later reasons do not count."""
        if self.phase is Phase.ENDED:
            return
        if not by_agent:
            self.agent.dismiss(reason, detail, cancel=f"the call is over: {reason.value}")
        self.control.abandon(reason, now)
        self.record(on=False)
        self.agent.let_go()
        self.enter(Phase.ENDED)
        self.reason, self.detail, self.ended_at = reason, detail, now
        self.deadlines.off()
        self.leg.end(reason, detail)
        self.log.bind(reason=reason.value, instance_id=self.agent.assignment.last_instance_id).info(
            "gateway: call of agent {} ended: {} after {:.1f} s{}",
            self.info.agent_id,
            reason.value,
            0.0 if self.answered_at is None else now - self.answered_at,
            f" ({detail})" if detail else "",
        )
        self._board.call_changed(self)

    def snapshot(self) -> CallSnapshot:
        agent = self.agent.assignment
        faults = agent.media_faults
        return CallSnapshot(
            call_id=self.call_id,
            agent_id=self.info.agent_id,
            instance_id=agent.last_instance_id,
            kind=self.info.kind,
            from_number=self.info.from_number,
            to_number=self.info.to_number,
            metadata=self.info.metadata,
            phase=self.phase,
            placed_at=self.placed_at,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            offers=agent.offers,
            recoveries=agent.recoveries,
            gaps=faults.gaps,
            worst_gap_s=faults.worst_gap_s,
            frames_dropped=self.leg.frames_dropped,
            caller_dropped_s=faults.caller_dropped_s,
            reason=self.reason,
            detail=self.detail,
            recorded=self.media_path.recorded,
            line=self.leg.line_quality(),
        )

    # ------------------------------------------------------------------ the caller

    def caller_audio(self, pcm: bytes) -> None:
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.media_path.caller_audio(pcm, self.agent.media)

    def caller_dtmf(self, digits: str) -> None:
        if self.media_path.bridge is not None:
            self.media_path.bridge.far.dtmf(digits)
        elif self.phase is Phase.LIVE and self.agent.media is not None:
            self.agent.media.dtmf(digits)

    def caller_data(self, data: dict[str, Any]) -> None:
        if self.phase is Phase.LIVE and self.agent.media is not None:
            self.agent.media.data(data)

    def caller_hangup(self, now: float, detail: str = "") -> None:
        if self.phase is Phase.BRIDGED:
            self.end(now, EndReason.TRANSFERRED, detail or "the caller hung up")
        else:
            self.end(now, EndReason.CALLER_HANGUP, detail)

    def callee_ringing(self, now: float) -> None:
        """It rings where the gateway called."""

    def callee_answered(self, now: float) -> None:
        """Somebody picked up: now an agent is asked."""
        if self.phase is Phase.DIALLING:
            self.agent.ask_next(now)

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        """Nobody did."""
        self.end(now, DIAL_ENDS[why], detail)

    # ------------------------------------------------------------------ what its control asks

    def record(self, *, on: bool) -> None:
        """Begin to record the call, or end that. Said twice, it is the same."""
        if on:
            self.media_path.record(self._board.recordings, self.info)
        else:
            self.media_path.stop_recording()

    def changed(self) -> None:
        """A deadline of the control is another now."""
        self._board.call_changed(self)

    def publish(self, event: ConversationEventName, data: dict[str, Any], now: float) -> None:
        """Tell the subscribers of an event that the gateway itself knows of."""
        at = 0.0 if self.answered_at is None else now - self.answered_at
        self._publish(ConversationEvent(call_id=self.call_id, at=at, event=event, data=data))

    def bridged(self, detail: str) -> None:
        """The caller is somebody else's now: the agent is told, and has the call no more."""
        self.agent.dismiss(EndReason.TRANSFERRED, detail, cancel=detail)
        self.agent.let_go()
        self.enter(Phase.BRIDGED)
        self._board.call_changed(self)

    # ------------------------------------------------------------------ deadlines

    def _too_long(self, now: float) -> None:
        self.end(now, EndReason.MAX_DURATION, f"the limit of {self._max_duration_s:g} s was reached")

    # ------------------------------------------------------------------ what the agent's side asks

    def enter(self, phase: Phase) -> None:
        """Change the phase. Every change is made here: `phases` says which are allowed."""
        self.phase = next_phase(self.phase, phase)

    def go_live(self, now: float) -> None:
        """The bot can hear and speak: audio flows from here on."""
        self.enter(Phase.LIVE)
        self.deadlines.off("phase")
        if self.answered_at is None:
            self.answered_at = now
            self.deadlines.set("duration", now + self._max_duration_s, self._too_long)
            self.leg.answer()
            self.record(on=self._board.record if self.options.record is None else self.options.record)
        self._board.call_changed(self)

    def conversation(self, event: ConversationEvent) -> None:
        """Tell the leg and the subscribers what happened in the conversation."""
        self.leg.conversation(event)
        self._publish(event)

    def _publish(self, event: ConversationEvent) -> None:
        self._events += 1
        self._board.call_event(self, self._events, event)

    @property
    def _max_duration_s(self) -> float:
        own, limit = self.options.max_duration_s, self._board.limits.max_duration_s
        return limit if own is None else min(own, limit)
