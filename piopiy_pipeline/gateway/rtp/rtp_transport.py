"""The RTP and RTCP sockets of a call: a thin shell around `RtpSession`.

The sockets are read once every 20 ms, and not when a packet comes. Forty calls are two thousand packets a second; to
be woken for each of them costs more than their handling, and no sound would leave the jitter buffer before the next
frame tick anyway. The kernel says when each packet came, so that a busy event loop does not look like a bad network.
Reading stops early where no packet can be missing: a packet that came within the last 20 ms, in a call that has all
the sound for this frame, is nearly always the last one. What follows it is read at the next tick.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from struct import Struct

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.gateway.access.networks import canonical_host, socket_host
from piopiy_pipeline.gateway.rtp.packet import MAX_DATAGRAM
from piopiy_pipeline.gateway.rtp.ports import MediaSockets
from piopiy_pipeline.gateway.rtp.receiver import Address
from piopiy_pipeline.gateway.rtp.session import RtpSession
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia

__all__ = ["RtpTransport"]

READS_PER_TICK = 32
"""Packets of the caller that are read at once: more than a stall of the loop piles up. The kernel drops a flood."""
STRANGERS_PER_TICK = 256
"""Packets of any source that are read at once: those of others cost little, and must not delay the caller's."""
RTCP_TICKS = 10
"""The RTCP socket is read at every tenth tick."""
_LONGEST_WAIT_S = 10.0  # of a packet in a socket: a wall clock that is set must not make it days
_DRIFT_S = 1e-5  # for each reading: two clocks of one machine drift apart more slowly
_ANCILLARY = socket.CMSG_SPACE(16)
_TIMESPEC = Struct("@ll")


class RtpTransport:
    """The media of one call on its sockets. It needs a running event loop.

    Args:
        sockets: The bound sockets; they are closed with the transport.
    """

    def __init__(self, sockets: MediaSockets) -> None:
        self.session: RtpSession | None = None
        """The session; None until `open`, and after `close`."""
        self.dropped = 0
        """Packets that the socket did not take."""
        self._sockets = sockets
        self._ipv6 = sockets.rtp.family == socket.AF_INET6
        self._loop = asyncio.get_running_loop()
        self._ticks = 0
        self._read_at = 0.0
        self._ahead_s = float("inf")  # of the wall clock, relative to the loop's
        self._closed = False

    @property
    def port(self) -> int:
        """The port to which the caller is to send RTP."""
        return self._sockets.port

    @property
    def stamped(self) -> bool:
        """Whether the kernel says when packets came."""
        return self._sockets.stamped

    def open(self, media: AgreedMedia, *, rate: int, cname: str) -> RtpSession:
        """Begin the session. What came to the sockets before is thrown away.

        Args:
            media: What signalling has agreed on.
            rate: The sample rate of the sound in Hz, both ways.
            cname: The name of our end in reports.
        """
        for one in (self._sockets.rtp, self._sockets.rtcp):
            for _ in self._arrivals(one, 1000):
                pass
        now = self._loop.time()
        self.session = RtpSession(media, now=now, wall_s=time.time() - now, cname=cname, rate=rate)
        return self.session

    def send(self, frame: bytes) -> None:
        """Send 20 ms of the bot's speech, PCM at the rate of the session."""
        if self.session is not None and not self._closed:
            packet = self.session.speech(frame)
            if packet is not None:
                self._send(self._sockets.rtp, packet, self.session.destination)

    def poll(self, now: float) -> tuple[bytes, str]:
        """Read what came, and send what is due. To be called every 20 ms, after `send`.

        Args:
            now: The event loop's time in seconds.

        Returns:
            The caller's PCM of these 20 ms, and the keys that were pressed.
        """
        session = self.session
        if session is None or self._closed:
            return b"", ""
        keys = ""
        of_caller, first = 0, True  # where strangers send, too, the caller's next packet is looked for
        for datagram, source, arrived in self._arrivals(self._sockets.rtp, STRANGERS_PER_TICK):
            keys += session.receive(datagram, source, arrived)
            if source == session.destination:
                of_caller += 1
                recent = self.stamped and self._read_at - arrived < FRAME_S
                if of_caller >= READS_PER_TICK or (first and recent and session.can_wait(now)):
                    break
            first = False
        self._ticks += 1
        if self._ticks % RTCP_TICKS == 0:
            for datagram, source, arrived in self._arrivals(self._sockets.rtcp, READS_PER_TICK):
                session.receive_rtcp(datagram, source, arrived)
        pcm, rtp, rtcp = session.tick(now)
        if rtp is not None:
            self._send(self._sockets.rtp, rtp, session.destination)
        if rtcp is not None:
            self._report(session, rtcp)
        return pcm, keys + session.release_keys(now)

    def close(self) -> None:
        """Send a goodbye, and close the sockets. A second call does nothing."""
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
            # The network is down or has no room: this packet is lost, and the speech goes on.
            self.dropped += 1

    def _arrivals(self, by: socket.socket, limit: int) -> Iterator[tuple[bytes, Address, float]]:
        """Yield at most `limit` datagrams that have come, each with its source and the loop's time of its arrival."""
        wall = time.time()
        now = self._read_at = wall - self._ahead(wall)
        stamped = self._sockets.stamped
        for _ in range(limit):
            try:
                datagram, ancillary, _flags, source = by.recvmsg(MAX_DATAGRAM, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier packet of ours
            arrived = now
            if stamped and ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                arrived -= min(max(wall - seconds - nanoseconds * 1e-9, 0.0), _LONGEST_WAIT_S)
            yield datagram, (canonical_host(source[0]), source[1]), arrived

    def _ahead(self, wall: float) -> float:
        """Return how many seconds the wall clock, with which the kernel stamps packets, is ahead of the
        loop's clock.

        Some loops return the time at which their present turn began, and a turn with a frame tick is long. So
        the least difference that was ever read is nearest to the truth, except for drift, and for a clock
        that is set.
        """
        ahead = wall - self._loop.time()
        if self._ahead_s < ahead < self._ahead_s + 1.0:
            self._ahead_s += _DRIFT_S
        else:
            self._ahead_s = ahead
        return self._ahead_s
