"""The RTCP reports of a call: when we send them, what they say, and what the peer's reports say. No I/O.

Source: RFC 3550, sections 6.2 to 6.4 (intervals, reports, round trip) and appendix A.7.
"""

from __future__ import annotations

from random import Random

from piopiy_pipeline.gateway.rtp.reception import Reception
from piopiy_pipeline.gateway.rtp.rtcp import ReportBlock, RtcpReport, build_goodbye, build_report, parse_rtcp

__all__ = ["Reporter"]

INTERVAL_S = 5.0
_COMPENSATION = 1.21828  # e - 3/2: appendix A.7
_UNIX_TO_NTP_S = 2_208_988_800


class Reporter:
    """The reports of one call, in both directions. Times are in seconds of one clock.

    Args:
        ssrc: The SSRC of our stream.
        cname: The name of our end (RFC 3550, section 6.5.1).
        clock: The rate of the stream's timestamps in Hz.
        now: The time.
        wall_s: The difference from `now` to the Unix time.
        rng: Varies the intervals; None: a random one.
    """

    def __init__(
        self, *, ssrc: int, cname: str, clock: int, now: float, wall_s: float, rng: Random | None = None
    ) -> None:
        self.clock = clock
        self.loss: float | None = None
        """The fraction of our packets that the peer has missed since the call began; None until it reports."""
        self.jitter_s: float | None = None
        """The jitter that the peer measured last, in seconds."""
        self.round_trip_s: float | None = None
        """The shortest round trip that was measured, in seconds."""
        self.goodbye = False
        """Whether the peer has said that its stream ends."""
        self._ssrc = ssrc
        self._cname = cname
        self._wall_s = wall_s
        self._rng = rng or Random()
        self._due = now + self._wait_s() / 2  # the first one earlier, 6.2
        self._peer_report: tuple[int, int, float] | None = None  # its source, middle NTP, and its arrival

    def due(self, now: float) -> bool:
        """Return whether it is time for a report."""
        return now >= self._due

    def report(
        self,
        now: float,
        *,
        reception: Reception | None,
        timestamp: int,
        packets: int,
        octets: int,
        sending: bool = True,
        leaving: bool = False,
    ) -> bytes:
        """Build the compound packet to send.

        Args:
            now: The time.
            reception: The counters of the peer's stream, if there is one.
            timestamp: The timestamp of our stream at this time.
            packets: How many we have sent.
            octets: The bytes of payload that we have sent.
            sending: Whether we send at all; otherwise it is a receiver report.
            leaving: Whether a goodbye follows.
        """
        self._due = now + self._wait_s()
        blocks: tuple[ReportBlock, ...] = ()
        if reception is not None and reception.received:
            last, delay = 0, 0
            if self._peer_report is not None and self._peer_report[0] == reception.ssrc:
                last = self._peer_report[1]
                delay = int((now - self._peer_report[2]) * 65536)
            blocks = (
                ReportBlock(
                    ssrc=reception.ssrc,
                    fraction_lost=reception.fraction_lost(),
                    lost=reception.lost,
                    highest=reception.highest,
                    jitter=int(reception.jitter_s * self.clock),
                    last_report=last,
                    delay=delay,
                ),
            )
        ntp = self._ntp(now) if sending else None
        compound = build_report(RtcpReport(self._ssrc, ntp, timestamp, packets, octets, blocks), self._cname)
        return compound + build_goodbye(self._ssrc) if leaving else compound

    def receive(self, datagram: bytes, arrived: float, *, sent: int) -> None:
        """Take a report of the peer.

        Args:
            datagram: The compound packet.
            arrived: The time of its arrival.
            sent: How many packets the peer could have received.

        Raises:
            RtpError: It is no RTCP.
        """
        reports, goodbye = parse_rtcp(datagram)
        self.goodbye = self.goodbye or goodbye
        for report in reports:
            if report.ntp is not None:
                self._peer_report = (report.ssrc, report.ntp >> 16 & 0xFFFFFFFF, arrived)
            for block in report.blocks:
                if block.ssrc == self._ssrc:
                    self._take(block, arrived, sent)

    def _take(self, block: ReportBlock, arrived: float, sent: int) -> None:
        self.loss = min(max(block.lost, 0) / sent, 1.0) if sent else 0.0
        self.jitter_s = block.jitter / self.clock
        if block.last_report:
            trip = (self._ntp(arrived) >> 16) - block.last_report - block.delay & 0xFFFFFFFF
            trip_s = trip / 65536
            if trip_s < 60 and (self.round_trip_s is None or trip_s < self.round_trip_s):
                self.round_trip_s = trip_s

    def _ntp(self, now: float) -> int:
        return int((now + self._wall_s + _UNIX_TO_NTP_S) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF

    def _wait_s(self) -> float:
        return INTERVAL_S * self._rng.uniform(0.5, 1.5) / _COMPENSATION
