"""The calls of a user agent, found by what their messages carry, and counted by where they come from. No I/O.

Its tests are those of the calls and of the admission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from piopiy_pipeline.gateway.access.networks import client_network
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest

__all__ = ["CallTable"]


class CallTable:
    """Every call that still needs messages, also those that have just ended.

    Args:
        on_removed: Called with a call that needs no more messages.
    """

    def __init__(self, *, on_removed: Callable[[SipCall], None]) -> None:
        self._on_removed = on_removed
        self._calls: dict[tuple[str, str], SipCall] = {}
        self._incoming: dict[tuple[str, str, int], IncomingCall] = {}
        self._per_network: Counter[str] = Counter()

    def all(self) -> list[SipCall]:
        """Return a copy of the list of all calls."""
        return list(self._calls.values())

    @property
    def unanswered(self) -> int:
        """How many incoming calls ring."""
        return sum(1 for call in self._incoming.values() if call.unanswered)

    def of_source(self, host: str) -> int:
        """Return how many incoming calls came from this address, or, for IPv6, from its network."""
        return self._per_network[client_network(host)]

    def merged(self, invite: SipRequest) -> bool:
        """Return whether this INVITE has already come by another path (section 8.2.2.2)."""
        return _invite_key(invite) in self._incoming

    def owner_of(self, request: SipRequest) -> SipCall | None:
        """Return the call that a request within a dialog belongs to; None if there is none."""
        call = self._calls.get((request.call_id, request.to.tag))
        return call if call is not None and call.owns(request) else None

    def add(self, call: SipCall) -> None:
        """Keep a call until it needs no more messages."""
        call.on_over = self._remove
        self._calls[call.key] = call
        if isinstance(call, IncomingCall):
            self._incoming[_invite_key(call.request)] = call
            self._per_network[client_network(call.source[0])] += 1

    def _remove(self, call: SipCall) -> None:
        self._on_removed(call)
        self._calls.pop(call.key, None)
        if isinstance(call, IncomingCall):
            self._incoming.pop(_invite_key(call.request), None)
            network = client_network(call.source[0])
            self._per_network[network] -= 1
            if self._per_network[network] <= 0:
                del self._per_network[network]


def _invite_key(invite: SipRequest) -> tuple[str, str, int]:
    return invite.call_id, invite.from_.tag, invite.cseq.sequence
