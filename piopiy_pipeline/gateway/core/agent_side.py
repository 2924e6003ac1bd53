"""The agent's side of one call: what the instance says, its media stream, and the change to another instance.

A call has a caller's side, which stays, and an agent's side, which may be with several instances one after another.
What an instance says counts only while it has the call: `AgentAssignment` knows which one that is.
No I/O. Its tests are those of the switchboard (`tests/gateway/core/test_switchboard.py`, `test_lost_agents.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import AgentAssignment
from piopiy_pipeline.gateway.core.call_offer import CallOffer, MediaPort
from piopiy_pipeline.gateway.core.early_requests import EarlyRequests
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState
from piopiy_pipeline.gateway.core.handover import Handover
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.stranded_call import StrandedCall
from piopiy_pipeline.gateway.core.suspect_call import SuspectCall
from piopiy_pipeline.signaling.messages import (
    Cancel,
    Checkpoint,
    CheckpointKept,
    Control,
    ConversationEvent,
    DataMessage,
    Dtmf,
    GatewayMessage,
    Reject,
)

__all__ = ["AgentSide"]

MEDIA_GRACE_S = 1.0
"""A hangup comes on another socket than the audio. It may come so many seconds after the audio's end."""
DIALLED_OFFER_S = 2.0
"""How long an instance may take to accept a call that somebody has picked up already, at least."""


class AgentSide:
    """Handles what happens between one call and its agent. It is the `MediaListener` of the agent's media stream.

    Every `now` is in seconds, of one clock.

    Args:
        call: The call's state.
        on_live: Called with the time when the bot can hear and speak.
        on_moved: Called with the time when another instance has the call, which has moved to it.
    """

    def __init__(
        self, call: GatewayCallState, *, on_live: Callable[[float], None], on_moved: Callable[[float], None]
    ) -> None:
        self.assignment = AgentAssignment(call.info, call.resources.instances, call.resources.summoner)
        self._handover = Handover(call, self.assignment, on_ready=self._hand_over)
        self.suspect = SuspectCall(call, self.assignment, ask=self.ask_next, move=self._move, end=self._end)
        self._call = call
        self._limits = call.resources.limits
        self._on_live = on_live
        self._on_moved = on_moved
        self.stranded = StrandedCall(
            call,
            self.assignment,
            self._handover,
            withdraw=self._withdraw,
            ask=self.ask_next,
            move=self._move,
            end=self._end,
        )

    # ------------------------------------------------------------------ the call's side

    @property
    def media(self) -> MediaPort | None:
        """The media stream of the instance that has the call, if it has opened one."""
        return self.assignment.media

    def serves(self, instance: Instance) -> bool:
        """Return whether this instance has the call, or was offered it."""
        return self.assignment.offered_to(instance)

    def confirmed_to(self, instance: Instance) -> bool:
        """Return whether this instance has the call: what it says of one that it is offered again does not count."""
        return self._call.confirmed and self.serves(instance)

    def early_requests(self, who: Instance | MediaPort) -> EarlyRequests | None:
        """Return where what this instance or its media stream asks for waits for the call to be live with it, if so."""
        early, offer = self._handover.early_requests(who), self.assignment.offer
        if early is None and offer is not None and who in (offer.instance, offer.media):
            early = offer.early if self._call.phase is Phase.SETUP else None
        return early

    def send(self, message: GatewayMessage) -> None:
        """Send this to the instance that has the call, if one has it."""
        offer = self.assignment.offer
        if offer is not None and self._call.confirmed:
            offer.instance.link.send(message)

    def send_hold(self) -> None:
        """Tell the instance whether the caller is on hold; one that has taken the call over is told, too."""
        self.send(Control(call_id=self._call.call_id, what="hold", on=self._call.media_path.held))

    def dismiss(self, reason: EndReason, detail: str, *, cancel: str) -> None:
        """Tell the instance that the call is over for it, or that its offer is withdrawn.

        Args:
            reason: Why the call is over.
            detail: The same in a sentence.
            cancel: Why an offer that is not accepted yet is withdrawn.
        """
        self._handover.give_up(detail or f"the call is over: {reason.value}")
        offer = self.assignment.offer
        if offer is None:
            return
        if self._call.phase is Phase.OFFERING:
            offer.cancel(cancel)
        else:
            offer.ended(reason, detail)

    def let_go(self) -> None:
        """Release the instance, because the call needs no agent any more."""
        self._handover.give_up("the call needs no agent any more")
        self._release()
        self._call.resources.waiting.discard(self._call.info.agent_id, self)
        self.suspect.forget()
        self._call.resources.summoner.forget(self._call.call_id)
        self.assignment.checkpoint = None
        self.assignment.note_heard("")

    # ------------------------------------------------------------------ the agent's signaling

    def accept(self, instance: Instance, offer_id: str, now: float) -> None:
        """Handle an instance that takes the call: confirmed if the offer is current and its media stream is open."""
        if self._handover.accept(instance, offer_id, now):
            return
        offer = self.assignment.outstanding(instance, offer_id)
        if offer is None:
            detail = "the accept came too late"
            instance.link.send(Cancel(call_id=self._call.call_id, offer_id=offer_id, detail=detail))
        elif self._call.phase is not Phase.OFFERING:
            self._call.log.debug("instance {} accepted twice", instance.instance_id)
        elif not offer.media_open:
            self._withdraw("accepted without an open media stream: open it first")
            self.ask_next(now)
        else:
            offer.confirm(now)
            self._confirmed(now)

    def _confirmed(self, now: float) -> None:
        self._call.enter(Phase.SETUP)
        self.assignment.found()
        self._call.deadlines.set("phase", now + self._limits.setup_s, self._not_ready)
        if self._call.media_path.held:
            self.send_hold()
        self._call.changed()

    def reject(self, instance: Instance, message: Reject, now: float) -> None:
        """Handle an instance that does not take the call."""
        why = f"{message.reason} {message.detail}".strip()
        if self._handover.failed(instance, why, now, offer_id=message.offer_id):
            return
        offer = self.assignment.outstanding(instance, message.offer_id)
        if self._call.phase is Phase.OFFERING and offer is not None:
            self._call.log.debug("instance {} rejected the call: {}", instance.instance_id, why)
            if message.reason != "error":
                self.assignment.note_full()
            self._release()
            self.ask_next(now)

    def answer(self, instance: Instance, now: float) -> None:
        """Handle an instance that can hear and speak now."""
        if self._handover.answer(instance, now):
            return
        offer = self.assignment.offer
        if self._call.phase is Phase.SETUP and offer is not None and offer.instance is instance:
            offer.answered(now)
            self._go_live(now)

    def hangup(self, instance: Instance, reason: EndReason, detail: str, now: float) -> None:
        """Handle an instance that ends the call. With the reason `shutdown` it gives the call back to another."""
        if self._handover.failed(instance, detail or reason.value, now) or not self.confirmed_to(instance):
            return
        if reason is EndReason.SHUTDOWN and self.assignment.may_move():
            self._elsewhere(now, reason, detail)
        elif self._call.phase is Phase.SETUP and reason is EndReason.ERROR:
            self._retry(now, detail)
        else:
            self._call.end(now, reason, detail, by_agent=True)

    def move_away(self, instance: Instance, heard_s: float | None, now: float) -> None:
        """Have another instance get ready for the call, because this one drains. Until then the call stays."""
        if self._call.phase is Phase.LIVE and self.confirmed_to(instance):
            self._handover.begin(heard_s, now)

    def save_checkpoint(self, instance: Instance, checkpoint: Checkpoint) -> None:
        """Keep what another instance would need to continue the call, and confirm it if it has a number."""
        self._handover.save_checkpoint(instance, checkpoint)
        if self.confirmed_to(instance):
            self.assignment.checkpoint = checkpoint.state
            self._handover.checkpoint_came()
            self._call.resources.on_checkpoint(self._call.call_id, checkpoint.state)
            if checkpoint.number is not None:
                self.send(CheckpointKept(call_id=self._call.call_id, number=checkpoint.number))

    def conversation(self, instance: Instance, event: ConversationEvent) -> None:
        """Report an event of the conversation to the leg and to the subscribers."""
        if self.confirmed_to(instance):
            if event.event in ("bot_partial", "bot_turn"):  # a whole turn is in the next checkpoint
                partial = event.event == "bot_partial"
                self.assignment.note_heard(str(event.data.get("text", "")) if partial else "")
            elif event.event == "user_turn":
                self._call.media_path.backlog.understood()
            timed = self.assignment.in_the_calls_time(event, self._call.answered_at)
            self._call.leg.conversation(timed)
            self._call.publish(timed)

    def instance_lost(self, instance: Instance, now: float, *, alone: bool | None) -> None:
        """Handle the loss of the instance's connection. `alone`: it was the only call there; None: it is back."""
        lost = "the connection to the agent was lost"
        if self._handover.failed(instance, lost, now) or not self.serves(instance):
            return
        if self._call.phase is Phase.OFFERING:
            self._release()
            self.ask_next(now)
        else:
            self.assignment.suspicion.lost(instance, alone=alone, now=now)
            self._recover(now, lost, tell=False, alone=alone)

    # ------------------------------------------------------------------ the agent's media stream

    def redeem(self, token: str) -> bool:
        """Return whether this token opens the media stream. It does so once, and only for the current offer."""
        if self._handover.under_way:
            return self._handover.redeem(token)
        offer = self.assignment.offer
        return self._call.phase is Phase.OFFERING and offer is not None and offer.redeem(token)

    def media_opened(self, media: MediaPort) -> None:
        """Take the stream whose token was redeemed just now."""
        offer = self.assignment.offer
        if self._handover.under_way:
            self._handover.media_opened(media)
        elif offer is not None:
            offer.media, offer.media_open = media, True

    def media_started(self, media: MediaPort, now: float) -> None:
        """Handle that the agent has said its sample rates."""
        if not self._handover.media_started(media, now) and self.assignment.carried_by(media):
            self._go_live(now)

    def media_lost(self, media: MediaPort, now: float) -> None:
        """Handle the loss of the stream's connection. A hangup on the other one may still be on its way."""
        lost = self._handover.media_failed(media, "its media stream was lost", now)
        if lost or not self.assignment.carried_by(media):
            return
        if self._call.phase is Phase.OFFERING and self.assignment.offer:
            self.assignment.offer.media_open = False  # an accept that comes now is refused
        else:
            self._call.deadlines.set("media", now + MEDIA_GRACE_S, self._media_missing)
            self._call.changed()

    def media_fault(self, media: MediaPort, now: float, detail: str) -> None:
        """Handle that the agent sent what the media protocol forbids."""
        offer = self.assignment.offer
        detail = f"media stream: {detail}"
        if self._handover.media_failed(media, detail, now) or offer is None or offer.media is not media:
            return
        if self._call.phase is Phase.OFFERING:
            self._withdraw(detail)
            self.ask_next(now)
        elif self._call.phase is Phase.SETUP:
            offer.ended(EndReason.ERROR, detail)
            self._retry(now, detail)
        else:
            self._end(now, EndReason.ERROR, detail)

    def bot_cleared(self, media: MediaPort) -> None:
        """Handle an interruption of the bot: what a carrier has buffered must not be heard either."""
        heard = self._call.phase is Phase.LIVE and not self._call.media_path.held
        if heard and self.assignment.carried_by(media):
            with self._call.contained(self._call.ticked_at):
                self._call.leg.clear()

    def bot_dtmf(self, media: MediaPort, digits: str) -> None:
        """Send the bot's keys to the caller."""
        self._to_caller(media, Dtmf(digits=digits), lambda: self._call.leg.dtmf(digits))

    def bot_data(self, media: MediaPort, data: dict[str, Any]) -> None:
        """Send a message of the bot to the caller's application."""
        self._to_caller(media, DataMessage(data=data), lambda: self._call.leg.data(data))

    def _to_caller(self, media: MediaPort, request: Dtmf | DataMessage, send: Callable[[], None]) -> None:
        if self._call.phase is Phase.LIVE and self.assignment.carried_by(media):
            with self._call.contained(self._call.ticked_at):
                send()
        elif (early := self.early_requests(media)) is not None:
            early.keep(request)

    # ------------------------------------------------------------------ from one instance to the next

    def ask_next(self, now: float) -> None:
        """Offer the call to the next instance. With nobody left to ask, it waits for somebody, or ends."""
        limits, waiting = self._limits, self._call.resources.waiting
        # Whoever was called and picked up is not to be hung up on because an agent was busy for a moment.
        offer_s = max(limits.offer_s, DIALLED_OFFER_S) if self._call.dialled else limits.offer_s
        if self.assignment.offer_next(
            now, caller_rate=self._call.leg.rate, offer_s=offer_s, setup_s=limits.setup_s
        ):
            waiting.discard(self._call.info.agent_id, self)
            wake_at, act = now + offer_s, self._offer_expired
        else:
            again_at = self.assignment.ask_again_at(now, patient=self._call.served_beside())
            if again_at is None:
                self._call.end(now, *self.assignment.why_nobody())
                return
            waiting.add(self._call.info.agent_id, self)
            wake_at, act = again_at, self._ask_again
        self._call.enter(Phase.OFFERING)
        self._call.deadlines.set("phase", wake_at, act)
        self._call.changed()

    def _ask_again(self, now: float) -> None:
        self.assignment.forget_refusals()
        self.ask_next(now)

    def _retry(self, now: float, detail: str) -> None:
        """Offer the call to another instance after a callback that failed before its answer, once."""
        if self.assignment.may_retry():
            self._elsewhere(now, EndReason.ERROR, detail)
        else:
            self._end(now, EndReason.ERROR, detail, by_agent=True)

    def _recover(self, now: float, detail: str, *, tell: bool, alone: bool | None) -> None:
        """Ask another instance after an agent was lost with the call. The caller stays on the line meanwhile."""
        self._put_on_record(now)
        if self.stranded.place:
            detail = f"its code blocked the agent at {self.stranded.place}, and {detail}"
            self._end(now, EndReason.ERROR, detail, by_agent=not tell)
        elif culprit := self.assignment.suspicion.culprit:
            self._end(now, EndReason.ERROR, culprit, by_agent=not tell)
        elif not self.assignment.may_recover(now, alone=alone):
            after = f"{detail}, after {self.assignment.losses.count} others"
            self._end(now, EndReason.AGENT_LOST, after, by_agent=not tell)
        elif tell:
            self._move(now, detail)
        else:
            self._elsewhere(now, EndReason.AGENT_LOST, detail)

    def _end(self, now: float, reason: EndReason, detail: str = "", *, by_agent: bool = False) -> None:
        """End the call, which no other agent is to have; but not while a transfer or prompts serve its caller."""
        if not self._call.served_beside():
            self._call.end(now, reason, detail, by_agent=by_agent)
            return
        self.assignment.barred = reason, detail
        if not by_agent:
            self.dismiss(reason, detail, cancel=detail)
        self._handover.give_up(detail)
        if self._call.phase is Phase.OFFERING:
            self._release()
            self.ask_next(now)
        else:
            self._elsewhere(now, reason, detail)

    def _move(self, now: float, detail: str) -> None:
        """Take the call from an instance that is told so, and ask another one."""
        if self.assignment.offer is not None:
            self.assignment.offer.moved(detail)
        self._elsewhere(now, EndReason.AGENT_LOST, detail)

    def _put_on_record(self, now: float) -> None:
        """Publish the turn that its agent cannot tell of any more, as far as the caller has heard it."""
        if text := self.assignment.take_unrecorded():
            turn = {"text": text, "interrupted": True}
            with self._call.attempted():
                self._call.leg.cut_off(self._call.publish_own("bot_turn", turn, now))

    def _elsewhere(self, now: float, reason: EndReason, detail: str) -> None:
        self._put_on_record(now)
        log = self._call.log.info if reason is EndReason.SHUTDOWN else self._call.log.warning
        instance_id = self.assignment.last_instance_id
        log("call {}: {} on instance {}", self._call.call_id, detail or reason.value, instance_id)
        accepted, next_offer = self._handover.accepted, self._handover.take()
        self._call.media_path.backlog.change(None)
        self.assignment.begin_again(reason, detail, now)
        self._release()
        if next_offer is None:
            self.ask_next(now)
            return
        self.assignment.succeed(next_offer)  # somebody gets ready for it already
        self._call.enter(Phase.OFFERING)
        if accepted:
            self._confirmed(now)
        else:
            self._call.deadlines.set("phase", now + self._limits.offer_s, self._offer_expired)
            self._call.changed()

    def _hand_over(self, offer: CallOffer, now: float) -> None:
        """Give a live call to the instance that is ready for it, and tell the one before."""
        if self.assignment.offer is not None:
            self.assignment.offer.moved("drained")
        self._handover.take()
        self._release()
        self.assignment.succeed(offer)
        self.assignment.found()
        if self._call.media_path.held:
            self.send_hold()
        self._call.media_path.backlog.change(offer.media)
        self._call.changed()
        self._on_moved(now)

    def _go_live(self, now: float) -> None:
        offer = self.assignment.offer
        if self._call.phase is not Phase.SETUP or offer is None or not offer.ready:
            return
        if offer.media is not None and offer.media.started:
            self._on_live(now)

    # ------------------------------------------------------------------ deadlines

    def _offer_expired(self, now: float) -> None:
        self.assignment.note_full()  # its loop was late, which may be over when the call asks again
        self._withdraw("the offer's deadline passed")
        self.ask_next(now)

    def _not_ready(self, now: float) -> None:
        why = f"; its code blocks it at {self.stranded.place}" if self.stranded.place else ""
        detail = f"the agent was not ready within {self._limits.setup_s:g} s{why}"
        if self._call.served_beside():
            self._move(now, detail)
        else:
            self._call.end(now, EndReason.SETUP_TIMEOUT, detail)

    def _media_missing(self, now: float) -> None:
        self._recover(now, "the media stream was lost", tell=True, alone=True)

    def _withdraw(self, detail: str) -> None:
        if self.assignment.offer is not None:
            self.assignment.offer.cancel(detail)
        self._release()

    def _release(self) -> None:
        """Take the call from the instance that has it or was offered it."""
        self.stranded.unblocked()
        self._call.deadlines.off("phase", "media")
        self.assignment.release()
