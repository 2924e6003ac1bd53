"""Whether a peer's system still confirms what it is sent, though nothing is heard of its process: hung, or cut off.

A process that is stopped or busy keeps its connections, and its system acknowledges what arrives. A network that stands
delivers no acknowledgements. Only Linux tells that. Behind a proxy it is known of the way to the proxy only.
"""

from __future__ import annotations

import socket
import struct
import sys

__all__ = ["unconfirmed_bytes"]


def unconfirmed_bytes(connection: socket.socket | None) -> int | None:
    """Return how many bytes were sent and not acknowledged, or could not be sent; None where that is not known."""
    if connection is None or not sys.platform.startswith("linux"):
        return None
    from fcntl import ioctl
    from termios import TIOCOUTQ  # of a socket of TCP: SIOCOUTQ, tcp(7)

    try:
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) != socket.IPPROTO_TCP:
            return None
        return int(struct.unpack("i", ioctl(connection.fileno(), TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):  # it is closed
        return None
