"""`CallsElsewhere`: the calls of the other gateways, as these have told. No I/O.

Messages have numbers. If one is missing, what is known of its gateway may be wrong: it is asked to begin again, and
until then what it has told stays. Of a gateway that is gone its calls are forgotten at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from piopiy_pipeline.gateway.cluster.console_messages import CallChanges, CallEntry, GatewayHealth

__all__ = ["ASK_AGAIN_S", "CallsElsewhere"]

ASK_AGAIN_S = 2.0
"""How often one gateway is asked to begin again, at most."""
MOST_CALLS = 100_000
"""So many calls are known at most. Of more, the list says that it is not whole."""


@dataclass(slots=True)
class _Listed:
    epoch: str
    number: int
    complete: bool
    asked_at: float = float("-inf")
    health: GatewayHealth | None = None
    calls: dict[str, CallEntry] = field(default_factory=dict)


class CallsElsewhere:
    """Which call is where. Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._listed: dict[str, _Listed] = {}
        self._order: list[
            tuple[float, str, str]
        ] = []  # when each was placed, its id and gateway: the latest last
        self._by_agent: Counter[str] = Counter()
        self.whole = True
        """Whether no call was left out because there are too many."""

    def __len__(self) -> int:
        return len(self._order)

    def take(self, changes: CallChanges, now: float) -> bool:
        """Take what a gateway tells. Returns whether it is to be asked to begin again."""
        listed = self._listed.get(changes.gateway)
        if changes.whole:
            health = None if listed is None else listed.health
            self.forget(changes.gateway)
            listed = _Listed(changes.epoch, changes.number, complete=True, health=health)
            self._listed[changes.gateway] = listed
        elif listed is None:
            listed = self._listed[changes.gateway] = _Listed(changes.epoch, changes.number, complete=False)
        elif listed.epoch != changes.epoch or changes.number != listed.number + 1:
            if listed.epoch == changes.epoch and changes.number <= listed.number:
                return False  # it was overtaken, and the gap that it left was noticed
            listed.epoch, listed.number, listed.complete = changes.epoch, changes.number, False
        else:
            listed.number = changes.number
        listed.health = changes.health or listed.health
        for entry in changes.changed:
            known = listed.calls.get(entry.call_id)
            if known is not None:  # it was placed when it was, whatever the clocks say now
                entry = entry.model_copy(update={"placed_at": known.placed_at, "agent_id": known.agent_id})
            elif len(self._order) >= MOST_CALLS:
                self.whole = False
                continue
            else:
                insort(self._order, (entry.placed_at, entry.call_id, changes.gateway))
                self._by_agent[entry.agent_id] += 1
            listed.calls[entry.call_id] = entry
        for call_id in changes.gone:
            if (gone := listed.calls.pop(call_id, None)) is not None:
                del self._order[bisect_left(self._order, (gone.placed_at, call_id, changes.gateway))]
                self._by_agent[gone.agent_id] -= 1
        if listed.complete or now < listed.asked_at + ASK_AGAIN_S:
            return False
        listed.asked_at = now
        return True

    def ask_again(self, gateways: Collection[str], now: float) -> list[str]:
        """Return which of these gateways are to be asked to begin again: what they told is not complete, and the
        question or its answer was lost.
        """
        asked: list[str] = []
        for gateway in gateways:
            listed = self._listed.setdefault(gateway, _Listed("", 0, complete=False))
            if not listed.complete and now >= listed.asked_at + ASK_AGAIN_S:
                listed.asked_at = now
                asked.append(gateway)
        return asked

    def forget(self, gateway: str) -> None:
        """Forget the calls of a gateway that is gone."""
        listed = self._listed.pop(gateway, None)
        if listed is None or not listed.calls:
            return
        self._order = [one for one in self._order if one[2] != gateway]
        self._by_agent.subtract(entry.agent_id for entry in listed.calls.values())
        self._by_agent = +self._by_agent
        self.whole = self.whole or len(self._order) < MOST_CALLS

    def keep(self, gateways: Collection[str]) -> None:
        """Forget the calls of all gateways but these."""
        for gateway in self._listed.keys() - set(gateways):
            self.forget(gateway)

    def health(self, gateway: str) -> GatewayHealth | None:
        """Return how a gateway is, as it has told last; None if it has not yet."""
        listed = self._listed.get(gateway)
        return None if listed is None else listed.health

    def knows(self, gateways: Collection[str]) -> bool:
        """Return whether all of these gateways have told all their calls."""
        return self.whole and all(
            (listed := self._listed.get(one)) is not None and listed.complete for one in gateways
        )

    def where(self, call_id: str) -> str | None:
        """Return which gateway has a call."""
        for gateway, listed in self._listed.items():
            if call_id in listed.calls:
                return gateway
        return None

    def count(self, agent_id: str | None = None) -> int:
        """Count the calls, of one agent or of all."""
        return len(self._order) if agent_id is None else self._by_agent[agent_id]

    def latest(self, limit: int, agent_id: str | None = None) -> list[tuple[str, CallEntry]]:
        """Return the calls that were placed last, each with its gateway, the latest first.

        Args:
            limit: How many at most.
            agent_id: Of one agent; None: of all.
        """
        found: list[tuple[str, CallEntry]] = []
        if not self.count(agent_id):
            return found
        for _, call_id, gateway in reversed(self._order):
            entry = self._listed[gateway].calls[call_id]
            if agent_id in (None, entry.agent_id):
                found.append((gateway, entry))
                if len(found) == limit:
                    break
        return found
