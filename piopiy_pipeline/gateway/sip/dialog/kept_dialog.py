"""A call's dialog as another process needs it to go on with the call: small, and without what follows from it. No I/O.

The numbers of requests are not kept at each request. Whoever goes on counts from far ahead, which no peer may refuse,
and takes the other side's next number as it comes (RFC 3261, section 12.2.2).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from piopiy_pipeline.gateway.sip.dialog.dialog import Dialog
from piopiy_pipeline.gateway.sip.dialog.session_timer import SessionTimer
from piopiy_pipeline.gateway.sip.sdp.negotiation import SessionDescription
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import MAX_HEADER_BYTES, MAX_MESSAGE_BYTES
from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["AHEAD", "KeptDialog"]

AHEAD = 1000
"""So many requests of ours may have been sent since the dialog was kept."""

_Text = Annotated[str, Field(max_length=MAX_HEADER_BYTES)]  # so what a message that is taken can have


class KeptDialog(Message):
    """The words are those of `Dialog`; the session descriptions are as they were on the wire."""

    direction: Literal["in", "out"]
    user: _Text
    call_id: _Text
    local: _Text
    local_tag: _Text
    remote: _Text
    remote_tag: _Text
    target: _Text
    routes: Annotated[list[_Text], Field(max_length=64)]
    transport: Literal["udp", "tcp", "tls"]
    host: _Text
    port: Annotated[int, Field(ge=0, le=65535)]
    contact: _Text
    sent_by: _Text
    sequence: Annotated[int, Field(ge=0)]
    session_interval_s: Annotated[int, Field(gt=0)] | None
    """The session timer's interval (RFC 4028); None: it is off."""
    we_refresh: bool
    account: _Text = ""
    """As whom our requests answer a challenge: the user of a trunk; empty: they cannot. The password is not kept."""
    ours: Annotated[str, Field(max_length=MAX_MESSAGE_BYTES)]
    """Our latest session description."""

    @classmethod
    def of(
        cls,
        dialog: Dialog,
        timer: SessionTimer,
        ours: SessionDescription,
        *,
        direction: Literal["in", "out"],
        user: str,
        account: str = "",
    ) -> Self:
        """Return what is kept of a call in progress.

        Bytes of the two addresses that are no UTF-8 are replaced: they can be in what people are called, which nobody
        compares.

        Raises:
            ValueError: One of its texts is too long, or has such bytes elsewhere.
        """
        interval_s, we_refresh = timer.agreed
        return cls(
            direction=direction,
            user=user,
            account=account,
            call_id=dialog.call_id,
            local=_valid(dialog.local),
            local_tag=dialog.local_tag,
            remote=_valid(dialog.remote),
            remote_tag=dialog.remote_tag,
            target=dialog.target,
            routes=dialog.routes,
            transport=dialog.flow.transport,
            host=dialog.flow.host,
            port=dialog.flow.port,
            contact=dialog.contact,
            sent_by=dialog.sent_by,
            sequence=dialog.sequence,
            session_interval_s=interval_s,
            we_refresh=we_refresh,
            ours=bytes(ours).decode("utf-8", "replace"),
        )

    @property
    def flow(self) -> Flow:
        """Where the other side's messages came from."""
        return Flow(self.transport, self.host, self.port)

    def dialog(self) -> Dialog:
        """Return the dialog, from which requests can be sent."""
        return Dialog(
            call_id=self.call_id,
            local=self.local,
            local_tag=self.local_tag,
            remote=self.remote,
            remote_tag=self.remote_tag,
            target=self.target,
            routes=list(self.routes),
            flow=self.flow,
            contact=self.contact,
            sent_by=self.sent_by,
            sequence=self.sequence + AHEAD,
        )


def _valid(text: str) -> str:
    """Return what came in a message as valid Unicode."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
