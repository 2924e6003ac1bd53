"""Finds the instance of an agent that serves a call, offers it the call, and releases it. No I/O.

At any time one instance at most has the call: an offer is withdrawn before the next one is made. An instance
is asked once, until the call has been with another one and was lost there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.core.call_offer import CallOffer, MediaFaults, MediaPort
from piopiy_pipeline.gateway.core.detour import COMPARE_S
from piopiy_pipeline.gateway.core.instances import Instance, Instances
from piopiy_pipeline.gateway.core.summons import Summoner
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.gateway.core.suspicion import Suspicion
from piopiy_pipeline.signaling.messages import ConversationEvent

__all__ = [
    "ASK_AGAIN_S",
    "MAX_MOVES",
    "PLACE_S",
    "RECOVERY_S",
    "SILENCE_S",
    "AgentAssignment",
]

MAX_MOVES = 20
"""How many instances that shut down may give a call back: in a rolling restart each may be the next one to go."""
RECOVERY_S = 5.0
"""A call whose agent was lost, or gave it back, waits so many seconds for one that can take it: a process that is
started again, or an agent that connects again because its gateway hung. It waits longer for a process of which it
is known that it is being started (`Instances.expect`)."""
SILENCE_S = 45.0
"""While an instance is silent that may come back, the call waits for so many seconds: a connection on which three
pings, 10 s apart, are unanswered is given up before."""
PLACE_S = 2.0
"""A call for which no instance has a place waits so many seconds for one, and rings meanwhile. A new call worker is
there after a tenth of that on a busy machine. Before that it rings for an instance that is connected
(`Instances.ring_s`)."""
ASK_AGAIN_S = 0.25
"""How often a call that waits asks by itself, in seconds, beside whenever an instance says that it has a place."""


class AgentAssignment:
    """The instance that has a call or was offered it, and the search for the next one.

    Args:
        info: The call: its `agent_id` says whose instances are asked.
        instances: All instances that are connected to the gateway.
        summoner: Has instances come from other gateways.
    """

    def __init__(self, info: CallInfo, instances: Instances, summoner: Summoner) -> None:
        self.offer: CallOffer | None = None
        """The offer that is outstanding, or by which an instance has the call."""
        self.offers = 0
        """How many offers were made."""
        self.losses = SuspectLosses()
        """The instances that were lost with the call, and whether it may be their cause."""
        self.checkpoint: dict[str, Any] | None = None
        """What the next instance needs in order to go on with the conversation."""
        self.heard = ""
        """What the caller has heard of the bot's turn that is not over, which no checkpoint has."""
        self._heard_on_record = ""
        self.last_instance_id: str | None = None
        """The instance that accepted the call last."""
        self.suspicion = Suspicion(info.call_id)
        """Whether the call ends the processes that it is in."""
        self.barred: tuple[EndReason, str] | None = None
        """Why the call is offered to nobody any more: it ends for that, when no transfer serves its caller any more."""
        self._info = info
        self._instances = instances
        self._summoner = summoner
        self._looking_since: float | None = (
            None  # when its agent was lost, or nobody was found to take the call
        )
        self._comparing_until: float | None = None  # None: it has not been offered yet
        self._forget_at: float | None = None  # when those that refused are asked again
        self._alone_s = 0.0  # for how long it rang while no instance was there
        self._tried: set[Instance] = set()
        self._full: set[Instance] = set()  # of those, who had no place at that moment
        self._failed_at: Instance | None = (
            None  # where the call was when another instance began to be looked for
        )
        self._retried = False
        self._moves = 0
        self._failure: tuple[EndReason, str] | None = None  # why another instance is being looked for
        self._faults = MediaFaults()

    # ------------------------------------------------------------------ who has the call

    def offered_to(self, instance: Instance) -> bool:
        """Return whether this instance has the call, or was offered it."""
        return self.offer is not None and self.offer.instance is instance

    def outstanding(self, instance: Instance, offer_id: str) -> CallOffer | None:
        """Return the current offer, if it was made to this instance under this id."""
        offer = self.offer
        return offer if offer and offer.instance is instance and offer.offer_id == offer_id else None

    def carried_by(self, media: MediaPort) -> bool:
        """Return whether this is the media stream of the current offer."""
        return self.offer is not None and self.offer.media is media

    @property
    def media(self) -> MediaPort | None:
        """The media stream of the current offer, if the instance has opened one."""
        return None if self.offer is None else self.offer.media

    @property
    def media_faults(self) -> MediaFaults:
        """What was wrong with the audio, over all instances that the call was with."""
        return self._faults.plus(self.media)

    def in_the_calls_time(self, event: ConversationEvent, answered_at: float | None) -> ConversationEvent:
        """Count from the call's answer: an instance that goes on with a call counts from its own."""
        began_at = None if self.offer is None else self.offer.counts_from
        if answered_at is None or began_at is None or began_at <= answered_at:
            return event
        return event.model_copy(update={"at": round(event.at + began_at - answered_at, 3)})

    def has_alternative(self, now: float) -> bool:
        """Return whether another instance than the one that has the call could take it, and is known to be well."""
        without = () if self.offer is None else (self.offer.instance,)
        agent_id, call_id = self._info.agent_id, self._info.call_id
        return self._instances.any_heard(agent_id, without=without, now=now, call_id=call_id)

    @property
    def _lost_agent(self) -> bool:
        """Whether another instance is looked for, or was last, because one was lost."""
        return self._failure is not None and self._failure[0] is EndReason.AGENT_LOST

    def _patience_s(self, waited_s: float) -> float:
        """Return how long the call waits for somebody to take it, of which it has waited some; in seconds."""
        given_back = self._failure is not None and self._failure[0] is EndReason.SHUTDOWN
        if self.losses.in_two:
            return RECOVERY_S
        if self._lost_agent or given_back:
            if self._instances.any_silent(self._info.agent_id):
                return SILENCE_S
            return max(RECOVERY_S, self._instances.expected_s(self._info.agent_id))
        if self._failure is None:
            return self._ringing_s(waited_s)
        # Each instance beside the one where the call failed may have a place soon, or is followed by one that has: a
        # call worker that takes one call is.
        near = any(one is not self._failed_at for one in self.connected)
        return PLACE_S if near or self._summoner.elsewhere(self._info.agent_id) else 0.0

    def _ringing_s(self, rung_s: float) -> float:
        """Return how long a caller rings whom nobody has taken yet: for an instance, and then for a place in it.

        Args:
            rung_s: For how long they have rung, in seconds.
        """
        agent_id = self._info.agent_id
        alone_s = None if self._summoner.elsewhere(agent_id) else self._instances.ring_s(agent_id)
        if alone_s is None:
            return self._alone_s + PLACE_S
        self._alone_s = rung_s
        return max(alone_s, PLACE_S)

    @property
    def among_others(self) -> bool:
        """Whether the instance that has the call takes others as well."""
        return self.offer is not None and self.offer.instance.worker == "shared"

    @property
    def any_apart(self) -> bool:
        """Whether a call worker apart waits for a call."""
        return self._any_free((), apart=True)

    def any_untried(self, tried: Collection[Instance]) -> bool:
        """Return whether an instance that is not among those that were tried could take the call now."""
        return self._any_free(tried)

    @property
    def connected(self) -> list[Instance]:
        """The instances of the agent."""
        return self._instances.of(self._info.agent_id)

    @property
    def _too_old(self) -> set[Instance]:
        """The instances that cannot read the offer of a text chat."""
        return {one for one in self.connected if not one.reads_text}

    def _any_free(self, without: Collection[Instance], *, apart: bool = False) -> bool:
        agent_id, call_id = self._info.agent_id, self._info.call_id
        return self._instances.any_free(
            agent_id, without=without, apart=apart, takeover=True, call_id=call_id
        )

    # ------------------------------------------------------------------ from one instance to the next

    def offer_next(self, now: float, *, caller_rate: int, offer_s: float, setup_s: float) -> bool:
        """Offer the call to the next instance.

        Args:
            now: The time.
            caller_rate: The sample rate of the caller's leg in Hz.
            offer_s: How long the instance may take to accept, in seconds.
            setup_s: How long its callback may take to answer after that, in seconds.

        Returns:
            False if nobody is left to ask: `ask_again_at` says whether somebody may come, else `why_nobody` why.
        """
        whom = self._whom_to_ask(now)
        if whom == "nobody" or (whom == "others" and self._awaits_less_busy(now)):
            return False
        self.offer = self.propose(
            self._tried,
            now,
            caller_rate=caller_rate,
            offer_s=offer_s,
            setup_s=setup_s,
            apart=whom == "apart",
        )
        return self.offer is not None

    def _whom_to_ask(self, now: float) -> Literal["nobody", "apart", "others"]:
        return "nobody" if self.losses.in_two or self.barred else self.suspicion.whom_to_ask(now)

    def _awaits_less_busy(self, now: float) -> bool:
        """Return whether a call that comes in waits for an instance of another gateway which is much less busy than
        those that are connected here. Once, and for a moment.
        """
        agent_id, call_id = self._info.agent_id, self._info.call_id
        if self._comparing_until is None:
            self._comparing_until = now
            new = self.last_instance_id is None and self._failure is None
            here = self._instances.least_busy(agent_id, call_id=call_id) if new else None
            limit = None if here is None else self._summoner.detour(agent_id, here)
            if limit is not None:
                self._comparing_until = now + COMPARE_S
                self._summoner.summon(
                    call_id, agent_id, (), now, takeover=False, apart=False, most_busy=limit
                )
        return now < self._comparing_until and self._summoner.expects(call_id)

    def propose(
        self,
        tried: set[Instance],
        now: float,
        *,
        caller_rate: int,
        offer_s: float,
        setup_s: float,
        apart: bool = False,
    ) -> CallOffer | None:
        """Offer the call to an instance that is not among those that were tried, and add it to them.

        The instance that has the call keeps it. The other arguments are those of `offer_next`.

        Args:
            tried: Who is not asked.
            now: The time.
            caller_rate: As there.
            offer_s: As there.
            setup_s: As there.
            apart: Whether to ask call workers apart, and nobody else.

        Returns:
            The offer; None if nobody is left to ask.
        """
        in_progress = self.last_instance_id is not None
        if self._info.kind == "text":
            tried |= self._too_old
        instance = self._instances.pick(
            self._info.agent_id,
            without=tried,
            now=now,
            apart=apart,
            takeover=in_progress,
            call_id=self._info.call_id,
            fewest=self.losses.lost_lately(now),
        )
        if instance is None:
            return None
        tried.add(instance)
        self.offers += 1
        offer = CallOffer(self._info.call_id, instance)
        offer.send_offer(
            self._info,
            caller_rate=caller_rate,
            offer_s=offer_s,
            setup_s=setup_s,
            checkpoint=self.checkpoint,
            heard=self.heard or None,
        )
        return offer

    def succeed(self, offer: CallOffer) -> None:
        """Release the instance that has the call: the one that this offer was made to has it from now on."""
        self.release()
        self.offer = offer
        self._tried = {offer.instance}

    def summon(self, now: float) -> None:
        """Have an instance come from another gateway, because none of those that are connected takes the call."""
        whom = self._whom_to_ask(now)
        if whom != "nobody":
            tried = {one.instance_id for one in self._tried}
            self._summoner.summon(
                self._info.call_id,
                self._info.agent_id,
                tried,
                now,
                takeover=self.last_instance_id is not None,
                apart=whom == "apart",
            )

    def ask_again_at(self, now: float, *, patient: bool = False) -> float | None:
        """Return when to ask again, because nobody is left to ask now; None if nobody is waited for any longer.

        Whoever asks before that, because an instance may have a place, does not put it off. Meanwhile an instance of
        another gateway is summoned.

        Args:
            now: The time.
            patient: Whether somebody is waited for in any case, because the caller is served without an agent.
        """
        if self.barred and not patient:
            return None
        first = self._looking_since is None
        since = self._looking_since = now if self._looking_since is None else self._looking_since
        until = now + ASK_AGAIN_S if patient else since + self._patience_s(now - since)
        if first or now < until:
            self.summon(now)
        again_at = self._forget_at = now + ASK_AGAIN_S if self._forget_at is None else self._forget_at
        if now >= until:
            return again_at if self._summoner.expects(self._info.call_id) else None
        changes_at = self.suspicion.changes_at(now)
        return min(again_at, until if changes_at is None else min(until, changes_at))

    def found(self) -> None:
        """Note that the instance that was offered the call has taken it: whoever was summoned as well is let go."""
        self._looking_since = None
        self._summoner.forget(self._info.call_id)
        if self.offer is not None:
            self.last_instance_id = self.offer.instance.instance_id

    def release(self) -> None:
        """Take the call from the instance that has it, or was offered it: its media stream closes."""
        offer, self.offer = self.offer, None
        if offer is not None:
            self._faults = self._faults.plus(offer.media)
            offer.release()

    def may_retry(self) -> bool:
        """Return whether a callback that failed before its answer may be tried at another instance. That happens
        once per call.
        """
        first, self._retried = not self._retried, True
        return first

    def note_heard(self, text: str) -> None:
        """Note what the caller has heard of the bot's turn that is not over; empty when it is."""
        self.heard = text
        self._heard_on_record = ""

    def take_unrecorded(self) -> str:
        """Return once what was heard of a turn that will not be over, because its agent was lost."""
        unrecorded = "" if self._heard_on_record == self.heard else self.heard
        self._heard_on_record = self.heard
        return unrecorded

    def may_recover(self, now: float, *, alone: bool | None) -> bool:
        """Return whether a call whose instance was lost may go to another one, and count the loss.

        Args:
            now: The time.
            alone: Whether it was the only call there; None if it is known that it is not to blame.
        """
        instance_id = "" if self.offer is None else self.offer.instance.instance_id
        return self.losses.may_follow(instance_id, now, alone=alone)

    def may_move(self) -> bool:
        """Return whether a call whose instance shuts down may go to another one, and count the move."""
        self._moves += 1
        return self._moves <= MAX_MOVES

    def begin_again(self, reason: EndReason, detail: str, now: float) -> None:
        """Release the call, and look for any other instance; if there is none, the call ends for this reason."""
        self._failure = (reason, detail)
        self._looking_since = now if self._lost_agent else None
        self._failed_at = self.offer.instance if self.offer else None
        self._tried = {self._failed_at} if self._failed_at else set()
        self._full.clear()
        self._forget_at = None
        self.release()

    def note_full(self) -> None:
        """Note that the instance that was offered the call has no place or no time for it now."""
        if self.offer is not None:
            self._full.add(self.offer.instance)

    def forget_refusals(self) -> None:
        """Let those be asked again who had no place or no time; and after the loss of an agent everybody: they may be
        back.
        """
        self._forget_at = None
        if self._lost_agent:
            self._tried.clear()
        else:
            self._tried -= self._full
        self._full.clear()

    def why_nobody(self) -> tuple[EndReason, str]:
        """Return the reason and detail with which the call ends when nobody is left to ask."""
        if self.barred is not None:
            return self.barred
        if self.losses.in_two:
            return EndReason.AGENT_LOST, "this call was in two processes that died, one soon after the other"
        if self._failure is not None:
            return self._failure
        connected = self.connected
        why = self._summoner.why_nobody(self._info.call_id)
        others = f"; other gateways: {why}" if why else ""
        if not connected and self._summoner.elsewhere(self._info.agent_id):
            return (
                EndReason.BUSY,
                f"instances are connected to other gateways, and none took the call{others}",
            )
        if not connected:
            return EndReason.NO_AGENT, f"no instance of agent {self._info.agent_id!r} is connected{others}"
        full = sum(one.load is not None and one.load.takes != "all" for one in connected)
        overload = f"; busy with the calls that they have: {full}" if full else ""
        if self._info.kind == "text" and (old := len(self._too_old)):
            overload += f"; too old for text chats: {old}"
        return (
            EndReason.BUSY,
            f"instances connected: {len(connected)}, and none took the call{overload}{others}",
        )
