"""One call at the gateway: from the caller's first ring to the one reason for which it ended. No I/O.

    DIALLING
        |picked up
    OFFERING --accept--> SETUP --answer, media started--> LIVE --transfer--> BRIDGED --> ENDED
        ^  |reject, expiry   |callback failed, agent lost     |agent lost
        |__|_________________|________________________________|

A call that comes in begins with OFFERING, one that goes out with DIALLING; ENDED may follow on anything.

The caller's leg stays through all of it; agents come and go. At any time one instance at most has
the call: an offer is withdrawn before the next is made, and an accept counts only for the offer
that is outstanding.
"""

from __future__ import annotations

from typing import Any, Literal

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.call_control import GatewayCallControl
from piopiy_pipeline.gateway.core.call_offer import CallOffer, MediaFaults, MediaPort
from piopiy_pipeline.gateway.core.call_terms import CallHost, CallOptions
from piopiy_pipeline.gateway.core.deadlines import Deadlines
from piopiy_pipeline.gateway.core.dialling import DIAL_ENDS, DialFailure, DialledLeg
from piopiy_pipeline.gateway.core.instance_search import InstanceSearch
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.core.media_path import MediaPath
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.signaling.messages import (
    Cancel,
    ConversationEvent,
    ConversationEventName,
    GatewayMessage,
)

__all__ = ["GatewayCall"]

MEDIA_GRACE_S = 1.0
"""A hangup travels on another socket than the audio: so long it may come after the audio's end."""
DIALLED_OFFER_S = 2.0
"""How long an instance may take to accept a call that somebody has picked up already, at least."""


class GatewayCall:
    """See the module. Implements `LegListener` for its leg and `MediaListener` for its media stream.

    Every `now` is in seconds, of one clock.
    """

    def __init__(
        self,
        *,
        info: CallInfo,
        host: CallHost,
        now: float,
        leg: Leg,
        options: CallOptions | None = None,
    ) -> None:
        self.info = info
        self.leg = leg
        self.sound = MediaPath(leg)
        self.control = GatewayCallControl(self, host.dialler)
        self.options = options or CallOptions()
        self._dialled = False
        self.phase = Phase.OFFERING
        self.placed_at = now
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.reason: EndReason | None = None
        self.detail = ""
        self.checkpoint: dict[str, Any] | None = None
        self.log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)
        self._host = host
        self._attempt: CallOffer | None = None
        self._search = InstanceSearch(info.agent_id, host.instances)
        self._alarms: Deadlines[Literal["phase", "media", "duration"]] = Deadlines()
        self._faults = MediaFaults()
        self._last_instance_id: str | None = None
        self._events = 0

    # ------------------------------------------------------------------ the switchboard's side

    @property
    def call_id(self) -> str:
        return self.info.call_id

    @property
    def wake_at(self) -> float | None:
        """When `tick` wants to be called next."""
        deadlines = (self._alarms.next_at, self.control.deadline)
        return min((at for at in deadlines if at is not None), default=None)

    def place(self, now: float) -> None:
        """Ring, and ask the first instance."""
        self.leg.ring(self.call_id)
        self._ask_next(now)

    def dial(self, leg: DialledLeg, ring_timeout_s: float, now: float) -> None:
        """Call somebody; an agent is asked when they pick up."""
        self.phase = Phase.DIALLING
        self._dialled = True
        detail = f"nobody answered within {ring_timeout_s:g} s"
        self._alarms.set(
            "phase", now + ring_timeout_s, lambda now: self.end(now, EndReason.NO_ANSWER, detail)
        )
        self._host.call_changed(self)
        leg.call(self)

    def tick(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        if self.phase is Phase.ENDED:
            return
        self.control.tick(now)
        self._alarms.tick(now)

    def play(self, now: float) -> None:
        """Send the caller what is due."""
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.sound.play(now, self._media)

    def end(self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False) -> None:
        """End the call, once: later reasons do not count."""
        if self.phase is Phase.ENDED:
            return
        if self._attempt is not None and not by_agent:
            if self.phase is Phase.OFFERING:
                self._attempt.cancel(f"the call is over: {reason.value}")
            else:
                self._attempt.ended(reason, detail)
        self.control.abandon(reason, now)
        self.record(on=False)
        self._release()
        self.phase, self.reason, self.detail, self.ended_at = Phase.ENDED, reason, detail, now
        self._alarms.off()
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
        faults = self._faults.plus(self._media)
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
            offers=self._search.offers,
            recoveries=self._search.recoveries,
            gaps=faults.gaps,
            worst_gap_s=faults.worst_gap_s,
            frames_dropped=self.leg.frames_dropped,
            caller_dropped_s=faults.caller_dropped_s,
            reason=self.reason,
            detail=self.detail,
            recorded=self.sound.recorded,
            line=self.leg.line_quality(),
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
            self._alarms.set("phase", now + self._host.limits.setup_s, self._not_ready)
            attempt.confirm()
            if self.sound.held:
                self.control.tell_of_hold()
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
        if not self.serves(instance):
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
        if self.phase in (Phase.SETUP, Phase.LIVE) and self.serves(instance):
            self.checkpoint = checkpoint

    def conversation(self, instance: Instance, event: ConversationEvent) -> None:
        """For whoever watches the call."""
        if self.phase in (Phase.SETUP, Phase.LIVE) and self.serves(instance):
            self.leg.conversation(event)
            self._events += 1
            self._host.call_told(self, self._events, event)

    def instance_lost(self, instance: Instance, now: float) -> None:
        """The instance's connection is gone."""
        if not self.serves(instance):
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
            self._alarms.set("media", now + MEDIA_GRACE_S, self._media_missing)
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

    def bot_cleared(self, media: MediaPort) -> None:
        """The bot was interrupted: also what a carrier has buffered of it is not to be heard."""
        if self.phase is Phase.LIVE and self._carries(media) and not self.sound.held:
            self.leg.clear()

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
        if self.phase is Phase.LIVE or self.phase is Phase.BRIDGED:
            self.sound.caller_audio(pcm, self._media)

    def caller_dtmf(self, digits: str) -> None:
        if self.sound.bridge is not None:
            self.sound.bridge.far.dtmf(digits)
        elif self.phase is Phase.LIVE and self._media is not None:
            self._media.dtmf(digits)

    def caller_data(self, data: dict[str, Any]) -> None:
        if self.phase is Phase.LIVE and self._media is not None:
            self._media.data(data)

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
            self._ask_next(now)

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        """Nobody did."""
        self.end(now, DIAL_ENDS[why], detail)

    # ------------------------------------------------------------------ what its control asks

    def record(self, *, on: bool) -> None:
        """Begin to record the call, or end that. Said twice, it is the same."""
        if on:
            self.sound.record(self._host.recordings, self.info)
        else:
            self.sound.stop_recording()

    def tell_agent(self, message: GatewayMessage) -> None:
        """Send this to the instance that has the call just now, if one has it."""
        if self._attempt is not None and self.phase in (Phase.SETUP, Phase.LIVE):
            self._attempt.instance.link.send(message)

    def changed(self) -> None:
        """A deadline of the control is another now."""
        self._host.call_changed(self)

    def tell(self, event: ConversationEventName, data: dict[str, Any], now: float) -> None:
        """Something happened that is the gateway's to tell: for whoever watches."""
        at = 0.0 if self.answered_at is None else now - self.answered_at
        self._events += 1
        told = ConversationEvent(call_id=self.call_id, at=at, event=event, data=data)
        self._host.call_told(self, self._events, told)

    def leave_agent(self, detail: str) -> None:
        """The caller is somebody else's now: the agent is told, and has the call no more."""
        if self._attempt is not None:
            if self.phase is Phase.OFFERING:
                self._attempt.cancel(detail)
            else:
                self._attempt.ended(EndReason.TRANSFERRED, detail)
        self._release()
        self.checkpoint = None
        self.phase = Phase.BRIDGED
        self._host.call_changed(self)

    # ------------------------------------------------------------------ deadlines

    def _offer_expired(self, now: float) -> None:
        self._withdraw("the offer's deadline passed")
        self._ask_next(now)

    def _not_ready(self, now: float) -> None:
        limit = self._host.limits.setup_s
        self.end(now, EndReason.SETUP_TIMEOUT, f"the agent was not ready within {limit:g} s")

    def _media_missing(self, now: float) -> None:
        self._recover(now, "the media stream was lost", tell=True)

    def _too_long(self, now: float) -> None:
        self.end(now, EndReason.MAX_DURATION, f"the limit of {self._max_duration_s:g} s was reached")

    # ------------------------------------------------------------------ between agents

    def _ask_next(self, now: float) -> None:
        instance = self._search.next()
        if instance is None:
            self.end(now, *self._search.why_nobody())
            return
        self._attempt = CallOffer(self.call_id, instance)
        self.phase = Phase.OFFERING
        limits = self._host.limits
        # Whoever was called and picked up is not to be hung up on because an agent was busy for a moment.
        offer_s = max(limits.offer_s, DIALLED_OFFER_S) if self._dialled else limits.offer_s
        self._alarms.set("phase", now + offer_s, self._offer_expired)
        self._attempt.offer(
            self.info,
            caller_rate=self.leg.rate,
            offer_s=offer_s,
            setup_s=limits.setup_s,
            checkpoint=self.checkpoint,
        )
        self._host.call_changed(self)

    def _retry(self, now: float, detail: str) -> None:
        """A callback failed before its answer: elsewhere, once."""
        if self._search.may_retry():
            self._elsewhere(now, EndReason.ERROR, detail)
        else:
            self.end(now, EndReason.ERROR, detail, by_agent=True)

    def _recover(self, now: float, detail: str, *, tell: bool) -> None:
        """An agent was lost with the call: the caller stays on the line while another is asked."""
        if tell and self._attempt is not None:
            self._attempt.ended(EndReason.AGENT_LOST, detail)
        if self._search.may_recover():
            self._elsewhere(now, EndReason.AGENT_LOST, detail)
        else:
            after = f"{detail}, after {self._search.recoveries} others"
            self.end(now, EndReason.AGENT_LOST, after, by_agent=True)

    def _elsewhere(self, now: float, reason: EndReason, detail: str) -> None:
        instance = self._attempt.instance if self._attempt else None
        self.log.warning("call {}: {} on instance {}", self.call_id, detail, self._last_instance_id)
        self._search.begin_again(instance, reason, detail)
        self._release()
        self._ask_next(now)

    def _go_live(self, now: float) -> None:
        attempt = self._attempt
        if self.phase is not Phase.SETUP or attempt is None or not attempt.ready:
            return
        if attempt.media is None or not attempt.media.started:
            return
        self.phase = Phase.LIVE
        self._alarms.off("phase")
        if self.answered_at is None:
            self.answered_at = now
            self._alarms.set("duration", now + self._max_duration_s, self._too_long)
            self.leg.answer()
            self.record(on=self._host.record if self.options.record is None else self.options.record)
        self._host.call_changed(self)

    @property
    def _max_duration_s(self) -> float:
        own = self.options.max_duration_s
        return self._host.limits.max_duration_s if own is None else min(own, self._host.limits.max_duration_s)

    def serves(self, instance: Instance) -> bool:
        """Whether this instance has the call, or was offered it."""
        return self._attempt is not None and self._attempt.instance is instance

    @property
    def _media(self) -> MediaPort | None:
        """The stream of the instance that has the call, if it has opened one."""
        return None if self._attempt is None else self._attempt.media

    def _carries(self, media: MediaPort) -> bool:
        return self._attempt is not None and self._attempt.media is media

    def _withdraw(self, detail: str) -> None:
        if self._attempt is not None:
            self._attempt.cancel(detail)
        self._release()

    def _release(self) -> None:
        """The instance that has the call, or was offered it, has it no more."""
        attempt, self._attempt = self._attempt, None
        self._alarms.off("phase", "media")
        if attempt is not None:
            self._faults = self._faults.plus(attempt.media)
            attempt.release()
