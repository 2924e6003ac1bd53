"""The phases of a call at the gateway, and which one may follow which: everything that decides it is here.

    DIALLING
        |picked up
    OFFERING --accept--> SETUP --answer, media started--> LIVE --transfer--> BRIDGED --> ENDED
        ^  |reject, expiry   |callback failed, agent lost     |agent lost
        |__|_________________|________________________________|

A call that comes in begins with OFFERING, one that goes out with DIALLING. One that is placed without an
agent, to hear prompts, is LIVE when it is picked up. ENDED may follow on anything, and nothing follows on
ENDED. A cold transfer dials while the caller hears ringing; if the agent is lost meanwhile, the call may be
OFFERING or SETUP again when the dialled person picks up: so BRIDGED may follow on these too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["TRANSITIONS", "Phase", "next_phase"]


class Phase(StrEnum):
    """How far a call has come. The values are part of the API and of the records."""

    DIALLING = "dialling"
    """The gateway calls somebody, who has not picked up yet."""
    OFFERING = "offering"
    """An instance of the agent is asked whether it takes the call."""
    SETUP = "setup"
    """An instance has accepted the call, and its callback prepares for it."""
    LIVE = "live"
    """The caller and the bot hear each other; in a call without an agent, the caller hears prompts."""
    BRIDGED = "bridged"
    """The caller was transferred, and talks to somebody through this gateway."""
    ENDED = "ended"


TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.DIALLING: frozenset({Phase.OFFERING, Phase.LIVE, Phase.ENDED}),
    Phase.OFFERING: frozenset({Phase.OFFERING, Phase.SETUP, Phase.BRIDGED, Phase.ENDED}),
    Phase.SETUP: frozenset({Phase.OFFERING, Phase.LIVE, Phase.BRIDGED, Phase.ENDED}),
    Phase.LIVE: frozenset({Phase.OFFERING, Phase.BRIDGED, Phase.ENDED}),
    Phase.BRIDGED: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}
"""The phases that may follow on each phase. OFFERING follows on itself when the next instance is asked."""


def next_phase(now: Phase, then: Phase) -> Phase:
    """Return `then`. Raises `RuntimeError`, a defect of the gateway, if it may not follow on `now`."""
    if then not in TRANSITIONS[now]:
        raise RuntimeError(f"a call that is {now} cannot become {then}")
    return then
