"""Whether a call ends the processes that it is in. No I/O.

Of a call worker that has died nobody knows which of its calls did it: each of them is a suspect. The agent says how the
worker has ended, and starts one worker apart for each of these calls, so that from then on a suspect harms itself
alone. A call that was alone in the second worker that died with it is the culprit, and is offered to nobody again.

A connection that closes is no proof: a network may do that to all of them. Nor is silence; but if a worker was silent
before it died, its calls had moved, and are suspects where they are: they move on to workers apart. Who kills a worker
for its memory names its calls, and the culprit if it takes one call alone.

Code that blocks an instance is known, if the instance's watchdog can say it. If that comes when the call has left the
silent instance already, the call is offered to nobody until the instance turns: it would block the next one, too.

What keeps Python's lock in native code hangs its worker, and would hang one after the other: the agent says so as of a
death, and as much is proven by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.signaling.messages import InstanceDied

__all__ = ["APART_S", "EVIDENCE_S", "Suspicion"]

EVIDENCE_S = 0.5
"""How long an agent may take to say that a call worker has died. Until then its calls are with nobody."""
APART_S = 2.0
"""How long a suspect waits for a worker of its own. A fork takes a tenth of that on a busy machine."""
APART_LIVE_S = 4.0
"""How long one may come for a suspect that goes on among others meanwhile. It waits for its call a second longer."""


MAX_LOSSES = 20


@dataclass(slots=True)
class _Loss:
    """The loss of a call worker that had the call."""

    shared: bool
    alone: bool  # no other call was there at that moment
    proven: bool = False  # it has died, or hung


class Suspicion:
    """What one call may have done. Every `now` is in seconds of one clock.

    Args:
        call_id: The call.
    """

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self.culprit = ""
        """Why this call is the culprit, a sentence. Empty while that is not certain."""
        self.blocks_former = False
        """Whether its code blocks an instance that it has left: it is offered to nobody meanwhile."""
        self._losses: dict[str, _Loss] = {}  # by instance; `SuspectLosses` bounds them
        self._asks: Literal["nobody", "apart"] = "nobody"
        self._until = 0.0
        self._apart_until = 0.0  # how long a worker apart may come

    def lost(self, instance: Instance, *, alone: bool | None, now: float) -> None:
        """Note that the connection to an instance that had the call is lost.

        Args:
            instance: The instance.
            alone: Whether the call was its only one; None if its process is well, and has registered again.
            now: The time.
        """
        if instance.worker is None or alone is None:
            return
        suspected = any(loss.proven for loss in self._losses.values())
        loss = self._losses[instance.instance_id] = _Loss(instance.worker == "shared", alone)
        if loss.shared or suspected:
            self._asks, self._until = "nobody", now + EVIDENCE_S
        if instance.death is not None:
            self.died(instance.death, now)

    def left(self, instance: Instance, *, alone: bool) -> None:
        """Note that the call has moved away from an instance that is silent, and may be about to die."""
        if instance.worker is not None:
            self._losses[instance.instance_id] = _Loss(instance.worker == "shared", alone)

    def wants_apart(self, now: float) -> bool:
        """Return whether the call should move to a worker apart, if one comes."""
        return now < self._apart_until

    def move_apart(self, now: float) -> None:
        """Have the call go to a worker apart, because there is one."""
        self._apart_until = 0.0
        self._asks, self._until = "apart", now + APART_S

    def died(self, death: InstanceDied, now: float) -> bool:
        """Take the agent's word on a dead instance, which acquits this call if it names another one. Returns whether
        the call was lost there.
        """
        if death.culprit not in (None, self._call_id):
            if self._losses.pop(death.instance_id, None) is None:
                return False
            self._until = now
            return True
        loss = self._losses.get(death.instance_id)
        if loss is None and self._call_id in death.calls and len(self._losses) < MAX_LOSSES:
            # It had moved away, for another reason than the silence of its worker.
            loss = self._losses[death.instance_id] = _Loss(death.apart, len(death.calls) == 1)
        if loss is None or loss.proven:
            return False
        loss.proven = True
        deaths = sum(each.proven for each in self._losses.values())
        if self._call_id == death.culprit:
            self.culprit = death.detail
        elif deaths > 1 and loss.alone:
            how = "ended or hung" if death.hung else "ended"
            self.culprit = (
                f"{deaths} processes of the agent have {how} under this call; the last one: {death.detail}"
            )
        if loss.shared and death.apart:
            self._asks, self._until = "apart", now + APART_S
            self._apart_until = now + APART_LIVE_S
        else:
            self._until = now
        return True

    def whom_to_ask(self, now: float) -> Literal["nobody", "apart", "others"]:
        """Return who may be offered the call now: nobody yet, only workers apart, or all but these."""
        if self.blocks_former:
            return "nobody"
        return self._asks if now < self._until else "others"

    def changes_at(self, now: float) -> float | None:
        """Return when `whom_to_ask` will have another answer, if nothing else happens."""
        return self._until if now < self._until else None
