"""Keys (DTMF) in INFO requests. No I/O.

No standard says what the body looks like. There are Cisco's `application/dtmf-relay` (lines with `Signal=` and
`Duration=`) and `application/dtmf` (the key alone), and Nortel's `application/vnd.nortelnetworks.digits` (a line with
`d=`), and there are phones that mix them. So the body decides, and not which of these types it has.

Source: RFC 6086 for INFO itself.
"""

from __future__ import annotations

import re

__all__ = ["INFO_TYPES", "info_digits"]

INFO_TYPES = ("application/dtmf-relay", "application/dtmf", "application/vnd.nortelnetworks.digits")
"""The types of body that are read."""
_FLASH_TYPE = "application/hook-flash"

_LINE = re.compile(
    rb"^[ \t]*(?:signal|digits?|d)[ \t]*[=:][ \t]*\"?([0-9a-z*#%]{1,9})\"?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_PLAIN = re.compile(rb"[0-9A-D*#]{1,16}", re.IGNORECASE)
_NAMED = {
    "10": "*",
    "11": "#",
    "12": "A",
    "13": "B",
    "14": "C",
    "15": "D",
    "star": "*",
    "asterisk": "*",
    "pound": "#",
    "hash": "#",
    "%23": "#",
    "%2a": "*",
    "16": "",
    "flash": "",
    "hf": "",
}
_ALONE = {b"10": "*", b"11": "#", b"16": ""}  # in a body without a name; there may be several keys in one


def info_digits(content_type: str, body: bytes) -> str | None:
    """Read the keys in the body of an INFO.

    Args:
        content_type: The type of the body in lower case, without parameters.
        body: The body as it came.

    Returns:
        The keys; "" when there is no body, or a hook flash in it; None when the INFO is about something else.
    """
    body = body.strip(b" \t\r\n\0")
    if not body or content_type == _FLASH_TYPE:
        return ""
    if content_type not in INFO_TYPES:
        return None
    line = _LINE.search(body.replace(b"\r", b"\n"))
    if line is not None:
        value = line.group(1).decode().lower()
        if value in _NAMED:
            return _NAMED[value]
        return value.upper() if _PLAIN.fullmatch(value.encode()) else None
    if _PLAIN.fullmatch(body) is None:
        return None
    return _ALONE.get(body, body.decode().upper())
