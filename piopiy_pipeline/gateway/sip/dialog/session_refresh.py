"""The re-INVITEs of ours that refresh a session: they change nothing, and show that the other side is there. No I/O.

Its tests are in `tests/gateway/sip/dialog/test_sip_call.py`. The other side's re-INVITEs are answered in `sip_call.py`.

Source: RFC 4028, sections 7.4 and 10; RFC 3261, section 14.1.
"""

from __future__ import annotations

from typing import NamedTuple

from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.message import SipResponse
from piopiy_pipeline.gateway.sip.syntax.methods import ALLOW, SUPPORTED
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["RefreshFailure", "SessionRefresh"]


class RefreshFailure(NamedTuple):
    """Why the call ends after a refresh."""

    ending: Ending
    code: int
    phrase: str


class SessionRefresh:
    """The refreshes of one call, one at a time.

    Args:
        transactions: Sends the ACKs.
        timer: Says when the next refresh is due.
    """

    def __init__(self, transactions: TransactionLayer, timer: SessionTimer) -> None:
        self.under_way = False
        """Whether a re-INVITE of ours waits for its final response."""
        self._transactions, self._timer = transactions, timer
        self._last_acked: int | None = None  # the number of the re-INVITE whose 2xx was acknowledged last

    def begin(self) -> tuple[tuple[str, str], ...]:
        """Return the headers of a re-INVITE that is about to be sent."""
        self.under_way = True
        return (("Allow", ALLOW), ("Supported", SUPPORTED), *self._timer.request_headers())

    def receive(
        self, dialog: Dialog, response: SipResponse, now: float
    ) -> SessionDescription | RefreshFailure | None:
        """Read a response to the re-INVITE, and acknowledge a 2xx.

        Returns:
            The other side's answer, or why the call has to end; None when there is nothing to do.
        """
        if response.code < 200:
            return None
        if response.code < 300:
            return self._accepted(dialog, response, now)
        self.under_way = False
        if response.code in (408, 481):
            return RefreshFailure(Ending.LOST, response.code, response.phrase)
        self._timer.refused(response, now)
        return None

    def _accepted(
        self, dialog: Dialog, response: SipResponse, now: float
    ) -> SessionDescription | RefreshFailure | None:
        sequence = response.cseq.sequence
        repeated = self._last_acked == sequence  # the ACK was lost
        self._last_acked = sequence
        result: SessionDescription | RefreshFailure | None = None
        if not repeated:
            self.under_way = False
            try:
                dialog.retarget(response.addresses("Contact"))
                result = SessionDescription.parse(response.description())
                self._timer.answered(response, now)
            except ValueError as error:
                result = RefreshFailure(Ending.HUNG_UP, 488, f"no usable answer: {error}")
        self._transactions.send(dialog.ack(sequence, branch=self._transactions.branch()))
        return result
