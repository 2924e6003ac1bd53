"""Is anybody there? OPTIONS outside of any call. No I/O. Source: RFC 3261, 11."""

from __future__ import annotations

from collections.abc import Callable

from piopiy_pipeline.gateway.sip.agent.location import NextHop
from piopiy_pipeline.gateway.sip.syntax.message import Flow, SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.outgoing_request import OutgoingRequest
from piopiy_pipeline.gateway.sip.transaction.authenticated_request import (
    AuthenticatedRequest,
    TransactionUser,
)

__all__ = ["Answered", "ask"]

Answered = Callable[[int, str, float], None]
"""Told the status and its phrase: 408 for silence, 503 where nothing could be sent."""


def ask(line: TransactionUser, way: NextHop, done: Answered, now: float) -> None:
    """Ask there, with the password if there is one to give."""
    own = line.contact(way.flow, way.user)
    request = OutgoingRequest(
        method="OPTIONS",
        uri=way.uri,
        flow=way.flow,
        branch="z9hG4bK" + line.token(),
        sent_by=line.sent_by(way.flow),
        sequence=1,
        headers=(
            ("From", f"{own};tag={line.token()}"),
            ("To", f"<{way.uri}>"),
            ("Call-ID", line.token()),
            ("Contact", own),
            ("Accept", "application/sdp"),
        ),
    )

    def answered(response: SipResponse, source: Flow, now: float) -> None:
        if response.code >= 200:
            done(response.code, clean(response.phrase), now)

    AuthenticatedRequest(
        line, request, way.credentials, answered, lambda code, now: done(code, "", now)
    ).begin(now)
