"""A call's media on its sockets: a thin shell around `RtpSession`.

The sockets are read once a beat and not when a packet comes. Forty calls are two thousand packets a
second; to be woken for each costs more than all that is done with them, and no voice would leave the
jitter buffer before the beat anyway. The kernel tells when each of them came, so that a loop that was
busy does not look like a network that is bad. Nor is it asked whether there is another where none can be
missing: a packet that came within the last 20 ms, in a call that has what this beat needs, is nearly
always the last one, and what follows it is read with the next beat, and has its own time.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from struct import Struct

from piopiy_pipeline.gateway.access.networks import canonical_host, socket_host
from piopiy_pipeline.gateway.rtp.packet import MAX_DATAGRAM
from piopiy_pipeline.gateway.rtp.ports import MediaSockets
from piopiy_pipeline.gateway.rtp.receiver import Address
from piopiy_pipeline.gateway.rtp.session import RtpSession
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia

__all__ = ["RtpTransport"]

READS_PER_BEAT = 32
"""Of the caller: more than a stall of the loop piles up. Of a flood, the kernel drops the rest."""
STRANGERS_PER_BEAT = 256
"""Packets of others cost little, and must not keep the caller's waiting: so many, and those are lost after all."""
RTCP_BEATS = 10
FRAME_S = 0.02
_LONGEST_WAIT_S = 10.0  # in a socket: a wall clock that was set in between must not make it come tomorrow
_DRIFT_S = 1e-5  # a reading: faster than two clocks of one machine go apart
_ANCILLARY = socket.CMSG_SPACE(16)
_TIMESPEC = Struct("@ll")


class RtpTransport:
    """The media of one call, on `sockets`, which are closed with it. Needs a running loop."""

    def __init__(self, sockets: MediaSockets) -> None:
        self.session: RtpSession | None = None
        """None until `open`, and after `close`."""
        self.dropped = 0
        """Packets that the network did not take."""
        self._sockets = sockets
        self._ipv6 = sockets.rtp.family == socket.AF_INET6
        self._loop = asyncio.get_running_loop()
        self._beats = 0
        self._read_at = 0.0
        self._ahead_s = float("inf")  # the wall clock, of the loop's
        self._closed = False

    @property
    def port(self) -> int:
        """Where the caller is to send."""
        return self._sockets.port

    @property
    def stamped(self) -> bool:
        """Whether the kernel tells when packets come."""
        return self._sockets.stamped

    def open(self, media: AgreedMedia, *, rate: int, cname: str) -> RtpSession:
        """Signalling has agreed: what came before is not heard. The sound has `rate` Hz, both ways."""
        for one in (self._sockets.rtp, self._sockets.rtcp):
            for _ in self._arrivals(one, 1000):
                pass
        now = self._loop.time()
        self.session = RtpSession(media, now=now, wall_s=time.time() - now, cname=cname, rate=rate)
        return self.session

    def send(self, frame: bytes) -> None:
        """20 ms of the bot's voice."""
        if self.session is not None and not self._closed:
            packet = self.session.voice(frame)
            if packet is not None:
                self._send(self._sockets.rtp, packet, self.session.destination)

    def beat(self, now: float) -> tuple[bytes, str]:
        """Every 20 ms, behind `send`: what the caller said in them, and the keys that were pressed."""
        session = self.session
        if session is None or self._closed:
            return b"", ""
        keys = ""
        voices, first = 0, True  # where strangers send too, the caller's next packet is looked for
        for datagram, source, arrived in self._arrivals(self._sockets.rtp, STRANGERS_PER_BEAT):
            keys += session.receive(datagram, source, arrived)
            if source == session.destination:
                voices += 1
                recent = self.stamped and self._read_at - arrived < FRAME_S
                if voices >= READS_PER_BEAT or (first and recent and session.can_wait(now)):
                    break
            first = False
        self._beats += 1
        if self._beats % RTCP_BEATS == 0:
            for datagram, source, arrived in self._arrivals(self._sockets.rtcp, READS_PER_BEAT):
                session.receive_rtcp(datagram, source, arrived)
        pcm, rtp, rtcp = session.beat(now)
        if rtp is not None:
            self._send(self._sockets.rtp, rtp, session.destination)
        if rtcp is not None:
            self._report(session, rtcp)
        return pcm, keys

    def close(self) -> None:
        """Say goodbye, and give the ports back. Once is enough."""
        if self._closed:
            return
        self._closed = True
        if self.session is not None:
            self._report(self.session, self.session.goodbye(self._loop.time()))
            self.session = None
        self._sockets.close()

    def _report(self, session: RtpSession, rtcp: bytes) -> None:
        by = self._sockets.rtp if session.rtcp_mux else self._sockets.rtcp
        self._send(by, rtcp, session.rtcp_destination)

    def _send(self, by: socket.socket, datagram: bytes, to: Address | None) -> None:
        if to is None:
            return
        try:
            by.sendto(datagram, (socket_host(to[0], ipv6=self._ipv6), to[1]))
        except OSError:
            # A network that is down or has no room: the voice goes on, and this piece of it is lost.
            self.dropped += 1

    def _arrivals(self, by: socket.socket, limit: int) -> Iterator[tuple[bytes, Address, float]]:
        """What has come, at most `limit` datagrams, each with its source and the loop's time of its arrival."""
        wall = time.time()
        now = self._read_at = wall - self._ahead(wall)
        stamped = self._sockets.stamped
        for _ in range(limit):
            try:
                datagram, ancillary, _flags, source = by.recvmsg(MAX_DATAGRAM, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # what an earlier packet of ours met at its destination, told here
            arrived = now
            if stamped and ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                arrived -= min(max(wall - seconds - nanoseconds * 1e-9, 0.0), _LONGEST_WAIT_S)
            yield datagram, (canonical_host(source[0]), source[1]), arrived

    def _ahead(self, wall: float) -> float:
        """How far ahead of the loop's clock the wall clock is, by which the kernel stamps.

        Some loops tell at what time their present turn began, and a beat is a long turn. So the least
        that was ever read is nearest to the truth, but for what the clocks go apart, and for one being set.
        """
        ahead = wall - self._loop.time()
        if self._ahead_s < ahead < self._ahead_s + 1.0:
            self._ahead_s += _DRIFT_S
        else:
            self._ahead_s = ahead
        return self._ahead_s
