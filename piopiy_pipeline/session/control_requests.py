"""What the bot asks of the gateway about its call, and what comes of it: a state machine without I/O.

A call that is to be handed to somebody, put on hold, muted or recorded is the gateway's business, for
the caller's line ends there. The desk writes the requests, keeps in mind what was asked, and knows
when to stop waiting for an answer: a gateway that says nothing must not hold a bot up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.signaling.messages import Control, Transfer, TransferResult

__all__ = ["ANSWER_S", "ControlRequests", "Outcome", "PendingTransfer", "TransferOutcome"]

Outcome = Literal["bridged", "no_answer", "busy", "declined", "unreachable", "refused", "failed"]
ANSWER_S = 10.0
"""So much longer than it may ring, the gateway's word on a transfer is waited for."""


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """What became of a transfer to `to`.

    `outcome` is ``bridged`` (the caller talks to them, and the bot's part of the call ends with
    `transferred`), ``no_answer``, ``busy``, ``declined``, ``unreachable``, ``refused`` (not allowed, or
    another one is under way) or ``failed``. `detail` says why, in a sentence for people.
    """

    to: str
    outcome: Outcome
    detail: str = ""

    @property
    def bridged(self) -> bool:
        """Whether the caller was handed over. Otherwise they are still with the bot."""
        return self.outcome == "bridged"


@dataclass(frozen=True, slots=True)
class PendingTransfer:
    """A transfer that is to be: the request to send, or what has become of it already."""

    request: Transfer | None
    refused: TransferOutcome | None = None


class ControlRequests:
    """Of one call. All times are seconds of one clock."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._transfers = 0
        self._request: Transfer | None = None
        self._on_hold = False
        self.deadline: float | None = None
        """When `tick` wants to be called, in seconds; None for never."""

    # ------------------------------------------------------------------ how it stands

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way."""
        return self._request is not None

    @property
    def on_hold(self) -> bool:
        """Whether the caller hears the gateway and not the bot: a blind transfer does that, too."""
        return self._on_hold or (self._request is not None and not self._request.warm)

    # ------------------------------------------------------------------ what is asked

    def transfer(
        self, to: str, *, warm: bool, summary: str, ring_timeout_s: float, now: float
    ) -> PendingTransfer:
        """Hand the caller to `to`. Raises `ValueError` for what the gateway would not understand."""
        to = to.strip()
        if not to:
            raise ValueError("transfer to whom? Give a number, a SIP URI, or a name the gateway knows")
        if not math.isfinite(ring_timeout_s):
            raise ValueError(f"ring_timeout_s={ring_timeout_s}: it must be a number of seconds")
        if self._request is not None:
            why = f"another transfer is under way, to {self._request.to}"
            return PendingTransfer(None, TransferOutcome(to, "refused", why))
        try:
            request = Transfer(
                call_id=self._call_id,
                request_id=f"t{self._transfers + 1}",
                to=to,
                warm=warm,
                summary=summary,
                ring_timeout_s=ring_timeout_s,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"transfer: {where}: {first['msg']}") from None
        self._transfers += 1
        self._request = request
        self.deadline = now + ring_timeout_s + ANSWER_S
        return PendingTransfer(request)

    def switch(self, what: Literal["hold", "mute", "record"], on: bool) -> Control:
        """Switch something on or off. Said twice, it is the same."""
        if what == "hold":
            self._on_hold = on
        return Control(call_id=self._call_id, what=what, on=on)

    def switched(self, control: Control) -> None:
        """The gateway tells how it stands, whoever asked for it."""
        if control.what == "hold":
            self._on_hold = control.on

    # ------------------------------------------------------------------ what comes of it

    def told(self, result: TransferResult) -> TransferOutcome | None:
        """The gateway's word on a transfer; None if nobody waits for it."""
        if not self.awaits(result):
            return None
        return self._done(result.outcome, result.detail)

    def awaits(self, result: TransferResult) -> bool:
        """Whether this is the answer to the transfer that is under way."""
        return self._request is not None and result.request_id == self._request.request_id

    def tick(self, now: float) -> TransferOutcome | None:
        """Call at `deadline`: a gateway that has said nothing by now will not."""
        if self._request is None or self.deadline is None or now < self.deadline:
            return None
        waited = self._request.ring_timeout_s + ANSWER_S
        return self._done("failed", f"the gateway did not say what became of it within {waited:g} s")

    def over(self, end: CallEnd) -> TransferOutcome | None:
        """The call is over, and so is what was under way."""
        if self._request is None:
            return None
        if end.reason is EndReason.TRANSFERRED:
            return self._done("bridged", end.detail)
        return self._done("failed", f"the call ended before: {end.detail or end.reason.value}")

    def _done(self, outcome: Outcome, detail: str) -> TransferOutcome:
        assert self._request is not None
        to, self._request, self.deadline = self._request.to, None, None
        return TransferOutcome(to, outcome, detail)
