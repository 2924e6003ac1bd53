"""The audio of one peer connection: its RTP and RTCP between libsrtp, the socket and the call.

aiortc negotiates, connects and encrypts, but its media path is not used. That path is made for any
media: some tasks for each packet, a queue, a thread's hand-over, a resampler and 80 ms of waiting, which is 8% of a
core for a call. Here a packet is one function call: decrypt, decode, hand over; and the same in the other
direction. `compat.aiortc` has what this needs of aiortc's inside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiortc import RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from pylibsrtp import Error as SrtpError

from piopiy_pipeline.audio.opus import CLOCK
from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.gateway.rtp.packet import RtpError, is_rtcp, parse_rtp
from piopiy_pipeline.gateway.rtp.reports import Reporter
from piopiy_pipeline.gateway.webrtc.downlink import Downlink
from piopiy_pipeline.gateway.webrtc.uplink import Uplink

if TYPE_CHECKING:
    from aioice import Connection
    from aiortc import RTCDtlsTransport

__all__ = ["PeerAudio"]

_CNAME = "piopiy"


class PeerAudio:
    """Carries audio over a transceiver, from the moment that aiortc has connected it."""

    def __init__(
        self, transceiver: RTCRtpTransceiver, *, rate: int, on_caller_audio: Callable[[bytes], object]
    ) -> None:
        """Args:
        transceiver: The audio transceiver of the connection.
        rate: Sample rate of PCM in both directions, in Hz.
        on_caller_audio: Called with the browser's audio: PCM16 mono, in pieces of any length.
        """
        self.heard_at = 0.0
        """When something last arrived from the browser, in seconds of the event loop's clock."""
        self._loop = asyncio.get_running_loop()
        self._transceiver = transceiver
        self._rate = rate
        self._on_caller_audio = on_caller_audio
        self._uplink = Uplink(rate)
        self._downlink: Downlink | None = None
        self._reporter: Reporter | None = None
        self._payload_type: int | None = None  # of what the browser sends
        self._dtls: RTCDtlsTransport | None = None
        self._ice: Connection | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._closed = False
        compat.replace_media_path(transceiver, send=self._start_sending, receive=self._start_receiving)

    # ------------------------------------------------------------------ from the session

    def send_audio(self, pcm: bytes) -> None:
        """Send 20 ms of PCM16 mono, to be played at once. Before the connection is up, it is dropped."""
        downlink = self._downlink
        if downlink is None or self._closed:
            return
        packet = downlink.send_audio(pcm, self._loop.time())
        if packet is not None:
            self._protect_and_send(packet)
            if self._closing is None and downlink.close_at is not None:
                self._closing = self._loop.call_at(downlink.close_at, self._close_stretch)

    def tick(self, now: float) -> None:
        """Send due reports, and stop waiting for missing packets. To be called once a second or more often."""
        for pcm in self._uplink.tick(now):
            self._on_caller_audio(pcm)
        if self._reporter is not None and self._downlink is not None and self._reporter.due(now):
            self._report(now)

    def close(self) -> None:
        """Stop the audio in both directions."""
        if self._downlink is not None and self._reporter is not None and not self._closed:
            self._report(self._loop.time(), leaving=True)
        self._closed = True
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._ice is not None:
            compat.stop_listening(self._ice)

    def quality(self) -> dict[str, Any]:
        """Return how well audio gets through: counts of packets, and times in ms. What was not measured is
        None.
        """
        uplink, downlink, reporter = self._uplink, self._downlink, self._reporter
        return {
            "packets_received": uplink.received,
            "packets_lost": uplink.lost,
            "packets_late": uplink.late,
            "packets_flooded": uplink.flooded,
            "concealed_ms": round(1000 * uplink.concealed_s),
            "jitter_ms": round(1000 * uplink.reception.jitter_s, 1) if uplink.reception else None,
            "packets_sent": downlink.packets if downlink else 0,
            "frames_dropped": downlink.dropped if downlink else 0,
            "browser_lost": round(reporter.loss, 4) if reporter and reporter.loss is not None else None,
            "browser_jitter_ms": _ms(reporter.jitter_s if reporter else None),
            "round_trip_ms": _ms(reporter.round_trip_s if reporter else None),
        }

    # ------------------------------------------------------------------ from aiortc

    async def _start_sending(self, parameters: RTCRtpSendParameters) -> None:
        if self._downlink is not None:
            return
        now = self._loop.time()
        ssrc = compat.sender_ssrc(self._transceiver.sender)
        payload_type = parameters.codecs[0].payloadType
        assert payload_type is not None
        self._downlink = Downlink(self._rate, payload_type=payload_type, ssrc=ssrc, now=now)
        self._reporter = Reporter(ssrc=ssrc, cname=_CNAME, clock=CLOCK, now=now, wall_s=time.time() - now)
        self._listen()

    async def _start_receiving(self, parameters: RTCRtpReceiveParameters) -> None:
        self._payload_type = parameters.codecs[0].payloadType
        self._listen()

    def _listen(self) -> None:
        if self._ice is not None or self._closed:
            return
        self._dtls = self._transceiver.receiver.transport
        self._ice = compat.ice_connection(self._dtls)
        self.heard_at = self._loop.time()
        compat.listen(self._ice, self._on_datagram)

    def _on_datagram(self, data: bytes, address: tuple[Any, ...]) -> bool:
        """Take RTP and RTCP; leave STUN and DTLS, which return False, to aiortc."""
        if len(data) > 12 and 127 < data[0] < 192:  # RFC 7983: RTP and RTCP
            self._receive(data)
            return True
        remote = compat.remote_address(self._ice) if self._ice is not None else None
        if remote is not None and address[:2] == remote[:2]:
            self.heard_at = self._loop.time()  # STUN or DTLS: the browser is there, although it is silent
        return False

    def _receive(self, data: bytes) -> None:
        assert self._dtls is not None
        srtp = compat.srtp_receiver(self._dtls)
        if self._closed or srtp is None:
            return
        now = self._loop.time()
        try:
            if is_rtcp(data):
                self._take_report(srtp.unprotect_rtcp(data), now)
                return
            packet = parse_rtp(srtp.unprotect(data))
        except (SrtpError, RtpError):
            return  # forged or damaged: it counts as lost
        self.heard_at = now
        if packet.payload_type != self._payload_type or not packet.payload:
            return  # padding that browsers send to probe the bandwidth
        for pcm in self._uplink.add(packet.ssrc, packet.sequence, packet.timestamp, packet.payload, now):
            self._on_caller_audio(pcm)

    def _take_report(self, datagram: bytes, now: float) -> None:
        self.heard_at = now
        if self._reporter is None or self._downlink is None:
            return
        self._reporter.receive(datagram, now, sent=self._downlink.packets)
        if self._reporter.loss is not None:
            self._downlink.expect_loss(self._reporter.loss)

    # ------------------------------------------------------------------ to the browser

    def _close_stretch(self) -> None:
        self._closing = None
        assert self._downlink is not None
        close_at = self._downlink.close_at
        if close_at is None or self._closed:
            return
        if close_at > self._loop.time() + 0.002:  # more audio was sent since
            self._closing = self._loop.call_at(close_at, self._close_stretch)
        else:
            self._protect_and_send(self._downlink.close())

    def _report(self, now: float, *, leaving: bool = False) -> None:
        downlink, reporter = self._downlink, self._reporter
        assert downlink is not None
        assert reporter is not None
        report = reporter.report(
            now,
            reception=self._uplink.reception,
            timestamp=downlink.timestamp(now),
            packets=downlink.packets,
            octets=downlink.octets,
            sending=downlink.packets > 0,
            leaving=leaving,
        )
        srtp = compat.srtp_sender(self._dtls) if self._dtls is not None else None
        if srtp is not None:
            self._send(srtp.protect_rtcp(report))

    def _protect_and_send(self, packet: bytes) -> None:
        assert self._dtls is not None
        srtp = compat.srtp_sender(self._dtls)
        assert srtp is not None, "aiortc starts media when DTLS has finished"
        self._send(srtp.protect(packet))

    def _send(self, datagram: bytes) -> None:
        if self._ice is not None and not self._closed:
            compat.send_datagram(self._ice, datagram)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
