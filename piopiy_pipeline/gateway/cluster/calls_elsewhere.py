"""`CallsElsewhere`: the calls of the other gateways, as these have told. No I/O.

Messages have numbers. If one is missing, what is known of its gateway may be wrong: it is asked to begin again, and
until then what it has told stays. Of a gateway that is gone its calls are forgotten at once.
"""

from __future__ import annotations

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
        self._count = 0
        self.whole = True
        """Whether no call was left out because there are too many."""

    def __len__(self) -> int:
        return self._count

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
            if entry.call_id not in listed.calls:
                if self._count >= MOST_CALLS:
                    self.whole = False
                    continue
                self._count += 1
            listed.calls[entry.call_id] = entry
        for call_id in changes.gone:
            if listed.calls.pop(call_id, None) is not None:
                self._count -= 1
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
        if listed is not None:
            self._count -= len(listed.calls)
        if self._count < MOST_CALLS:
            self.whole = True

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

    def calls(self) -> list[tuple[str, CallEntry]]:
        """Return all calls, each with its gateway."""
        return [
            (gateway, entry) for gateway, listed in self._listed.items() for entry in listed.calls.values()
        ]
