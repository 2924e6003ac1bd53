"""`Handover`: how a live call changes to another instance without the caller noticing. No I/O.

An agent that drains asks for it between two turns. It keeps the call, with its audio, while another instance is offered
the call with the checkpoint, and sets up its pipeline. When that can hear and speak, and the conversation is still as
the checkpoint says, the call changes at once; the next instance hears what the caller has said since it was asked for.

    ASKED --accept--> SETTING UP --answer, media started--> the call changes
      |  reject, expiry, fault     |
      |____________________________|--> the next instance is asked; with nobody left, the call stays where it is

If the conversation has gone on meanwhile (the bot has spoken, or another checkpoint has come), the call stays, and the
agent asks again in the next pause. So an instance that cannot take calls, such as one of a release with a fault in it,
costs no call anything. Tested in `tests/gateway/core/test_handover.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import AgentAssignment
from piopiy_pipeline.gateway.core.call_offer import CallOffer, MediaPort
from piopiy_pipeline.gateway.core.early_requests import EarlyRequests
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.signaling.messages import Checkpoint, CheckpointKept

__all__ = ["Handover"]

OFFER_S = 2.0
"""How long an instance may take to accept the call, in seconds, at least: nobody waits for it meanwhile."""
PAUSE_S = 1.0
"""After nobody could take the call, it is offered to nobody for so many seconds; after each further time, twice as
long: authors' callbacks run for it, and may do something.
"""
LONGEST_PAUSE_S = 30.0


class Handover:
    """The next instance of one call, while it gets ready. Every `now` is in seconds, of one clock.

    Args:
        call: The call's state.
        assignment: Who has the call.
        on_ready: Called with the offer and the time when the call is to change.
    """

    def __init__(
        self,
        call: GatewayCallState,
        assignment: AgentAssignment,
        *,
        on_ready: Callable[[CallOffer, float], None],
    ) -> None:
        self.accepted = False
        """Whether the next instance has accepted the call."""
        self._call = call
        self._assignment = assignment
        self._on_ready = on_ready
        self._offer: CallOffer | None = None
        self._tried: set[Instance] = set()
        self._known: set[Instance] = set()  # who was connected when the search began
        self._given: dict[str, Any] | None = None  # the checkpoint that the next instance has
        self._own: dict[str, Any] | None = None  # what it has saved itself since
        self._spoken_bytes = 0  # what the bot had said when the move began
        self._failures = 0
        self._not_before = float("-inf")

    # ------------------------------------------------------------------ the call's side

    @property
    def under_way(self) -> bool:
        """Whether another instance was asked, or gets ready."""
        return self._offer is not None

    def early_requests(self, who: Instance | MediaPort) -> EarlyRequests | None:
        """Return where requests of the instance that gets ready, or of its media stream, wait; None if it is not it."""
        offer = self._offer
        if offer is None or not self.accepted or who not in (offer.instance, offer.media):
            return None
        return offer.early

    def begin(self, heard_s: float | None, now: float) -> None:
        """Look for another instance, because the one that has the call drains. With one under way, nothing happens.

        Args:
            heard_s: How much of the caller's audio the instance has received, in seconds; None for all of it.
            now: The time.
        """
        current = self._assignment.offer
        if self._offer is not None or current is None:
            return
        paused = now < self._not_before
        tried = {current.instance}
        if paused:
            tried |= self._tried | self._replacements(current)
            if not self._assignment.any_untried(tried):
                return
        if not self._call.media_path.backlog.begin_move(heard_s, on_overdue=self._messages_wait):
            return
        self._tried = tried
        if not paused:
            self._known = set(self._assignment.connected)
        self._given, self._own = self._assignment.checkpoint, None
        self._spoken_bytes = _spoken(current)
        self._ask(now)

    def checkpoint_came(self) -> None:
        """Give up if the instance that has the call has gone on with the conversation."""
        if self._offer is not None and self._assignment.checkpoint != self._given:
            self.give_up("the conversation went on where it was")

    def give_up(self, detail: str) -> None:
        """Leave the call where it is; or nowhere, because it is over."""
        offer = self._offer
        if offer is not None:
            if self.accepted:
                offer.moved(detail)
            else:
                offer.cancel(detail)
            self._let_go(offer)
            self._call.media_path.backlog.give_up_move()

    def _messages_wait(self) -> None:
        self.give_up("messages of the client's application wait")

    def take(self) -> CallOffer | None:
        """Return the offer that is under way, and forget it: whoever calls this goes on with it."""
        offer, self._offer = self._offer, None
        self._call.deadlines.off("handover")
        if offer is not None and self._own is not None:
            self._assignment.checkpoint = self._own
        return offer

    # ------------------------------------------------------------------ the next instance's signaling

    def accept(self, instance: Instance, offer_id: str, now: float) -> bool:
        """Handle an instance that takes the call. Returns whether this is the one that was asked."""
        offer = self._offer
        if offer is None or offer.instance is not instance or offer.offer_id != offer_id:
            return False
        if self.accepted:
            return True
        if not offer.media_open:
            offer.cancel("accepted without an open media stream: open it first")
            self._ask_another(offer, now)
            return True
        self.accepted = True
        self._set_deadline(now + self._call.resources.limits.setup_s)
        offer.confirm(now)
        return True

    def answer(self, instance: Instance, now: float) -> bool:
        """Handle an instance that can hear and speak. Returns whether this is the one that was asked."""
        offer = self._offer
        if offer is None or offer.instance is not instance:
            return False
        if self.accepted:
            offer.answered(now)
            self._change_if_ready(offer, now)
        return True

    def failed(self, instance: Instance, detail: str, now: float, *, offer_id: str | None = None) -> bool:
        """Handle an instance that rejects the call, or ends it before it is ready, or is lost.

        Returns:
            Whether this is the one that was asked.
        """
        offer = self._offer
        if offer is None or offer.instance is not instance or offer_id not in (None, offer.offer_id):
            return False
        self._call.log.info("instance {} does not take over the call: {}", instance.instance_id, detail)
        self._ask_another(offer, now)
        return True

    def withdraw(self, instance: Instance, detail: str, now: float) -> bool:
        """Ask another instance in the place of one that has gone silent. Returns whether this is the one that was
        asked.
        """
        offer = self._offer
        if offer is None or offer.instance is not instance:
            return False
        if self.accepted:
            offer.moved(detail)
        else:
            offer.cancel(detail)
        return self.failed(instance, detail, now)

    def save_checkpoint(self, instance: Instance, checkpoint: Checkpoint) -> None:
        """Keep what an instance saves while it gets ready. It counts when the call has changed."""
        offer = self._offer
        if offer is not None and offer.instance is instance and self.accepted:
            self._own = checkpoint.state
            if checkpoint.number is not None:
                kept = CheckpointKept(call_id=self._call.call_id, number=checkpoint.number)
                offer.instance.link.send(kept)

    # ------------------------------------------------------------------ its media stream

    def redeem(self, token: str) -> bool:
        """Return whether this token opens the media stream."""
        return self._offer is not None and self._offer.redeem(token)

    def media_opened(self, media: MediaPort) -> None:
        """Take the stream whose token was redeemed just now."""
        if self._offer is not None:
            self._offer.media, self._offer.media_open = media, True

    def media_started(self, media: MediaPort, now: float) -> bool:
        """Handle that audio can flow. Returns whether this is the next instance's stream."""
        if not self._carried_by(media):
            return False
        if self._offer is not None:
            self._change_if_ready(self._offer, now)
        return True

    def media_failed(self, media: MediaPort, detail: str, now: float) -> bool:
        """Handle that the stream is lost or broken. Returns whether it is the next instance's."""
        offer = self._offer
        if offer is None or not self._carried_by(media):
            return False
        self._call.log.info("the next instance of the call: {}", detail)
        if self.accepted:
            offer.ended(EndReason.ERROR, detail)
        else:
            offer.cancel(detail)
        self._ask_another(offer, now)
        return True

    def _carried_by(self, media: MediaPort) -> bool:
        return self._offer is not None and self._offer.media is media

    # ------------------------------------------------------------------ from one to the next

    def _ask(self, now: float) -> None:
        limits = self._call.resources.limits
        offer_s = max(limits.offer_s, OFFER_S)
        self.accepted = False
        self._own = None
        if current := self._assignment.offer:
            self._tried |= self._replacements(current)
        self._offer = self._assignment.propose(
            self._tried,
            now,
            caller_rate=self._call.leg.rate,
            offer_s=offer_s,
            setup_s=limits.setup_s,
        )
        if self._offer is not None:
            self._set_deadline(now + offer_s)
            return
        self._call.media_path.backlog.give_up_move()
        self._assignment.summon(now)  # whoever comes from another gateway is there at the next pause
        if len(self._tried) > 1:  # else nobody else was there
            self._not_before = now + min(PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
            self._failures += 1

    def _replacements(self, current: CallOffer) -> set[Instance]:
        """Return the instances that have come in the place of those that could not take the call: the same process
        again, or a call worker of the same supervisor. Those of a faulty release follow on each other at once.
        """
        failed = {one.supervisor_id for one in self._tried if one is not current.instance}
        new = (one for one in self._assignment.connected if one not in self._known)
        return {one for one in new if one.supervisor_id in failed}

    def _ask_another(self, offer: CallOffer, now: float) -> None:
        self._let_go(offer)
        self._ask(now)

    def _expired(self, now: float) -> None:
        offer = self._offer
        if offer is None:
            return
        detail = "it was not ready in time" if self.accepted else "the offer's deadline passed"
        self._call.log.info("instance {} does not take over the call: {}", offer.instance.instance_id, detail)
        if self.accepted:
            offer.ended(EndReason.SETUP_TIMEOUT, detail)
        else:
            offer.cancel(detail)
        self._ask_another(offer, now)

    def _change_if_ready(self, offer: CallOffer, now: float) -> None:
        if not (self.accepted and offer.ready and offer.media is not None and offer.media.started):
            return
        current = self._assignment.offer
        if current is not None and _spoken(current) != self._spoken_bytes:
            self.give_up("the bot went on where it was")
            return
        self._failures = 0
        self._call.log.info(
            "call {}: moved from instance {} to {}",
            self._call.call_id,
            self._assignment.last_instance_id,
            offer.instance.instance_id,
        )
        self._on_ready(offer, now)

    def _set_deadline(self, at: float) -> None:
        self._call.deadlines.set("handover", at, self._expired)
        self._call.changed()

    def _let_go(self, offer: CallOffer) -> None:
        self._offer = None
        self._call.deadlines.off("handover")
        offer.release()


def _spoken(offer: CallOffer) -> int:
    return 0 if offer.media is None else offer.media.received_bytes
