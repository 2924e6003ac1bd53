"""`loop_of`: an event loop whose UDP sockets are in the range of ports that the operator has set, for a firewall.

aioice asks the running loop for a UDP socket at port 0, "any", and has no setting for it. The loop is the one place
that decides which port that is, and asyncio lets everybody bring a loop of their own: nothing of aioice is touched. A
socket that names its port, or none (of a TURN server, or to look a name up), is left as it is.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from typing import Any

__all__ = ["UdpPorts", "loop_of"]

MOST_TRIES = 1000
"""So many ports in turn are tried: other leg processes, and other programs, may have them."""
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


class UdpPorts:
    """The range, and which port is next: in turn, so that the last packets of one call do not reach the next one."""

    def __init__(self) -> None:
        self._first, self._number, self._next = 0, 0, 0

    def set(self, first: int, last: int) -> None:
        """Use these ports from now on, the last one as well."""
        self._first, self._number = first, last - first + 1
        self._next = random.randrange(self._number)  # other leg processes have the same range

    def __bool__(self) -> bool:
        return self._number > 0

    def bind(self, host: str) -> socket.socket:
        """Return a socket that is bound to the next free port of an address. The caller closes it.

        Raises:
            OSError: None is free, or there is no such address.
        """
        # Not uvloop: a socket that it could not bind keeps it from closing.
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
        udp = socket.socket(family, kind, protocol)
        try:
            udp.setblocking(False)
            self._bind_next(udp, address)
        except BaseException:
            udp.close()
            raise
        return udp

    def _bind_next(self, udp: socket.socket, address: Any) -> None:
        for _ in range(min(self._number, MOST_TRIES)):
            port = self._first + self._next
            self._next = (self._next + 1) % self._number
            try:
                udp.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, "no port of webrtc_ports is free")


def loop_of(base: type[asyncio.AbstractEventLoop], ports: UdpPorts) -> asyncio.AbstractEventLoop:
    """Make a loop.

    Args:
        base: The class of loops, asyncio's or uvloop's.
        ports: The range. It may be set later.
    """

    class PortRangeLoop(base):  # type: ignore[valid-type, misc]
        async def create_datagram_endpoint(
            self, protocol_factory: Any, local_addr: Any = None, *args: Any, **more: Any
        ) -> Any:
            endpoint = super().create_datagram_endpoint
            if local_addr is None or local_addr[1] != 0 or not ports:
                return await endpoint(protocol_factory, local_addr, *args, **more)
            return await endpoint(protocol_factory, *args, sock=ports.bind(local_addr[0]), **more)

    loop: asyncio.AbstractEventLoop = PortRangeLoop()
    return loop
