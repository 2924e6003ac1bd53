"""The media ports: for each call an even port for RTP and the odd one above it for RTCP (RFC 3550, section 11).

They are used in turn, so that the last packets of one call do not reach the next one.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from dataclasses import dataclass

__all__ = ["MediaSockets", "NoPortError", "PortPool"]

RECEIVE_BYTES = 128 << 10
"""The receive buffer of a socket between two reads. The kernel counts a packet of 172 bytes as 768."""
_MOST_TRIES = 64  # others may use some of the ports; so many in a row are no accident
_SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it


class NoPortError(OSError):
    """There is no free pair of ports for RTP and RTCP."""


@dataclass(frozen=True, slots=True)
class MediaSockets:
    """The two sockets of a call, bound and non-blocking. When `stamped`, the kernel says when a packet came."""

    rtp: socket.socket
    rtcp: socket.socket
    stamped: bool

    @property
    def port(self) -> int:
        """The port of RTP, the even one."""
        port: int = self.rtp.getsockname()[1]
        return port

    def close(self) -> None:
        """Close both sockets, and free their ports."""
        self.rtp.close()
        self.rtcp.close()


class PortPool:
    """The pairs of ports of one interface.

    Args:
        host: The address of the interface.
        first: The first port.
        last: The last port.

    Raises:
        ValueError: There is no pair between `first` and `last`.
    """

    def __init__(self, host: str, first: int, last: int) -> None:
        self.host = host
        self._first = first + first % 2
        self._pairs = (last + 1 - self._first) // 2
        if self._pairs < 1:
            raise ValueError(f"ports {first} to {last}: there is no even one with an odd one above it")
        self._next = random.randrange(self._pairs)

    def open(self) -> MediaSockets:
        """Bind the next free pair.

        Raises:
            NoPortError: No pair is free.
            OSError: `host` is no address of this machine.
        """
        for _ in range(min(self._pairs, _MOST_TRIES)):
            port = self._first + 2 * self._next
            self._next = (self._next + 1) % self._pairs
            pair = self._bind(port)
            if pair is not None:
                return pair
        last = self._first + 2 * self._pairs - 1
        raise NoPortError(
            errno.EADDRINUSE, f"no ports for voice are free on {self.host}, {self._first} to {last}"
        )

    def open_at(self, port: int) -> MediaSockets:
        """Bind a pair again that a process before this one had.

        Raises:
            NoPortError: It is not free.
        """
        pair = self._bind(port)
        if pair is None:
            raise NoPortError(errno.EADDRINUSE, f"port {port} on {self.host} is not free")
        return pair

    def _bind(self, port: int) -> MediaSockets | None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sockets = []
        try:
            for each in (port, port + 1):
                sockets.append(socket.socket(family, socket.SOCK_DGRAM))
                sockets[-1].setblocking(False)
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                sockets[-1].bind((self.host, each))
        except OSError as error:
            for one in sockets:
                one.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None
            raise
        rtp, rtcp = sockets
        return MediaSockets(rtp, rtcp, stamped=_stamp(rtp) and _stamp(rtcp))


def _stamp(one: socket.socket) -> bool:
    """Ask the kernel for the times of arrival. Returns False on systems that cannot say them."""
    if sys.platform != "linux":
        return False
    try:
        one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True
