"""What `signaling.websocket` uses of websockets beyond its documented interface, and a `connect` without redirects.

A connection here reads and writes whole messages without websockets' queues, which needs to know two
things that only its parser knows: whether all bytes that came have been parsed, up to the end of a
frame, and how long a message may be.
"""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.streams import StreamReader

from piopiy_pipeline.compat import CompatError, check_attributes

if TYPE_CHECKING:
    from websockets.utils import apply_mask
else:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # a platform without websockets' C extension
        from websockets.utils import apply_mask

__all__ = [
    "apply_mask",
    "can_write_past",
    "check",
    "connect_here",
    "max_message_size",
    "parser_waits_for_frame",
    "set_max_message_size",
]

WEBSOCKETS = ">=16,<18"
"""The versions that this file was written for, as in pyproject.toml; tested with 16.0 and 17.4."""


class connect_here(connect):
    """websockets' `connect`, for an address that its user has chosen: where a redirect leads, it does not go.

    websockets goes there without the token, so that the user is told of a wrong one; or raises a ValueError, if the
    address is none, or the name of this one was resolved already. Here a redirect is an `InvalidStatus`, as any other
    answer of what is no gateway.
    """

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return what is to be raised."""
        return exc


def parser_waits_for_frame(protocol: Protocol) -> bool:
    """Return whether websockets has parsed everything it was given, up to the end of a frame.

    Its parser is a generator that asks at the beginning of each frame, and nowhere else, whether the
    stream has ended (`StreamReader.at_eof`). While a message is in fragments, or an extension has to be
    undone, this is False, because the next frame is no message of its own.
    """
    if protocol.state is not OPEN or protocol.extensions or protocol.debug:
        return False
    if protocol.current_size is not None or protocol.max_fragment_size is not None:
        return False
    waits: Any = protocol.parser
    while isinstance(within := waits.gi_yieldfrom, GeneratorType):
        waits = within
    return not protocol.reader.buffer and waits.__name__ == "at_eof"


def can_write_past(protocol: Protocol) -> bool:
    """Return whether a frame may be written to the transport directly.

    False while websockets has something to send itself, which must go first, and where it would have
    changed the frame (an extension) or logged it.
    """
    return not (protocol.extensions or protocol.debug or protocol.writes)


def max_message_size(protocol: Protocol) -> int | None:
    """Return the `max_size` that the connection was made with, in bytes. None is no limit."""
    return protocol.max_message_size


def set_max_message_size(protocol: Protocol, size: int) -> None:
    """Let the next messages have so many bytes, and no more: websockets looks at the beginning of each frame."""
    protocol.max_message_size = size


def check() -> None:
    """Check that websockets is inside as this module and `signaling.websocket` need it.

    Raises:
        CompatError: Says what an upgrade has changed.
    """
    # `signaling.websocket` overrides the first four.
    overridden = ("data_received", "process_event", "connection_lost", "close")
    used = ("send_data", "wait_closed", "connection_lost_waiter", "loop", "protocol")
    parser = ("parser", "reader", "current_size", "max_message_size", "max_fragment_size")
    sending = ("writes", "extensions", "debug", "side", "state", "send_text", "send_binary", "send_close")
    check_attributes(
        "websockets",
        [
            *((Connection, name) for name in (*overridden, *used)),
            *((Protocol, name) for name in (*parser, *sending)),
            (connect, "process_redirect"),
            (StreamReader, "buffer"),
        ],
        written_for=WEBSOCKETS,
        used_in=__name__,
    )
    protocol = Protocol(Side.SERVER, state=OPEN)
    frame = Frame(Opcode.BINARY, b"1234").serialize(mask=True)
    seen = [parser_waits_for_frame(protocol)]
    for piece in (frame[:3], frame[3:]):
        protocol.receive_data(piece)
        seen.append(parser_waits_for_frame(protocol))
    if seen != [True, False, True]:
        raise CompatError(
            "websockets",
            "its parser does not wait for a frame in StreamReader.at_eof",
            written_for=WEBSOCKETS,
            used_in=__name__,
        )


check()
