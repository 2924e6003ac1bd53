"""Frames on the socket between the gateway and a leg process. No I/O.

A frame is the length of its body (4 bytes), its kind (1) and the number of its leg (4; 0 for the process),
little-endian, and then the body: PCM16 mono for audio, JSON for events. Both ends are of one release and run on
one machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

__all__ = ["FrameKind", "Splitter", "WireError", "pack"]

MAX_BODY = 1 << 20
_HEADER = Struct("<IBI")


class WireError(ValueError):
    """The other end sent bytes that are no frame, or a frame that holds no message."""


class FrameKind(IntEnum):
    """Says what the body of a frame is."""

    AUDIO = 0
    EVENT = 1


def pack(kind: FrameKind, leg: int, body: bytes) -> bytes:
    """Make a frame for the socket between the gateway and a leg process.

    Args:
        kind: What the body is.
        leg: The number of the leg that it is about.
        body: A message as JSON, or PCM.

    Raises:
        WireError: The other end would refuse the body.
    """
    if len(body) > MAX_BODY:
        raise WireError(f"a message of {len(body)} bytes: {MAX_BODY} are the limit")
    return _HEADER.pack(len(body), kind, leg) + body


class Splitter:
    """Splits the bytes of the socket into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take bytes and yield the frames that are now complete.

        Yields:
            The kind, the number of the leg, and the body.

        Raises:
            WireError: A frame is longer than allowed.
        """
        self._buffer += data
        at, size = 0, len(self._buffer)
        try:
            while size - at >= _HEADER.size:
                length, kind, leg = _HEADER.unpack_from(self._buffer, at)
                if length > MAX_BODY:
                    raise WireError(f"a frame of {length} bytes: {MAX_BODY} are the limit")
                end = at + _HEADER.size + length
                if end > size:
                    break
                body = bytes(self._buffer[at + _HEADER.size : end])
                at = end
                yield kind, leg, body
        finally:
            del self._buffer[:at]
