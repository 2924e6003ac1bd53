"""What becomes of one call when its instance goes silent or is blocked, or when its media stream stands. No I/O.

Which instances are, `SilentInstances` knows. Tested in `tests/gateway/core/test_silent_instances.py`,
`test_late_instances.py` and `test_blocked_instances.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import AgentAssignment
from piopiy_pipeline.gateway.core.blocking_code import BlockingCode
from piopiy_pipeline.gateway.core.gateway_call_state import EndCall, GatewayCallState
from piopiy_pipeline.gateway.core.handover import Handover
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.core.phases import Phase

__all__ = ["StrandedCall"]


class StrandedCall:
    """Takes a call from an instance that can do nothing for it now. Every `now` is in seconds of one clock.

    Args:
        call: The call's state.
        assignment: Who has the call.
        handover: Who gets ready for it.
        withdraw: Withdraws the offer that is outstanding, for a reason in words.
        ask: Offers a call that is with nobody to the next instance.
        move: Takes the call from the instance that has it, for a reason in words, and asks the next one.
        end: Ends a call that no agent is to have any more.
    """

    def __init__(
        self,
        call: GatewayCallState,
        assignment: AgentAssignment,
        handover: Handover,
        *,
        withdraw: Callable[[str], None],
        ask: Callable[[float], None],
        move: Callable[[float, str], None],
        end: EndCall,
    ) -> None:
        self._call = call
        self._assignment = assignment
        self._handover = handover
        self._withdraw = withdraw
        self._ask = ask
        self._move = move
        self._end = end
        self._code = BlockingCode(call, end)
        self._left: tuple[Instance, float] | None = None  # the silent instance that it has left, and when

    @property
    def place(self) -> str:
        """Where this call's code blocks its instance: file, line and function. Empty while it does not."""
        return self._code.place

    def leave(self, instance: Instance, why: str, now: float, *, alone: bool | None = None) -> None:
        """Go to another instance, because this one is silent. The call stays while no other can take it, and while it
        is what blocks the instance, or may be. An offer that is not accepted yet is withdrawn, whoever is there.

        Args:
            instance: The instance.
            why: What is wrong with it, a sentence.
            now: The time.
            alone: Whether the call is its only one; None if it is known that the call is not to blame.
        """
        if self._handover.withdraw(instance, why, now):
            return
        if self._call.phase is Phase.OFFERING and self._assignment.offered_to(instance):
            self._assignment.note_full()  # it may be back
            self._withdraw(why)
            self._ask(now)
        elif not self._has(instance) or self.place or self._code.suspected:
            return
        elif not (self._handover.under_way or self._assignment.has_alternative(now)):
            self._assignment.summon(now)  # whoever comes from another gateway has this asked again
        elif self._assignment.may_recover(now, alone=alone):
            if alone is not None:
                self._assignment.suspicion.left(instance, alone=alone)
            self._left = instance, now
            self._move(now, why)

    def may_block(self, instance: Instance, now: float) -> None:
        """Handle that the event loop of the instance does not turn, and is in this call's code. It stays if the
        instance falls silent, until nothing more was said of it for a while.
        """

        def leave(now: float) -> None:
            if instance.silent:
                self.leave(instance, instance.silent, now)

        if self._has(instance):
            self._code.may_block(now, otherwise=leave)

    def blocks(self, instance: Instance, place: str, now: float, *, began_at: float, limit_s: float) -> None:
        """Handle that this call's code blocks the event loop of its instance; or of the one that it has left because
        that was silent. Then it is taken from the next one as well, before it blocks that, and waits.

        Args:
            instance: The instance.
            place: File, line and function.
            now: The time.
            began_at: Since when, in seconds.
            limit_s: For how long it may, in seconds; then the call ends.
        """
        has = self._has(instance)
        if not (has or self._has_left(instance)):
            return
        self._handover.give_up(f"its code blocks the agent at {place}")
        if not has:
            self._take_back(instance, place, now)
        self._code.blocks(place, began_at=began_at, limit_s=limit_s)

    def _has_left(self, instance: Instance) -> bool:
        """Return whether the call has left this instance, which has not turned since, and is to have another one."""
        return (
            self._left is not None
            and self._left[0] is instance
            and instance.heard_at <= self._left[1]
            and self._call.phase in (Phase.OFFERING, Phase.SETUP, Phase.LIVE)
        )

    def _take_back(self, instance: Instance, place: str, now: float) -> None:
        """Take the call from the next instance, if one has it: it waits until the one that it has left turns."""
        self._assignment.suspicion.blocks_former = True
        why = f"its code blocks instance {instance.instance_id}, which it has left, at {place}"
        if self._assignment.offer is None:
            return
        if self._call.phase is Phase.OFFERING:
            self._withdraw(why)
            self._ask(now)
        else:
            self._move(now, why)

    def turns(self, instance: Instance, now: float) -> None:
        """Handle that the event loop of the instance turns again."""
        if self._assignment.offered_to(instance):
            self.unblocked()
        elif self._waits_for(instance):
            self.unblocked()
            self._assignment.suspicion.blocks_former = False
            self._ask(now)

    def lost(self, instance: Instance, now: float) -> None:
        """Handle that an instance is lost. The call ends if it waits for that one to turn."""
        if self._waits_for(instance):
            detail = f"its code blocked the agent at {self.place}, and the connection to the agent was lost"
            self._end(now, EndReason.ERROR, detail)

    def _waits_for(self, instance: Instance) -> bool:
        waits = self._call.phase is Phase.OFFERING and self._assignment.suspicion.blocks_former
        return waits and self._left is not None and self._left[0] is instance

    def unblocked(self) -> None:
        """Forget that its code blocks an instance: it does not any more, or the call is not there any more."""
        self._code.over()

    def media_counted(self, instance: Instance, *, heard: int, said: int, now: float) -> None:
        """Handle what the instance says of the media stream: bytes of audio that it has received and sent."""
        offer = self._assignment.offer
        if offer is None or offer.media is None or not self._has(instance):
            return
        media = offer.media
        if offer.progress.heartbeat(
            sent=media.sent_bytes, heard=heard, said=said, received=media.received_bytes
        ):
            self.leave(instance, "its media stream stands still", now)

    def _has(self, instance: Instance) -> bool:
        return self._call.confirmed and self._assignment.offered_to(instance)
