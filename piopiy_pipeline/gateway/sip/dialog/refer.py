"""A blind transfer within a call: REFER, and the NOTIFYs that report its progress. No I/O. Source: RFC 3515."""

from __future__ import annotations

import re

from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse, clean
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri

__all__ = ["ReferTransfer", "transfer_headers"]

Progress = tuple[int, str]

_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})(?: ([^\r\n]{0,200}))?")


def transfer_headers(target: str, contact: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a REFER.

    Args:
        target: The ``sip:`` or ``tel:`` URI to call.
        contact: Our Contact, in angle brackets.

    Raises:
        ValueError: `target` is no URI that can be called.
    """
    if not target.isascii():
        raise ValueError(f"no URI: {target[:80]!r}")
    SipUri.parse(target)
    return ("Refer-To", f"<{target}>"), ("Referred-By", contact)


class ReferTransfer:
    """The state of the transfers within one call, one at a time."""

    def __init__(self) -> None:
        self._under_way = False

    def begin(self) -> bool:
        """Note that REFER is about to be sent. Returns False when a transfer is under way."""
        if self._under_way:
            return False
        self._under_way = True
        return True

    def answered(self, response: SipResponse) -> Progress | None:
        """Read the response to our REFER; returns the progress to report, if any."""
        if response.code < 200:
            return None
        if response.code < 300:
            return 100, "Trying"
        self._under_way = False
        return response.code, clean(response.phrase)

    def notified(self, request: SipRequest) -> tuple[int, tuple[tuple[str, str], ...], Progress | None]:
        """Read a NOTIFY; returns the status and headers to answer it with, and the progress to report, if any."""
        if request.get("Event").partition(";")[0].strip().lower() != "refer":
            return 489, (("Allow-Events", "refer"),), None
        if not self._under_way:
            return 481, (), None
        status = _status(request.body)
        terminated = request.get("Subscription-State").strip().lower().startswith("terminated")
        if status is None and terminated:
            status = (503, "the transfer ended without saying how")
        if status is not None and status[0] >= 200:
            # Phones that end the subscription at once say "100 Trying" in it, and go on: their BYE shows how it went.
            self._under_way = False
        return 200, (), status


def _status(body: bytes) -> tuple[int, str] | None:
    """Return the status line in the body of a NOTIFY (RFC 3515, section 2.4.5); None if there is none."""
    match = _STATUS.match(body.lstrip())
    if match is None:
        return None
    return int(match.group(1)), clean((match.group(2) or b"").decode("utf-8", "replace")).strip()
