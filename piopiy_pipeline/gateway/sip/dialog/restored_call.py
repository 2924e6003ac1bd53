"""A call that another process began: its dialog goes on here, from the same address. No I/O.

Source: RFC 3261, sections 12 and 14.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.sip.dialog.kept_dialog import KeptDialog
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import TransactionLayer

__all__ = ["RestoredCall"]


class RestoredCall(SipCall):
    """A call in progress from the beginning.

    Args:
        transactions: Sends the requests and responses of this call.
        kept: Its dialog.
        now: The time in seconds.
        credentials: The password to give when one is asked for.

    Raises:
        ValueError: Our session description cannot be read.
    """

    def __init__(
        self, transactions: TransactionLayer, kept: KeptDialog, now: float, credentials: Credentials | None
    ) -> None:
        super().__init__(transactions, call_id=kept.call_id, local_tag=kept.local_tag, source=kept.flow)
        self.direction = kept.direction
        self.user = kept.user
        self._credentials = credentials
        self._dialog = kept.dialog()
        self._local = SessionDescription.parse(kept.ours.encode())
        self._state = "up"
        self.session_timer.resume(kept.session_interval_s, ours=kept.we_refresh, now=now)
        transactions.set_timer(self)

    @property
    def ours(self) -> SessionDescription:
        """Our session description as it was agreed on."""
        assert self._local is not None
        return self._local

    def refresh(self, now: float) -> None:
        """Send a re-INVITE: it shows whether the other side still has the call, and has its sound begin anew."""
        if not self.ended:
            self._refresh_session(now)
