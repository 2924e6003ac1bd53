"""An estimate of what a listener would say of a line, from 1 (bad) to 5 (excellent), by the E-model. No I/O.

Source: ITU-T G.107 (06/2015): R = Ro - Is - Id - Ie,eff + A (7-1) with its default values, for which Ro - Is is 93.2;
Id as the piecewise line that Cole and Rosenbluth fitted to it ("Voice over IP performance monitoring", ACM SIGCOMM
CCR 31(2), 2001): 0.024 d + 0.11 (d - 177.3) H(d - 177.3), d the one-way delay in ms; Ie,eff of (7-29) with BurstR = 1,
which is random loss; MOS of R by Annex B. Ie and Bpl are those of G.711 with concealment in G.113 (11/2007) Appendix I,
0 and 25.1. Opus has no values there: it is taken as G.711 with concealment, on the scale of narrowband telephony.

It is an estimate: it knows loss, jitter and delay of one direction, and no echo, no level and no noise.
"""

from __future__ import annotations

__all__ = ["mos_estimate", "r_factor"]

R_DEFAULT = 93.2
DELAY_BEND_MS = 177.3
EQUIPMENT_IMPAIRMENT = 0.0
"""Ie of G.711."""
LOSS_ROBUSTNESS = 25.1
"""Bpl of G.711 with concealment (G.113, Appendix I)."""
BUFFER_MS = 40.0
"""What packets of 20 ms and the jitter buffer's least delay cost, whatever the line."""


def r_factor(*, loss: float, jitter_s: float = 0.0, round_trip_s: float = 0.0) -> float:
    """Return the rating factor R of the E-model, from 0 to 93.2.

    Args:
        loss: The share of packets that were lost or came too late, 0.0 to 1.0.
        jitter_s: The interarrival jitter in seconds. The jitter buffer waits for twice as much.
        round_trip_s: The round trip in seconds, of which half is the one-way delay.
    """
    delay_ms = 1000 * (round_trip_s / 2 + 2 * jitter_s) + BUFFER_MS
    beyond_ms = max(0.0, delay_ms - DELAY_BEND_MS)
    delay_impairment = 0.024 * delay_ms + 0.11 * beyond_ms
    percent = 100 * min(max(loss, 0.0), 1.0)
    loss_impairment = EQUIPMENT_IMPAIRMENT + (95 - EQUIPMENT_IMPAIRMENT) * percent / (
        percent + LOSS_ROBUSTNESS
    )
    return min(max(R_DEFAULT - delay_impairment - loss_impairment, 0.0), R_DEFAULT)


def mos_estimate(*, loss: float, jitter_s: float = 0.0, round_trip_s: float = 0.0) -> float:
    """Return the estimated mean opinion score, from 1.0 to about 4.4. The arguments are those of `r_factor`."""
    r = r_factor(loss=loss, jitter_s=jitter_s, round_trip_s=round_trip_s)
    return max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))
