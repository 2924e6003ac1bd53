"""Framing: where one message ends and the next begins on a connection, by Content-Length. No I/O.

Source: RFC 3261, 18.3; RFC 5626, 4.4.1 (keep-alives).
"""

from __future__ import annotations

import re

from piopiy_pipeline.gateway.sip.syntax.message import MAX_MESSAGE_BYTES

__all__ = ["Framer", "FramingError"]

_MAX_HEAD = 32 * 1024
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d{1,6})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class FramingError(ValueError):
    """What came on a connection cannot be divided into messages, so the connection must be closed."""


class Framer:
    """Takes bytes as they come, and gives whole messages. It never holds more than the bytes of one message."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0
        """Keep-alives (double line ends) since this was last set to 0: each is answered with a single line end."""

    @property
    def waiting(self) -> bool:
        """Whether a part of a message waits for the rest."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes.

        Returns:
            The messages that are whole now.

        Raises:
            FramingError: What came cannot be divided into messages.
        """
        self._buffer += data
        messages: list[bytes] = []
        while True:
            self._skip_line_ends()
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _MAX_HEAD:
                    raise FramingError(f"headers of more than {_MAX_HEAD} bytes")
                return messages
            size = end + 4 + self._length(end)
            if size > MAX_MESSAGE_BYTES:
                raise FramingError(f"a message of {size} bytes")
            if len(self._buffer) < size:
                return messages
            messages.append(bytes(self._buffer[:size]))
            del self._buffer[:size]

    def _skip_line_ends(self) -> None:
        kept = self._buffer.lstrip(b"\r\n")
        skipped = len(self._buffer) - len(kept)
        if skipped >= 4 or (skipped and kept):
            self.pings += skipped // 4
            del self._buffer[:skipped]

    def _length(self, end: int) -> int:
        found = _LENGTH.findall(bytes(self._buffer[: end + 2]))
        if len(set(found)) != 1:
            raise FramingError("a message on a connection needs one Content-Length")
        return int(found[0])
