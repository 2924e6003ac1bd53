"""What becomes of one call when the agent says that a call worker has died, in which it was. No I/O.

What is known of it is `Suspicion`'s. Tested in `tests/gateway/core/test_suspicion.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import AgentAssignment
from piopiy_pipeline.gateway.core.gateway_call_state import EndCall, GatewayCallState
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import InstanceDied

__all__ = ["SuspectCall"]


class SuspectCall:
    """Ends a call that is the culprit, and moves one that goes on among others to a call worker apart.

    Every `now` is in seconds of one clock.

    Args:
        call: The call's state.
        assignment: Who has the call.
        ask: Offers a call that is with nobody to the next instance.
        move: Takes the call from the instance that has it, for a reason in words, and asks the next one.
        end: Ends a call that no agent is to have any more.
    """

    def __init__(
        self,
        call: GatewayCallState,
        assignment: AgentAssignment,
        *,
        ask: Callable[[float], None],
        move: Callable[[float, str], None],
        end: EndCall,
    ) -> None:
        self._call = call
        self._assignment = assignment
        self._ask = ask
        self._move = move
        self._end = end

    def instance_died(self, death: InstanceDied, now: float) -> None:
        """Take the agent's word that an instance has died, with which this call may have been lost."""
        suspicion = self._assignment.suspicion
        if not suspicion.died(death, now):
            return
        if suspicion.culprit:
            self._end(now, EndReason.ERROR, suspicion.culprit)
        elif self._call.phase is Phase.OFFERING and self._assignment.offer is None:
            self._ask(now)
        elif self._assignment.among_others:
            self._call.resources.waiting.add(self._call.info.agent_id, self)
            self.ask_next(now)

    def ask_next(self, now: float) -> None:
        """Move to a call worker apart, if there is one for it; forget it if that takes too long."""
        suspicion = self._assignment.suspicion
        if not (self._assignment.among_others and suspicion.wants_apart(now)):
            self.forget()
        elif self._call.phase in (Phase.SETUP, Phase.LIVE) and self._assignment.any_apart:
            self.forget()
            suspicion.move_apart(now)
            self._move(now, "it is a suspect, and goes on apart")

    def forget(self) -> None:
        """Wait for no call worker apart any more."""
        self._call.resources.waiting.discard(self._call.info.agent_id, self)
