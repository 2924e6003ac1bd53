"""What the SIP port has seen: counters for the operator, and for those who look for an attack."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SipStats"]


@dataclass(slots=True)
class SipStats:
    """Counts since the start."""

    received: int = 0
    """Messages of any kind."""
    malformed: int = 0
    """Messages that could not be read."""
    retransmissions: int = 0
    """Requests that came more than once."""
    strays: int = 0
    """Responses, ACKs and requests within calls that belong to nothing here."""
    calls_in: int = 0
    """Calls that were offered to an agent."""
    calls_out: int = 0
    registrations: int = 0
    """REGISTERs that were accepted."""
    challenges: int = 0
    """Requests that were asked for a password."""
    wrong_passwords: int = 0
    """Requests that gave a wrong one, or none where there is none to give."""
    unknown_numbers: int = 0
    not_acceptable: int = 0
    """Calls with a session description that is broken or cannot be met."""
    over_limit: int = 0
    """Requests that were turned away because there is too much of everything."""
    floods_dropped: int = 0
    """Requests of an address that was turned away too often, dropped unread."""
    unreachable: int = 0
    """Messages that could not be sent."""
    connections_refused: int = 0
    """TCP and TLS connections beyond the limit."""
