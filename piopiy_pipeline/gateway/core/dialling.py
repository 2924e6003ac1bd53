"""Outgoing calls: what the gateway asks of a dialler, and what a dialled leg reports. No I/O.

A dialled leg is a `Leg` like any other once it is answered. Until then it tells its listener that it
rings, that somebody picked up, or that it came to nothing; exactly one of the last two, once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.leg import Leg, LegListener

__all__ = [
    "DIAL_ENDS",
    "DialFailure",
    "DialObstacle",
    "DialRefused",
    "DialRequest",
    "DialledLeg",
    "DialledListener",
    "Dialler",
    "NoDialler",
]

DialFailure = Literal["no_answer", "busy", "declined", "unreachable", "failed"]
"""Why a dialled leg came to nothing: the words of `signaling.messages.TransferResult`."""

DIAL_ENDS: Mapping[DialFailure, EndReason] = {
    "no_answer": EndReason.NO_ANSWER,
    "busy": EndReason.CALLEE_BUSY,
    "declined": EndReason.CALLEE_BUSY,
    "unreachable": EndReason.UNREACHABLE,
    "failed": EndReason.UNREACHABLE,
}
"""The reason with which a call ends that consisted only of this dialling."""

DialObstacle = Literal["destination", "not_allowed", "way", "away", "room"]
"""Why nothing can be dialled: `destination`: nobody can be reached under it; `not_allowed`: the configuration does not
let it be called; `way`: the configuration has no trunk;
`away`: no phone of theirs is registered just now;
`room`: too many calls are under way, and it may be possible later."""


class DialRefused(Exception):
    """Nothing was dialled. `obstacle` is the reason, and the text says what to do."""

    def __init__(self, text: str, obstacle: DialObstacle = "destination") -> None:
        super().__init__(text)
        self.obstacle: DialObstacle = obstacle


@dataclass(frozen=True, slots=True)
class DialRequest:
    """Whom to call: `to` is a number, a ``sip:`` URI, or a name of the configuration."""

    to: str
    from_number: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """More SIP headers for the invitation; their names begin with ``X-``."""
    ring_timeout_s: float | None = None
    """How long it may ring. None: as the dialler's configuration says."""


class DialledListener(LegListener, Protocol):
    """Receives what a dialled leg reports: what any leg does, and how the dialling goes. `now` is the loop's
    time in seconds.
    """

    def callee_ringing(self, now: float) -> None:
        """Handle that it rings there. This may come more than once."""

    def callee_answered(self, now: float) -> None:
        """Handle that somebody picked up: audio flows from now on, and the leg's `rate` is known."""

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        """Handle that nobody was reached because of `why`. The leg is over."""


class DialledLeg(Leg):
    """A leg to somebody who has not picked up yet. Its `rate` is known from then on."""

    @abstractmethod
    def call(self, listener: DialledListener) -> None:
        """Begin to call, once, and tell `listener` from then on; never from within this method.

        `Leg.end` gives up what is not answered yet.
        """


class Dialler(Protocol):
    """Makes legs that call somebody."""

    def dial(self, request: DialRequest) -> DialledLeg:
        """Return a leg that can call. Raises `DialRefused` if the destination cannot be called."""


class NoDialler:
    """The dialler of a gateway without a trunk: it refuses everything."""

    def dial(self, request: DialRequest) -> DialledLeg:
        raise DialRefused(
            f"cannot call {request.to!r}: this gateway has no way out; configure a trunk in its sip section",
            "way",
        )
