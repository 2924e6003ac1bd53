"""What becomes of the calls of an instance that has gone silent: hung, cut off, or blocked by one of its calls. No I/O.

    silent   nothing was heard of it for about a second (`FailureDetector`), or its watchdog says so (`Blocked`).
             It is offered nothing, and its calls go to other instances by their checkpoints. Its connection stays.
    blocked  the watchdog names the call whose code blocks the loop. That call stays where it is, and nobody else is
             offered it, because it would block the next one, too. It ends at its limit. If it has left already, because
             the watchdog's word came late, it is taken from the next instance, and waits for this one to turn.
             Before it is sure, the watchdog names the call whose code may block: that one does not leave with the
             others.
    back     its heartbeats come again: it is offered calls, and those that nobody could take go on there.

A call that no other instance can take stays as well, because nothing is gained by ending it. It is asked again
whenever somebody may have become free, and ends when the connection is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loguru import logger

from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.instances import Instance, Instances
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import Blocked, Heartbeat

__all__ = ["SilentInstances"]


class SilentInstances:
    """Moves the calls of silent instances. Every `now` is in seconds of one clock.

    Args:
        instances: All connected instances.
        find_call: Returns the call under way with this id.
    """

    MOVE_S = 1.0
    """When the event loop has been blocked for so long, the other calls move, whatever the heartbeats said."""
    SURE_S = 0.4
    """When it has run something for so long, that blocks it. Before, it may have waited for a processor instead."""
    SLOW_S = 1.2
    """For how long a watchdog's word holds that the loop turns too slowly, in seconds. It says so twice a second."""
    TOGETHER_S = 0.75
    """Three heartbeats: so long nothing must have been heard of a call worker that is silent with another one. They
    hang, or are cut off, together; and on a busy machine each alone would be given up to two seconds."""
    RETURNS = 3
    """So many heartbeats in a row, and an instance is back: one that turns once in a while would lose calls again."""

    def __init__(self, instances: Instances, find_call: Callable[[str], GatewayCall | None]) -> None:
        self._instances = instances
        self._find_call = find_call
        self._silent: set[Instance] = set()
        self.count = 0
        """How often an instance has gone silent."""

    def silent(self, instance: Instance, why: str, now: float) -> None:
        """Handle an instance that has gone silent, because of `why`, a sentence."""
        instance.returned = 0
        if instance.silent:
            return
        instance.silent = why
        self.count += 1
        self._silent.add(instance)
        had = len(instance.calls)
        self._move(instance, now)
        logger.warning(
            "agent {}: instance {} is silent: {}; {} of its {} calls stay there",
            instance.agent_id,
            instance.instance_id,
            why,
            len(instance.calls),
            had,
        )
        if not instance.blocked:
            self._suspect_siblings(instance, now)

    def _suspect_siblings(self, instance: Instance, now: float) -> None:
        """Take call workers of the same supervisor for silent, too, of which nothing was heard for about as long."""
        for one in self._instances.of(instance.agent_id):
            unheard_s = now - one.heard_at
            if (
                one.supervisor_id == instance.supervisor_id
                and one.heartbeats
                and unheard_s >= self.TOGETHER_S
            ):
                self.silent(one, f"nothing was heard of it for {unheard_s:.1f} s, nor of another", now)

    def blocked(self, message: Blocked, now: float) -> None:
        """Handle what the watchdog of an instance says: its event loop is blocked, or too slow, and by which call."""
        for instance in self._instances.find(message.agent_id, message.instance_id):
            self._blocked(instance, message, now)

    def _blocked(self, instance: Instance, message: Blocked, now: float) -> None:
        if other := instance.blocker not in (None, message.call_id):
            self._turns(instance, now)  # as far as the call is concerned that was named before
        instance.blocker = message.call_id
        sure = message.slow or message.blocked_s >= self.SURE_S
        if message.slow:
            instance.slow_until = now + self.SLOW_S
            instance.returned = 0
        if not instance.blocked or (sure and instance.blocked == "perhaps"):
            logger.log(
                "WARNING" if sure else "DEBUG",
                "agent {}: instance {} {} blocked by {} at {}",
                instance.agent_id,
                instance.instance_id,
                "is" if sure else "may be",
                self._owner(instance, message.call_id),
                message.place,
            )
        instance.blocked = "surely" if sure else instance.blocked or "perhaps"
        blocker = self._blocker(instance)
        if blocker is not None and sure:
            began_at = now - message.blocked_s
            with blocker.state.contained(now):
                blocker.agent.stranded.blocks(
                    instance, message.place, now, began_at=began_at, limit_s=message.limit_s
                )
        elif blocker is not None:
            with blocker.state.contained(now):
                blocker.agent.stranded.may_block(instance, now)
        if message.blocked_s >= self.MOVE_S:
            how = "too slow" if message.slow else "blocked"
            self.silent(instance, f"its event loop is {how} at {message.place}", now)
        elif other and instance.silent and not instance.returned:
            self._move(instance, now)

    def heartbeat(self, instance: Instance, message: Heartbeat, now: float) -> None:
        """Handle a heartbeat: the instance turns, and says how far the media of its calls has come."""
        instance.heartbeats = True
        slow = now < instance.slow_until
        if instance.blocked and not slow:
            self._turns(instance, now)
        if instance.silent and not slow:
            instance.returned += 1
            if instance.returned >= self.RETURNS:
                self._back(instance, now)
        for call_id, (heard, said) in message.media.items():
            counted = self._find_call(call_id)
            if counted is not None:
                with counted.state.contained(now):
                    counted.agent.stranded.media_counted(instance, heard=heard, said=said, now=now)

    def look_again(self, now: float) -> None:
        """Move what could not be moved before, because somebody may be free now."""
        for instance in tuple(self._silent):
            if not instance.returned:
                self._move(instance, now)

    def replaced(self, instance: Instance, now: float) -> None:
        """Forget a connection, because the instance has another one: so it turns."""
        self._silent.discard(instance)
        self._turns(instance, now)

    def lost(self, instance: Instance, now: float) -> None:
        """Forget an instance whose connection is lost."""
        self._silent.discard(instance)
        if (blocker := self._blocker(instance)) is not None:
            with blocker.state.contained(now):
                blocker.agent.stranded.lost(instance, now)

    def _turns(self, instance: Instance, now: float) -> None:
        instance.blocked = ""
        blocker, instance.blocker = self._blocker(instance), None
        if blocker is not None:
            with blocker.state.contained(now):
                blocker.agent.stranded.turns(instance, now)

    def _back(self, instance: Instance, now: float) -> None:
        logger.info("agent {}: instance {} is back", instance.agent_id, instance.instance_id)
        instance.silent = ""
        self._silent.discard(instance)
        self.look_again(now)

    def _move(self, instance: Instance, now: float) -> None:
        # Who blocks its loop is known, if it is: then its death says nothing of the others.
        known = bool(instance.blocked) and instance.blocker is not None
        alone = None if known else instance.has_one_call
        for call in self._calls(instance):
            with call.state.contained(now):
                call.agent.stranded.leave(instance, instance.silent, now, alone=alone)

    def _owner(self, instance: Instance, call_id: str | None) -> str:
        if call_id is None:
            return "code of no call"
        call = self._find_call(call_id)
        if call is None and instance.away:
            return f"call {call_id}, which is not here,"
        if call is None or call.phase is Phase.ENDED:
            return f"what call {call_id} has left, which is over,"
        return f"call {call_id}"

    def _blocker(self, instance: Instance) -> GatewayCall | None:
        """Return the call that blocks an instance, or may, wherever it is."""
        return None if instance.blocker is None else self._find_call(instance.blocker)

    def _calls(self, instance: Instance) -> Iterator[GatewayCall]:
        for call_id in sorted(instance.calls):
            call = self._find_call(call_id)
            if call is not None:
                yield call
