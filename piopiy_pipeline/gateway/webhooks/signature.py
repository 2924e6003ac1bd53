"""How a message is signed: the scheme of Standard Webhooks, version 1, with a shared secret. No I/O.

The signature is the HMAC-SHA256 of ``<id>.<timestamp>.<body>``: who forges a message needs the secret,
and who repeats an old one is told by its time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

__all__ = ["signed_headers"]


def signed_headers(key: bytes, message_id: str, body: bytes, unix_s: float) -> dict[str, str]:
    """The headers of one attempt, made at the Unix time `unix_s` in seconds."""
    timestamp = str(int(unix_s))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
