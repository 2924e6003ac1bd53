"""Flow tokens: what names a phone's flow to the gateway where the phone registered, and to no other. No I/O.

A token is the user part of a `sip:` URI in Path and Record-Route: the flow itself under this process' signature, so
that nothing has to be kept, and nobody else can make one.

Source: RFC 5626, section 5.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple, cast

from piopiy_pipeline.gateway.sip.syntax.flow import Flow, Transport

__all__ = ["FlowToken", "FlowTokens"]

_PREFIX = "flow-"
_MAC_BYTES = 12
_MAX_TOKEN = 600


class FlowToken(NamedTuple):
    """What a token says."""

    to: Flow
    """Where requests with this token go."""
    within: bool
    """Whether it is of a call under way, and not that of a registration, with which calls begin."""


class FlowTokens:
    """Makes and reads the tokens of one process.

    Args:
        secret: What they are signed with; None: random.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)

    def write(self, token: FlowToken) -> str:
        """Return the token as it stands in a URI."""
        to = token.to
        text = f"{int(token.within)},{to.transport},{to.host},{to.port}".encode()
        return _PREFIX + base64.urlsafe_b64encode(self.mac(text) + text).decode().rstrip("=")

    def read(self, token: str) -> FlowToken | None:
        """Return what a token says; None if this process has not made it."""
        if not self.looks_like_one(token):
            return None
        coded = token.removeprefix(_PREFIX)
        try:
            data = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        given, text = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(self.mac(text), given):
            return None
        within, transport, host, port = text.decode().split(",")
        return FlowToken(Flow(cast("Transport", transport), host, int(port)), within == "1")

    @staticmethod
    def looks_like_one(token: str) -> bool:
        """Return whether this is a token of some process: of this one before it was started again, say."""
        return token.startswith(_PREFIX) and len(token) <= _MAX_TOKEN and token.isascii()

    def mac(self, text: bytes) -> bytes:
        """Return the signature of `text`, 12 bytes."""
        return hmac.new(self._secret, text, hashlib.sha256).digest()[:_MAC_BYTES]
