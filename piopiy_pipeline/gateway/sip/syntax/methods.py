"""The methods and extensions that this user agent knows. No I/O. Source: RFC 3261, sections 8.2.1 and 8.2.2.3."""

from __future__ import annotations

from piopiy_pipeline.gateway.sip.syntax.message import SipRequest

__all__ = ["ALLOW", "CAPABILITIES", "KNOWN_METHODS", "SUPPORTED", "WITHIN_DIALOGS", "unsupported"]

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REGISTER"
SUPPORTED = "timer"
CAPABILITIES = (("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", SUPPORTED))
"""The headers of a response to OPTIONS (section 11.2)."""
_NOT_ALLOWED = ("REFER", "UPDATE", "PRACK", "SUBSCRIBE", "PUBLISH", "MESSAGE")
KNOWN_METHODS = frozenset((*ALLOW.split(", "), *_NOT_ALLOWED))
"""Methods that are refused with 405 rather than 501 where they are not allowed."""

WITHIN_DIALOGS = frozenset(("BYE", "INFO", "NOTIFY"))
"""Methods that are allowed within a dialog only, so that outside of one they are refused with 481 (section 15.1.2)."""


def unsupported(request: SipRequest) -> str:
    """The extensions that a request requires and that are not known here, as a list with commas (section 8.2.2.3).

    Raises:
        ValueError: The Require header cannot be read.
    """
    return ", ".join(name for name in request.listed("Require") if name.lower() != SUPPORTED)
