"""One call at the gateway: from the caller's first ring to the one reason for which it ended. No I/O.

    OFFERING --accept--> SETUP --answer, media started--> LIVE --> ENDED
        ^  |reject, expiry   |callback failed, agent lost     |agent lost
        |__|_________________|________________________________|

The caller's leg stays through all of it; agents come and go. At any time one instance at most has
the call: an offer is withdrawn before the next is made, and an accept counts only for the offer
that is outstanding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.attempts import Attempt, MediaPort
from piopiy_pipeline.gateway.instances import Instance, Instances
from piopiy_pipeline.gateway.legs.base import Leg
from piopiy_pipeline.gateway.snapshots import CallSnapshot, Phase
from piopiy_pipeline.signaling.messages import Cancel, ConversationEvent

__all__ = ["CallHost", "CallLimits", "GatewayCall"]

MEDIA_GRACE_S = 1.0
"""A hangup travels on another socket than the audio: so long it may come after the audio's end."""
MAX_RECOVERIES = 3
"""A call that has lost this many agents is more likely their cause than their victim."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long things may take, in seconds: see `GatewayConfig`."""

    offer_s: float
    setup_s: float
    max_duration_s: float


class CallHost(Protocol):
    """What a call needs of the switchboard."""

    instances: Instances
    limits: CallLimits

    def call_changed(self, call: GatewayCall) -> None:
        """The phase or a deadline of the call is another now."""

    def call_told(self, call: GatewayCall, number: int, event: ConversationEvent) -> None:
        """The agent told something that happened in the conversation: the call's event of this number."""


class GatewayCall:
    """See the module. Implements `LegListener` for its leg and `MediaListener` for its media stream.

    Every `now` is in seconds, of one clock.
    """

    def __init__(self, *, info: CallInfo, leg: Leg, host: CallHost, now: float) -> None:
        self.info = info
        self.leg = leg
        self.phase = Phase.OFFERING
        self.placed_at = now
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.reason: EndReason | None = None
        self.detail = ""
        self.checkpoint: dict[str, Any] | None = None
        self.log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)
        self._host = host
        self._attempt: Attempt | None = None
        self._tried: set[Instance] = set()
        self._offers = 0
        self._retried = False
        self._recoveries = 0
        self._failure: tuple[EndReason, str] | None = None  # why another instance is being looked for
        self._phase_deadline: float | None = None
        self._media_deadline: float | None = None
        self._duration_deadline: float | None = None
        self._gaps = 0
        self._worst_gap_s = 0.0
        self._caller_dropped_s = 0.0
        self._last_instance_id: str | None = None
        self._events = 0

    # ------------------------------------------------------------------ the switchboard's side

    @property
    def call_id(self) -> str:
        return self.info.call_id

    @property
    def wake_at(self) -> float | None:
        """When `tick` wants to be called next."""
        deadlines = (self._phase_deadline, self._media_deadline, self._duration_deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def place(self, now: float) -> None:
        """Ring, and ask the first instance."""
        self.leg.ring(self.call_id)
        self._ask_next(now)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        if self.phase is Phase.ENDED:
            return
        if self._duration_deadline is not None and now >= self._duration_deadline:
            limit = self._host.limits.max_duration_s
            self.end(now, EndReason.MAX_DURATION, f"the limit of {limit:g} s was reached")
        elif self._media_deadline is not None and now >= self._media_deadline:
            self._recover(now, "the media stream was lost", tell=True)
        elif self._phase_deadline is not None and now >= self._phase_deadline:
            if self.phase is Phase.OFFERING:
                self._withdraw("the offer's deadline passed")
                self._ask_next(now)
            else:
                limit = self._host.limits.setup_s
                self.end(now, EndReason.SETUP_TIMEOUT, f"the agent was not ready within {limit:g} s")

    def play(self, now: float) -> None:
        """Send the caller what is due."""
        if self.phase is Phase.LIVE and self._attempt and self._attempt.media:
            for frame in self._attempt.media.play(now):
                self.leg.send(frame)

    def end(self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False) -> None:
        """End the call, once: later reasons do not count."""
        if self.phase is Phase.ENDED:
            return
        if self._attempt is not None and not by_agent:
            if self.phase is Phase.OFFERING:
                self._attempt.cancel(f"the call is over: {reason.value}")
            else:
                self._attempt.ended(reason, detail)
        self._release()
        self.phase, self.reason, self.detail, self.ended_at = Phase.ENDED, reason, detail, now
        self._phase_deadline = self._media_deadline = self._duration_deadline = None
        self.checkpoint = None
        self.leg.end(reason, detail)
        self.log.bind(reason=reason.value, instance_id=self._last_instance_id).info(
            "gateway: call of agent {} ended: {} after {:.1f} s{}",
            self.info.agent_id,
            reason.value,
            0.0 if self.answered_at is None else now - self.answered_at,
            f" ({detail})" if detail else "",
        )
        self._host.call_changed(self)

    def snapshot(self) -> CallSnapshot:
        media = self._attempt.media if self._attempt else None
        return CallSnapshot(
            call_id=self.call_id,
            agent_id=self.info.agent_id,
            instance_id=self._last_instance_id,
            kind=self.info.kind,
            from_number=self.info.from_number,
            to_number=self.info.to_number,
            metadata=self.info.metadata,
            phase=self.phase,
            placed_at=self.placed_at,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            offers=self._offers,
            recoveries=self._recoveries,
            gaps=self._gaps + (media.gaps if media else 0),
            worst_gap_s=max(self._worst_gap_s, media.worst_gap_s if media else 0.0),
            frames_dropped=self.leg.frames_dropped,
            caller_dropped_s=self._caller_dropped_s + (media.caller_dropped_s if media else 0.0),
            reason=self.reason,
            detail=self.detail,
        )

    # ------------------------------------------------------------------ the agent's signaling

    def accept(self, instance: Instance, offer_id: str, now: float) -> None:
        """The instance takes the call: confirmed if this is the outstanding offer and its media is open."""
        attempt = self._attempt
        if attempt is None or attempt.instance is not instance or attempt.offer_id != offer_id:
            detail = "the accept came too late"
            instance.link.send(Cancel(call_id=self.call_id, offer_id=offer_id, detail=detail))
        elif self.phase is not Phase.OFFERING:
            self.log.debug("instance {} accepted twice", instance.instance_id)
        elif not attempt.media_open:
            self._withdraw("accepted without an open media stream: open it first")
            self._ask_next(now)
        else:
            self.phase = Phase.SETUP
            self._last_instance_id = instance.instance_id
            self._phase_deadline = now + self._host.limits.setup_s
            attempt.confirm()
            self._host.call_changed(self)

    def reject(self, instance: Instance, offer_id: str, detail: str, now: float) -> None:
        """The instance does not take the call."""
        attempt = self._attempt
        if (
            self.phase is Phase.OFFERING
            and attempt
            and attempt.instance is instance
            and attempt.offer_id == offer_id
        ):
            self.log.debug("instance {} rejected the call: {}", instance.instance_id, detail)
            self._release()
            self._ask_next(now)

    def answer(self, instance: Instance, now: float) -> None:
        """The instance can hear and speak."""
        if self.phase is Phase.SETUP and self._attempt and self._attempt.instance is instance:
            self._attempt.ready = True
            self._go_live(now)

    def hangup(self, instance: Instance, reason: EndReason, detail: str, now: float) -> None:
        """The instance ends the call."""
        if not self._has(instance):
            return
        if self.phase is Phase.OFFERING:
            self._release()
            self._ask_next(now)
        elif self.phase is Phase.SETUP and reason is EndReason.ERROR:
            self._retry(now, detail)
        else:
            self.end(now, reason, detail, by_agent=True)

    def keep(self, instance: Instance, checkpoint: dict[str, Any]) -> None:
        """What another instance would need to go on."""
        if self.phase in (Phase.SETUP, Phase.LIVE) and self._has(instance):
            self.checkpoint = checkpoint

    def conversation(self, instance: Instance, event: ConversationEvent) -> None:
        """For whoever watches the call."""
        if self.phase in (Phase.SETUP, Phase.LIVE) and self._has(instance):
            self.leg.conversation(event)
            self._events += 1
            self._host.call_told(self, self._events, event)

    def instance_lost(self, instance: Instance, now: float) -> None:
        """The instance's connection is gone."""
        if not self._has(instance):
            return
        if self.phase is Phase.OFFERING:
            self._release()
            self._ask_next(now)
        else:
            self._recover(now, "the connection to the agent was lost", tell=False)

    # ------------------------------------------------------------------ the agent's media stream

    def redeem(self, token: str) -> bool:
        """Whether this token opens the media stream. It does once, and only for the outstanding offer."""
        return self.phase is Phase.OFFERING and self._attempt is not None and self._attempt.redeem(token)

    def media_opened(self, media: MediaPort) -> None:
        """The stream whose token was redeemed just now."""
        if self._attempt is not None:
            self._attempt.media, self._attempt.media_open = media, True

    def media_started(self, media: MediaPort, now: float) -> None:
        """The agent told its rates."""
        if self._carries(media):
            self._go_live(now)

    def media_lost(self, media: MediaPort, now: float) -> None:
        """The stream's connection is gone. A hangup on the other socket may still be on its way."""
        if not self._carries(media):
            return
        if self.phase is Phase.OFFERING and self._attempt:
            self._attempt.media_open = False  # an accept that comes now is refused
        else:
            self._media_deadline = now + MEDIA_GRACE_S
            self._host.call_changed(self)

    def media_fault(self, media: MediaPort, now: float, detail: str) -> None:
        """The agent sent what the media protocol forbids."""
        attempt = self._attempt
        if attempt is None or attempt.media is not media:
            return
        detail = f"media stream: {detail}"
        if self.phase is Phase.OFFERING:
            self._withdraw(detail)
            self._ask_next(now)
        elif self.phase is Phase.SETUP:
            attempt.ended(EndReason.ERROR, detail)
            self._retry(now, detail)
        else:
            self.end(now, EndReason.ERROR, detail)

    def bot_dtmf(self, media: MediaPort, digits: str) -> None:
        """The bot presses keys."""
        if self.phase is Phase.LIVE and self._carries(media):
            self.leg.dtmf(digits)

    def bot_data(self, media: MediaPort, data: dict[str, Any]) -> None:
        """The bot sends the caller's application a message."""
        if self.phase is Phase.LIVE and self._carries(media):
            self.leg.data(data)

    # ------------------------------------------------------------------ the caller

    def caller_audio(self, pcm: bytes) -> None:
        if self.phase is Phase.LIVE and self._attempt and self._attempt.media:
            self._attempt.media.caller_audio(pcm)

    def caller_dtmf(self, digits: str) -> None:
        if self.phase is Phase.LIVE and self._attempt and self._attempt.media:
            self._attempt.media.dtmf(digits)

    def caller_data(self, data: dict[str, Any]) -> None:
        if self.phase is Phase.LIVE and self._attempt and self._attempt.media:
            self._attempt.media.data(data)

    def caller_hangup(self, now: float, detail: str = "") -> None:
        self.end(now, EndReason.CALLER_HANGUP, detail)

    # ------------------------------------------------------------------ between agents

    def _ask_next(self, now: float) -> None:
        instance = self._host.instances.pick(self.info.agent_id, without=self._tried)
        if instance is None:
            self.end(now, *self._why_nobody())
            return
        self._tried.add(instance)
        self._offers += 1
        self._attempt = Attempt(self.call_id, instance)
        self.phase = Phase.OFFERING
        limits = self._host.limits
        self._phase_deadline = now + limits.offer_s
        self._attempt.offer(
            self.info,
            caller_rate=self.leg.rate,
            offer_s=limits.offer_s,
            setup_s=limits.setup_s,
            checkpoint=self.checkpoint,
        )
        self._host.call_changed(self)

    def _why_nobody(self) -> tuple[EndReason, str]:
        if self._failure is not None:
            return self._failure
        agent_id = self.info.agent_id
        connected = self._host.instances.of(agent_id)
        if not connected:
            return EndReason.NO_AGENT, f"no instance of agent {agent_id!r} is connected"
        return EndReason.BUSY, f"instances connected: {len(connected)}, and none took the call"

    def _retry(self, now: float, detail: str) -> None:
        """A callback failed before its answer: elsewhere, once."""
        if self._retried:
            self.end(now, EndReason.ERROR, detail, by_agent=True)
            return
        self._retried = True
        self._elsewhere(now, EndReason.ERROR, detail)

    def _recover(self, now: float, detail: str, *, tell: bool) -> None:
        """An agent was lost with the call: the caller stays on the line while another is asked."""
        if tell and self._attempt is not None:
            self._attempt.ended(EndReason.AGENT_LOST, detail)
        if self._recoveries >= MAX_RECOVERIES:
            self.end(now, EndReason.AGENT_LOST, f"{detail}, after {self._recoveries} others", by_agent=True)
            return
        self._recoveries += 1
        self._elsewhere(now, EndReason.AGENT_LOST, detail)

    def _elsewhere(self, now: float, reason: EndReason, detail: str) -> None:
        instance = self._attempt.instance if self._attempt else None
        self.log.warning("call {}: {} on instance {}", self.call_id, detail, self._last_instance_id)
        self._failure = (reason, detail)
        self._tried = {instance} if instance else set()
        self._release()
        self._ask_next(now)

    def _go_live(self, now: float) -> None:
        attempt = self._attempt
        if self.phase is not Phase.SETUP or attempt is None or not attempt.ready:
            return
        if attempt.media is None or not attempt.media.started:
            return
        self.phase = Phase.LIVE
        self._phase_deadline = None
        if self.answered_at is None:
            self.answered_at = now
            self._duration_deadline = now + self._host.limits.max_duration_s
            self.leg.answer()
        self._host.call_changed(self)

    def _has(self, instance: Instance) -> bool:
        return self._attempt is not None and self._attempt.instance is instance

    def _carries(self, media: MediaPort) -> bool:
        return self._attempt is not None and self._attempt.media is media

    def _withdraw(self, detail: str) -> None:
        if self._attempt is not None:
            self._attempt.cancel(detail)
        self._release()

    def _release(self) -> None:
        """The instance that has the call, or was offered it, has it no more."""
        attempt, self._attempt = self._attempt, None
        self._phase_deadline = self._media_deadline = None
        if attempt is not None:
            if attempt.media is not None:
                self._gaps += attempt.media.gaps
                self._worst_gap_s = max(self._worst_gap_s, attempt.media.worst_gap_s)
                self._caller_dropped_s += attempt.media.caller_dropped_s
            attempt.release()
