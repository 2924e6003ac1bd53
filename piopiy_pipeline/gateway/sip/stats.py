"""The counters of the SIP port, for operators, and for those who look for an attack. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SipStats"]


@dataclass(slots=True)
class SipStats:
    """Counters of a SIP port since its start."""

    received: int = 0
    """Messages of any kind that were received."""
    malformed: int = 0
    """Messages that could not be parsed."""
    retransmissions: int = 0
    """Requests that were received more than once."""
    strays: int = 0
    """Responses, ACKs and requests within dialogs that belong to nothing here."""
    calls_in: int = 0
    """Calls that were offered to an agent."""
    calls_out: int = 0
    """Calls that the gateway placed."""
    registrations: int = 0
    """REGISTERs that were accepted."""
    challenges: int = 0
    """Requests that were asked for a password."""
    wrong_passwords: int = 0
    """Requests with a wrong password, or from where no password is valid."""
    unknown_numbers: int = 0
    """Calls to a number that no agent has."""
    not_acceptable: int = 0
    """Calls with a session description that cannot be parsed or met."""
    over_limit: int = 0
    """Requests that were refused because of a limit on calls or transactions."""
    floods_dropped: int = 0
    """Requests that were dropped unread because their address was refused too often."""
    passed_on: int = 0
    """Messages between other gateways and phones that are registered here."""
    unreachable: int = 0
    """Messages that could not be sent."""
    connections_refused: int = 0
    """TCP and TLS connections that were refused because of a limit."""
