"""What the gateways of a cluster know of a user's phones: a record for each user, which they write in turn. No I/O.

A gateway that was killed leaves its phones in the record until they expire: one without a NAT before it can still be
called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from piopiy_pipeline.gateway.cluster.cluster_message import ClusterMessage
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone

__all__ = ["FIND_S", "PhoneRecord", "PhoneStore", "newest", "rewritten"]

MOST_PHONES = 8
"""So many phones of a user are known at most, as at one gateway."""
FIND_S = 0.5
"""How long the search for a phone may take, in seconds."""


class PhoneRecord(ClusterMessage):
    """All registered phones of one user; the one that registered last is the last."""

    user: str
    phones: Annotated[list[RegisteredPhone], Field(max_length=MOST_PHONES)]


class PhoneStore(Protocol):
    """Where the records are, as one gateway uses it."""

    def keep(self, user: str, gateway: str, phones: Sequence[RegisteredPhone]) -> None:
        """Rewrite the record of a user, in the background: these phones are registered at this gateway."""

    async def find(self, user: str) -> PhoneRecord | None:
        """Return the record of a user within `FIND_S`; None: there is none, or it cannot be had now."""


def rewritten(
    record: PhoneRecord | None, user: str, gateway: str, phones: Sequence[RegisteredPhone], now: float
) -> PhoneRecord:
    """Return the record after a gateway has said which phones are registered there.

    A phone that has moved to another gateway stands there only, whoever writes last: its latest registration counts.

    Args:
        record: The record before.
        user: Whose it is.
        gateway: The name of the gateway.
        phones: All phones of the user that are registered at it.
        now: The time in seconds since 1970.
    """
    others = [] if record is None else [one for one in record.phones if one.gateway != gateway]
    latest: dict[str, RegisteredPhone] = {}
    for one in sorted([*others, *phones], key=lambda phone: phone.registered_at):
        latest.pop(one.contact, None)  # so that the newest is the last
        latest[one.contact] = one
    left = [one for one in latest.values() if one.expires_at > now]
    return PhoneRecord(user=user, phones=left[-MOST_PHONES:])


def newest(record: PhoneRecord | None, now: float) -> RegisteredPhone | None:
    """Return the phone that registered last, of those that have not expired."""
    live = [] if record is None else [one for one in record.phones if one.expires_at > now]
    return live[-1] if live else None
