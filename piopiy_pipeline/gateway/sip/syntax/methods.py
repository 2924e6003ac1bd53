"""Small bodies and lists: what we allow, keys by INFO."""

from __future__ import annotations

import re

__all__ = ["ALLOW", "KNOWN_METHODS", "SUPPORTED", "info_digits"]

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, REGISTER"
SUPPORTED = "timer"
_MORE = ("REFER", "UPDATE", "PRACK", "SUBSCRIBE", "PUBLISH", "MESSAGE")
KNOWN_METHODS = frozenset((*ALLOW.split(", "), *_MORE))
"""Methods that are refused with 405 rather than 501 where they are not allowed."""

_SIGNAL = re.compile(rb"^\s*Signal\s*=\s*([0-9A-Da-d*#]|1[0-5])\s*$", re.MULTILINE)
_PLAIN = re.compile(rb"\s*([0-9A-Da-d*#]{1,16})\s*")
_BY_NUMBER = {b"10": "*", b"11": "#", b"12": "A", b"13": "B", b"14": "C", b"15": "D"}


def info_digits(content_type: str, body: bytes) -> str | None:
    """The keys in an INFO: "" when it has no body, None when it is about something else."""
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
