"""One call at the gateway, from the caller's first ring to the one reason for which it ended. No I/O.

The caller's leg stays through all of it; agents come and go. `phases` says which phase may follow on which,
`call_state` is what the parts of a call share, `agent_side` is what happens between the call and its agent,
and `call_control` is what agents and operators can have done with a call in progress.

Its tests are those of the switchboard (`tests/gateway/core/test_switchboard.py`, `test_call_control.py`,
`test_transfers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from piopiy_pipeline.audio.sound_cleaner import CleanSound
from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.agent_side import AgentSide
from piopiy_pipeline.gateway.core.call_control import GatewayCallControl
from piopiy_pipeline.gateway.core.dialling import DIAL_ENDS, DialFailure, DialledLeg
from piopiy_pipeline.gateway.core.gateway_call_state import CallResources, GatewayCallState
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.media_path import MediaPath
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.signaling.messages import (
    Accept,
    AgentMessage,
    Answer,
    Checkpoint,
    Control,
    ConversationEvent,
    Hangup,
    Move,
    Reject,
    Transfer,
)

__all__ = ["CallOptions", "GatewayCall", "PlaceCall"]


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options that may differ from call to call. None means what the gateway's configuration says."""

    max_duration_s: float | None = None
    record: bool | None = None
    clean_sound: CleanSound | None = None
    checkpoint: dict[str, Any] | None = None
    """The state of an earlier call, which was lost, with whose conversation this one goes on."""
    with_agent: bool = True
    """Whether an agent serves the call. A call that is dialled may have none: then `on_answer` sees to its end."""
    on_answer: Callable[[], None] = lambda: None
    """Called when the bot and the caller hear each other for the first time, before the bot's own wishes count."""


class GatewayCall:
    """One call at the gateway. It is the `LegListener` of the caller, and the `DialledListener` of a person
    it calls.

    Every `now` is in seconds, of one clock.

    Args:
        info: Who calls whom.
        leg: The caller, or the person who is called.
        now: When the call was placed.
        resources: What all calls use.
        on_change: Called with the call when its phase or a deadline is another.
        phase: OFFERING for a call that comes in, DIALLING for one that goes out.
        options: What differs from other calls.
    """

    def __init__(
        self,
        *,
        info: CallInfo,
        leg: Leg,
        now: float,
        resources: CallResources,
        on_change: Callable[[GatewayCall], None],
        phase: Phase = Phase.OFFERING,
        options: CallOptions | None = None,
    ) -> None:
        self.state = GatewayCallState(
            info=info,
            leg=leg,
            phase=phase,
            now=now,
            resources=resources,
            end=self.end,
            changed=lambda: on_change(self),
        )
        self.agent = AgentSide(
            self.state, on_live=self._go_live, on_moved=lambda now: self.control.catch_up(now)
        )
        self.control = GatewayCallControl(self.state, self.agent)
        self.options = options or CallOptions()
        self.agent.assignment.checkpoint = self.options.checkpoint
        self.placed_at = now
        self.ended_at: float | None = None
        self.reason: EndReason | None = None
        self.detail = ""
        self._line_failed = False

    @property
    def info(self) -> CallInfo:
        return self.state.info

    @property
    def call_id(self) -> str:
        return self.state.call_id

    @property
    def leg(self) -> Leg:
        return self.state.leg

    @property
    def phase(self) -> Phase:
        return self.state.phase

    @property
    def media_path(self) -> MediaPath:
        return self.state.media_path

    @property
    def playing(self) -> bool:
        """Whether the caller hears something: from the answer on, between two instances, too."""
        return self.state.answered_at is not None and self.phase is not Phase.ENDED

    @property
    def answered_at(self) -> float | None:
        """When the bot could hear and speak for the first time, in seconds; None before that."""
        return self.state.answered_at

    # ------------------------------------------------------------------ the switchboard's side

    @property
    def wake_at(self) -> float | None:
        """When `wake` must be called next, in seconds; None: not at all."""
        if self.phase is Phase.ENDED:
            return None
        deadlines = (self.state.deadlines.next_at, self.control.deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def place(self, now: float) -> None:
        """Ring, and ask the first instance."""
        self.leg.ring(self.call_id)
        self.agent.ask_next(now)
        if self.options.checkpoint is not None and self.phase is not Phase.ENDED:  # it may be lost again
            self.state.resources.on_checkpoint(self.call_id, self.options.checkpoint)

    def dial(self, leg: DialledLeg, ring_timeout_s: float, now: float) -> None:
        """Call somebody; an agent is asked when they pick up."""
        detail = f"nobody answered within {ring_timeout_s:g} s"
        self.state.deadlines.set(
            "phase", now + ring_timeout_s, lambda now: self.end(now, EndReason.NO_ANSWER, detail)
        )
        self.state.changed()
        leg.call(self)

    def wake(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        if self.phase is Phase.ENDED:
            return
        with self.state.contained(now):
            self.control.tick(now)
            self.state.deadlines.tick(now)

    def receive(self, instance: Instance, message: AgentMessage, now: float) -> None:
        """Act on what an instance says of this call."""
        match message:
            case Accept(offer_id=offer_id):
                self.agent.accept(instance, offer_id, now)
            case Reject():
                self.agent.reject(instance, message, now)
            case Answer():
                self.agent.answer(instance, now)
            case Checkpoint():
                self.agent.save_checkpoint(instance, message)
            case ConversationEvent():
                self.agent.conversation(instance, message)
            case Hangup(reason=reason, detail=detail):
                self.agent.hangup(instance, reason, detail, now)
            case Move(heard_s=heard_s):
                self.agent.move_away(instance, heard_s, now)
            case Transfer() | Control():
                self.control.ask(instance, message, now)
            case _:
                self.state.log.debug(
                    "instance {}: {} has no meaning here", instance.instance_id, message.type
                )

    def on_frame_tick(self, now: float) -> None:
        """Send the caller what is due: called every 20 ms while the call is `playing`."""
        self.state.ticked_at = now
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.media_path.on_frame_tick(now, self.agent.media)
        elif self.playing:
            self.media_path.on_frame_tick(now, None)

    def end(self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False) -> None:
        """End the call, once: later reasons do not count. Whatever fails meanwhile is logged, and the rest is done.

        Args:
            now: The time in seconds.
            reason: Why the call ends.
            detail: The same in a sentence for people.
            by_agent: Whether the agent knows of the end already, so that it is not told.
        """
        if self.phase is Phase.ENDED:
            return
        cancel = f"the call is over: {reason.value}"
        for step in (
            lambda: None if by_agent else self.agent.dismiss(reason, detail, cancel=cancel),
            lambda: self.control.abandon(reason, now),
            lambda: self.state.record(on=False),
            lambda: self.state.media_path.stop_cleaning(self.state.resources.cleaning),
            self.agent.let_go,
            self.state.media_path.backlog.forget,
        ):
            with self.state.attempted():
                step()
        self.state.enter(Phase.ENDED)
        self.reason, self.detail, self.ended_at = reason, detail, now
        self.state.deadlines.off()
        with self.state.attempted():
            self.leg.end(reason, detail)
        self.state.log.bind(reason=reason.value, instance_id=self.agent.assignment.last_instance_id).info(
            "gateway: call of agent {} ended: {} after {:.1f} s{}",
            self.info.agent_id or "(none)",
            reason.value,
            0.0 if self.answered_at is None else now - self.answered_at,
            f" ({detail})" if detail else "",
        )
        self.state.changed()

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
            losses=agent.losses.count,
            gaps=faults.gaps,
            worst_gap_s=faults.worst_gap_s,
            frames_dropped=self.leg.frames_dropped,
            caller_dropped_s=faults.caller_dropped_s,
            reason=self.reason,
            detail=self.detail,
            recorded=self.media_path.recorded,
            line=self._line(),
        )

    def _line(self) -> dict[str, Any]:
        """Return what is known of the caller's line; nothing if the leg fails, which is logged once."""
        try:
            return self.leg.line_quality() | self.media_path.sound_quality()
        except Exception:
            if not self._line_failed:
                self._line_failed = True
                self.state.log.exception("the line of a call could not be measured")
            return {}

    # ------------------------------------------------------------------ the caller

    def caller_audio(self, pcm: bytes) -> None:
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.media_path.caller_audio(pcm, self.agent.media)
        elif self.state.answered_at is not None and self.phase in (Phase.OFFERING, Phase.SETUP):
            self.media_path.caller_audio(pcm, None)  # which waits for the next instance

    def caller_dtmf(self, digits: str) -> None:
        digits = self.control.without_late_keys(digits)
        if not digits:
            return
        if self.control.prompts is not None:
            self.control.prompts.press(digits)
        elif self.media_path.bridge is not None:
            self.media_path.bridge.far.dtmf(digits)
        elif self.phase is Phase.LIVE and self.agent.media is not None:
            self.media_path.caller_keys(digits, self.agent.media)
        elif self.state.answered_at is not None and self.phase in (Phase.OFFERING, Phase.SETUP):
            self.media_path.caller_keys(digits, None)  # which wait for the next instance

    def caller_data(self, data: dict[str, Any]) -> None:
        if self.phase is Phase.LIVE and self.agent.media is not None:
            self.media_path.caller_message(data, self.agent.media)
        elif self.state.answered_at is not None and self.phase in (Phase.OFFERING, Phase.SETUP):
            self.media_path.caller_message(data, None)  # which waits for the next instance

    def caller_hangup(self, now: float, detail: str = "") -> None:
        if self.phase is Phase.BRIDGED:
            self.end(now, EndReason.TRANSFERRED, detail or "the caller hung up")
        else:
            self.end(now, EndReason.CALLER_HANGUP, detail)

    def callee_ringing(self, now: float) -> None:
        """Do nothing, because nothing depends on the ringing of a person whom the gateway called."""

    def callee_answered(self, now: float) -> None:
        """Ask an agent, because somebody picked up; a call without one begins."""
        if self.phase is not Phase.DIALLING:
            return
        if self.options.with_agent:
            self.agent.ask_next(now)
        else:
            self._go_live(now)

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        """End the call, because nobody picked up."""
        self.end(now, DIAL_ENDS[why], detail)

    # ------------------------------------------------------------------ the agent's side

    def _go_live(self, now: float) -> None:
        """Let audio flow, because the bot can hear and speak, or there is none."""
        with self.state.contained(now):
            self._let_audio_flow(now)

    def _let_audio_flow(self, now: float) -> None:
        state = self.state
        state.enter(Phase.LIVE)
        state.deadlines.off("phase")
        if state.answered_at is None:
            state.answered_at = now
            state.deadlines.set("duration", now + self._max_duration_s, self._too_long)
            state.leg.answer()
            state.record(on=state.resources.record if self.options.record is None else self.options.record)
            state.clean(self.options.clean_sound)
            self.options.on_answer()
        state.changed()
        if self.agent.media is not None:
            state.media_path.catch_up(self.agent.media)
        self.control.catch_up(now)

    def _too_long(self, now: float) -> None:
        self.end(now, EndReason.MAX_DURATION, f"the limit of {self._max_duration_s:g} s was reached")

    @property
    def _max_duration_s(self) -> float:
        own, limit = self.options.max_duration_s, self.state.resources.limits.max_duration_s
        return limit if own is None else min(own, limit)


class PlaceCall(Protocol):
    """Places a call with the switchboard."""

    def __call__(self, info: CallInfo, leg: Leg, options: CallOptions | None = None) -> GatewayCall: ...
