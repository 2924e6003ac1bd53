"""The transfer of one call: whom the caller is handed to, and what became of it. No I/O.

    warm:  the caller goes on talking to the bot -- it rings there --> joined | the bot is told why not
    cold:  the caller's own phone is sent there (REFER), where its leg can do that;
           else the caller hears it ring                           --> joined | back to the bot, told why

Of a caller whose own network makes transfers (`Leg.transfer`), both are asked of that.

A caller is never left alone: whatever fails, the bot is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from piopiy_pipeline.audio.tones import ToneName
from piopiy_pipeline.call import EndReason, TransferOutcomeName
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialRefused, DialRequest
from piopiy_pipeline.gateway.core.gateway_call_state import GatewayCallState
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.signaling.messages import Transfer, TransferResult

__all__ = ["CallTransfer"]

SUMMARY_HEADER = "X-Call-Summary"
NETWORK_S = 5.0
"""How much longer than it may ring a caller's own network is waited for, in seconds."""
_SUMMARY_CHARS = 500
"""A SIP message over UDP has to fit into a datagram."""


class CallTransfer:
    """One transfer, from the request to its result. It is the `DialledListener` of the leg that it dials.

    Args:
        request: Whom to transfer to, and how.
        call: The state of the call whose caller is transferred.
        hold: Puts the caller on hold, who hears this tone.
        resume: Ends that.
        on_result: Called once, with the result and the time in seconds.
        from_number: The number that whoever is called sees. None: the caller's own.
        headers: More SIP headers for the invitation.
        on_far_hangup: Called with the time and a detail when the person whom the caller was joined with hangs
            up.
    """

    def __init__(
        self,
        request: Transfer,
        *,
        call: GatewayCallState,
        hold: Callable[[ToneName], None],
        resume: Callable[[], None],
        on_result: Callable[[TransferResult, float], None],
        on_far_hangup: Callable[[float, str], None],
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.request = request
        self.from_number = from_number
        self.headers = dict(headers or {})
        self.deadline: float | None = None
        self.far: Leg | None = None
        self.joined = False
        self._call = call
        self._hold = hold
        self._resume = resume
        self._on_result = on_result
        self._on_far_hangup = on_far_hangup
        self._over = False

    # ------------------------------------------------------------------ the call's side

    @property
    def pending(self) -> bool:
        """Whether the outcome is still open."""
        return self.deadline is not None

    def begin(self, now: float) -> None:
        """Ask the caller's network, refer the caller's phone, or dial."""
        self.deadline = now + self.request.ring_timeout_s
        if self._call.leg.transfer(
            self.request, self._transferred, from_number=self.from_number, headers=self.headers
        ):
            self.deadline += NETWORK_S
        elif self.request.warm or not self._call.leg.refer(self.request.to, self._referred):
            self._dial(now)

    def tick(self, now: float) -> None:
        """Give up if nobody has answered in time."""
        if self.deadline is not None and now >= self.deadline:
            self._fail("no_answer", f"nobody answered within {self.request.ring_timeout_s:g} s", now)

    def abandon(self, reason: EndReason) -> None:
        """End the dialled leg, joined or not, because the call is over or belongs to somebody else now."""
        self._over = True
        self.deadline = None
        if self.far is not None:
            self.far.end(reason, "")

    # ------------------------------------------------------------------ how it goes

    def _dial(self, now: float) -> None:
        headers = dict(self.headers)
        if self.request.summary:
            headers[SUMMARY_HEADER] = " ".join(self.request.summary.split())[:_SUMMARY_CHARS]
        try:
            leg = self._call.resources.dialler.dial(
                DialRequest(
                    self.request.to,
                    self.from_number or self._call.info.from_number,
                    headers,
                    self.request.ring_timeout_s,
                )
            )
        except DialRefused as error:
            self._fail("refused" if error.obstacle == "not_allowed" else "unreachable", str(error), now)
            return
        self.far = leg
        if not self.request.warm:
            self._hold("ringback")
        leg.call(self)

    def _referred(self, accepted: bool, detail: str, now: float) -> None:
        if self._over:
            return
        if accepted:
            self._over = True
            self.deadline = None
            self._report("bridged", detail, now)
        else:
            self._dial(now)  # the phone refused to be referred: its caller is connected from here

    def _transferred(self, outcome: TransferOutcomeName, detail: str, now: float) -> None:
        """Take what the caller's own network says of the transfer."""
        if self._over:
            return
        self._over = True
        self.deadline = None
        self._report(outcome, detail, now)

    def _fail(self, outcome: TransferOutcomeName, detail: str, now: float) -> None:
        if self._over:
            return
        self.abandon(EndReason.NO_ANSWER)
        if not self.request.warm:
            self._resume()
        self._report(outcome, detail, now)

    def _report(self, outcome: TransferOutcomeName, detail: str, now: float) -> None:
        self._on_result(
            TransferResult(
                call_id=self.request.call_id,
                request_id=self.request.request_id,
                to=self.request.to,
                outcome=outcome,
                detail=detail,
            ),
            now,
        )

    # ------------------------------------------------------------------ what the dialled leg tells

    def callee_ringing(self, now: float) -> None:
        """Do nothing: the bot talks on, or the caller hears ringing already."""

    def callee_answered(self, now: float) -> None:
        if self._over or self.far is None:
            return
        self.joined = True
        self.deadline = None
        self._report("bridged", "", now)

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        self._fail(why, detail, now)

    def caller_audio(self, pcm: bytes) -> None:
        bridge = self._call.media_path.bridge
        if bridge is not None and not self._over:
            bridge.far_audio(pcm)

    def caller_dtmf(self, digits: str) -> None:
        if self.joined and not self._over:
            self._call.leg.dtmf(digits)

    def caller_data(self, data: dict[str, Any]) -> None:
        """Ignore it, because the person whom the caller is joined with has no application."""

    def caller_hangup(self, now: float, detail: str = "") -> None:
        if self.joined and not self._over:
            self._on_far_hangup(now, detail)
        else:
            self._fail("declined", detail or "they hung up", now)
