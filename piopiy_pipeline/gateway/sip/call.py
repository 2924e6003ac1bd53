"""A telephone call as SIP sees it: INVITE to BYE, either way, without I/O. (Interface; the body follows.)"""

from __future__ import annotations

from typing import Literal

from piopiy_pipeline.gateway.sip.listeners import CallListener
from piopiy_pipeline.gateway.sip.sdp import SessionDescription

__all__ = ["SipCall"]


class SipCall:
    """One call. Nothing here waits; after the end everything is safe to call and does nothing.

    `now` is the event loop's time in seconds. What is to be sent is sent by whoever owns the user agent.
    """

    direction: Literal["in", "out"]
    call_id: str
    """SIP's Call-ID."""
    agent_id: str
    """Who is to answer, by the configured routes (incoming)."""
    from_user: str
    """The caller's number or name, as in From; empty for anonymous callers."""
    from_name: str
    """The caller's display name; empty when there is none."""
    to_user: str
    """The number or name that was dialled, of the Request-URI."""
    headers: dict[str, str]
    """`X-` headers and a few of interest (User-Agent, P-Asserted-Identity, Diversion), names as sent."""
    source: tuple[str, int]
    """The address from which the first message came, or to which it goes."""
    offer: SessionDescription | None
    """The caller's offer; None when the caller leaves it to us (then `answer` carries ours)."""

    def attach(self, listener: CallListener) -> None:
        """From now on, tell this leg what the other side does."""

    def ring(self, now: float) -> None:
        """Incoming: 180 Ringing."""

    def progress(self, description: SessionDescription, now: float) -> None:
        """Incoming: 183 Session Progress with early media."""

    def answer(self, description: SessionDescription, now: float) -> None:
        """Incoming: 200 OK. `call_answered` follows with the ACK; sound may flow at once."""

    def reject(self, code: int, phrase: str, now: float) -> None:
        """Incoming, before the answer: refuse with a final status (300-699)."""

    def hangup(self, now: float) -> None:
        """End it as its state wants: BYE, CANCEL (outgoing), or 480 (incoming, unanswered).

        `call_ended` is told at once (HUNG_UP or CANCELLED): the dialog's last messages need no leg.
        """

    def reoffer(self, description: SessionDescription, now: float) -> bool:
        """Change the media by a re-INVITE (hold, resume). False: not now, another is under way."""
        raise NotImplementedError

    def refer(self, target: str, now: float) -> bool:
        """Blind transfer: ask the other side to call `target` (a `sip:` or `tel:` URI). False: not now."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        raise NotImplementedError
