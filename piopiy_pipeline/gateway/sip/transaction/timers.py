"""The timer values of SIP in seconds. Source: RFC 3261, 17.1.1.1 and table 4."""

from __future__ import annotations

__all__ = ["T1", "T2", "T4", "TIMEOUT"]

T1 = 0.5
"""An estimate of the round trip: the first retransmission."""
T2 = 4.0
"""The longest between two retransmissions."""
T4 = 5.0
"""How long a message may stay in the network."""
TIMEOUT = 64 * T1
"""Timers B, F, H, J, L, M: when a transaction gives up, or forgets."""
