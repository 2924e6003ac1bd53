"""`OwnCalls`: what this gateway tells the others of its calls, a summary of what has changed. No I/O.

It compares what is there with what was told last. So a call that changes ten times between two messages is in one of
them, as it is then, and a message that would be too long goes on in the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from piopiy_pipeline.gateway.cluster.console_messages import CallChanges, CallEntry, GatewayHealth
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall

__all__ = ["MOST_CHANGES", "OwnCalls", "entry_of"]

MOST_CHANGES = 200
"""So many calls are in one message, about 60 kB."""
_NUMBER_CHARS = 64


def entry_of(call: GatewayCall, unix_now: float, now: float) -> CallEntry:
    """Return a call as the list of all calls has it.

    Args:
        call: The call.
        unix_now: The time now, as people read it, in seconds.
        now: The same moment, by the clock of the call.
    """
    answered, info = call.answered_at, call.info
    return CallEntry(
        call_id=call.call_id,
        agent_id=info.agent_id,
        instance_id=call.agent.assignment.last_instance_id,
        kind=info.kind,
        phase=call.phase,
        from_number=None if info.from_number is None else info.from_number[:_NUMBER_CHARS],
        to_number=None if info.to_number is None else info.to_number[:_NUMBER_CHARS],
        placed_at=round(unix_now - (now - call.placed_at), 3),
        answered_at=None if answered is None else round(unix_now - (now - answered), 3),
        held=call.media_path.held,
        muted=call.media_path.muted,
    )


def _state_of(call: GatewayCall) -> tuple[object, ...]:
    media = call.media_path
    return call.phase, call.agent.assignment.last_instance_id, media.held, media.muted


class OwnCalls:
    """What the others know of this gateway's calls.

    Args:
        gateway: Its name.
        epoch: A name for this run of it.
        entry: Returns a call as it is told.
    """

    def __init__(self, gateway: str, epoch: str, entry: Callable[[GatewayCall], CallEntry]) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._entry = entry
        self._known: dict[str, tuple[object, ...]] = {}
        self._number = 0
        self._again = True

    def begin_again(self) -> None:
        """Tell everything from the beginning, because somebody has come who knows nothing."""
        self._again = True

    def changes(
        self, calls: Iterable[GatewayCall], health: GatewayHealth | None = None
    ) -> tuple[CallChanges | None, bool]:
        """Return the next message, None if nothing has changed, and whether there is more to tell at once.

        Args:
            calls: All calls.
            health: How the gateway is, if that is to be told.
        """
        whole, self._again = self._again, False
        if whole:
            self._known.clear()
        changed: list[CallEntry] = []
        there: set[str] = set()
        more = False
        for call in calls:
            there.add(call.call_id)
            state = _state_of(call)
            if self._known.get(call.call_id) == state:
                continue
            if len(changed) == MOST_CHANGES:
                more = True
                continue
            self._known[call.call_id] = state
            changed.append(self._entry(call))
        gone = [call_id for call_id in self._known if call_id not in there]
        more = more or len(gone) > MOST_CHANGES
        for call_id in gone[:MOST_CHANGES]:
            del self._known[call_id]
        if not (whole or changed or gone or health):
            return None, False
        self._number += 1
        message = CallChanges(
            gateway=self._gateway,
            epoch=self._epoch,
            number=self._number,
            whole=whole,
            changed=changed,
            gone=gone[:MOST_CHANGES],
            health=health,
        )
        return message, more
