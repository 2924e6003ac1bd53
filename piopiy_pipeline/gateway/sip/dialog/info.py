"""Keys (DTMF) in INFO requests, from phones that send no telephone events. No I/O.

Source: RFC 6086; the body types application/dtmf-relay and application/dtmf are Cisco's.
"""

from __future__ import annotations

import re

__all__ = ["info_digits"]

_SIGNAL = re.compile(rb"^\s*Signal\s*=\s*([0-9A-Da-d*#]|1[0-5])\s*$", re.MULTILINE)
_PLAIN = re.compile(rb"\s*([0-9A-Da-d*#]{1,16})\s*")
_BY_NUMBER = {b"10": "*", b"11": "#", b"12": "A", b"13": "B", b"14": "C", b"15": "D"}


def info_digits(content_type: str, body: bytes) -> str | None:
    """Read the keys in the body of an INFO.

    Args:
        content_type: The type of the body in lower case, without parameters.
        body: The body as it came.

    Returns:
        The keys; "" when there is no body, None when the INFO is about something else.
    """
    if not body.strip():
        return ""
    if content_type == "application/dtmf-relay":
        signal = _SIGNAL.search(body)
        if signal is None:
            return None
        return _BY_NUMBER.get(signal.group(1), signal.group(1).decode().upper())
    if content_type == "application/dtmf":
        plain = _PLAIN.fullmatch(body)
        return plain.group(1).decode().upper() if plain else None
    return None
