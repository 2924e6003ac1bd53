"""The RTP session of a telephone call: the incoming stream, the outgoing stream, and the reports of both. No I/O.

Datagrams come in with their source and the time of their arrival. Once every 20 ms `tick` returns the caller's sound
and what is to be sent. Times are in seconds of one clock.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.gateway.access.networks import canonical_host, parse_address
from piopiy_pipeline.gateway.rtp.codecs import Codec, OpusCodec, make_codec
from piopiy_pipeline.gateway.rtp.packet import RtpError, is_rtcp, parse_rtp
from piopiy_pipeline.gateway.rtp.receiver import Address, RtpReceiver
from piopiy_pipeline.gateway.rtp.reports import Reporter
from piopiy_pipeline.gateway.rtp.sender import RtpSender
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia

__all__ = ["RtpSession", "RtpTick", "reachable"]

UNPROVEN_S = 5.0
"""How long speech is sent to an address from which nothing has come."""
MOST_FRAMES = 20
"""How many frames are caught up with after a stall: 400 ms, which is what the jitter buffer holds."""
FEC_PARAMETER = "useinbandfec=1"
"""The parameter by which a peer says that it uses in-band FEC (RFC 7587, section 6.1)."""


class RtpTick(NamedTuple):
    """The caller's audio of 20 ms (of more after a stall), and the packets to send."""

    pcm: bytes
    rtp: bytes | None
    rtcp: bytes | None


class RtpSession:
    """Both streams of one call.

    A caller may write anybody's address into the session description. So speech goes there only while the caller is
    `awaited`, and for no longer than `UNPROVEN_S` before something comes from there.

    Args:
        media: What signalling has agreed on.
        now: The time.
        wall_s: The difference from `now` to the Unix time.
        cname: The name of our end in reports.
        rate: The sample rate of the sound in Hz, both ways; None: that of the first codec.
        rng: Gives the first numbers of the stream and varies the intervals of reports; None: a random one.
    """

    def __init__(
        self,
        media: AgreedMedia,
        *,
        now: float,
        wall_s: float,
        cname: str,
        rate: int | None = None,
        rng: Random | None = None,
    ) -> None:
        codec = make_codec(media.codec.name, rate)
        self.rate = codec.rate
        self.malformed = 0
        """Datagrams that were neither RTP nor RTCP."""
        self.awaited = True
        """Whether speech may go to the signalled address: not while the call may have a false source address."""
        self.held = False
        """Whether one side has the other on hold. What a phone sends then is its hold music, and not for the bot."""
        self._media = media
        self._silence = bytes(self.rate // 50 * 2)
        self._rtcp_source: Address | None = None
        self._heard_at = self._agreed_at = now
        self._proven = self._given_up = False
        self._ticked_at: float | None = None
        self._receiver = RtpReceiver(rate=self.rate)
        self._sender = RtpSender(
            codec=codec, payload_type=media.codec.payload_type, events=media.events_out, rng=rng
        )
        self._reporter = Reporter(
            ssrc=self._sender.ssrc, cname=cname, clock=codec.clock, now=now, wall_s=wall_s, rng=rng
        )
        self._agree(media, codec)

    # ------------------------------------------------------------------ used by signalling

    def agree(self, media: AgreedMedia, now: float) -> None:
        """Take what signalling has agreed on again: another address, another codec, hold or resume."""
        if media == self._media:
            return
        self._heard_at = now
        if (media.host, media.port) != (self._media.host, self._media.port):
            self._agreed_at, self._proven, self._given_up = now, False, False
        codec = self._sender.codec
        if media.codec != self._media.codec or media.events_out != self._media.events_out:
            codec = make_codec(media.codec.name, self.rate)
            self._sender.agree(codec=codec, payload_type=media.codec.payload_type, events=media.events_out)
        self._agree(media, codec)

    def expect(self, host: str) -> None:
        """Note that signalling comes from this address, which `RtpReceiver.home` explains. A name is ignored."""
        if reachable(host, 1) is not None:
            self._receiver.home = canonical_host(host)

    @property
    def destination(self) -> Address | None:
        """Where speech is sent: to where the caller's packets come from, once that is known."""
        source = self._receiver.source
        return self._signalled if source is None and self.awaited and not self._given_up else source

    @property
    def rtcp_mux(self) -> bool:
        """Whether reports go by the port of RTP."""
        return self._media.rtcp_mux

    @property
    def rtcp_destination(self) -> Address | None:
        """Where RTCP reports are sent."""
        if self.rtcp_mux:
            return self.destination
        if self._rtcp_source is not None:
            return self._rtcp_source
        source = self.destination
        if source is None or source == self._signalled:
            return reachable(self._media.host, self._media.rtcp_port)
        return (source[0], source[1] + 1) if source[1] < 65535 else None

    def unheard_s(self, now: float) -> float:
        """Return for how many seconds nothing of the caller has come; 0 while the caller need not send."""
        return 0.0 if self.held else now - self._heard_at

    # ------------------------------------------------------------------ datagrams

    def receive(self, datagram: bytes, source: Address, arrived: float) -> str:
        """Take a datagram of the RTP port. Returns the keys that begin, or ""."""
        if is_rtcp(datagram):
            self.receive_rtcp(datagram, source, arrived)
            return ""
        try:
            packet = parse_rtp(datagram)
        except RtpError:
            self.malformed += 1
            return ""
        keys = self._receiver.receive(packet, source, arrived)
        if keys is None:
            return ""
        self._heard_at = arrived
        return keys

    def release_keys(self, now: float) -> str:
        """Return the keys that need not wait any more for missing packets before them. Call this at every
        tick.
        """
        return self._receiver.release_keys(now)

    def receive_rtcp(self, datagram: bytes, source: Address, arrived: float) -> None:
        """Take a datagram of the RTCP port. Reports from another host than the caller's are ignored.

        Args:
            datagram: The compound packet.
            source: The address that it came from.
            arrived: The time of its arrival in seconds.
        """
        expected = self._receiver.source or self._signalled
        if expected is None or source[0] != expected[0]:
            self._receiver.strangers += 1
            return
        try:
            self._reporter.receive(datagram, arrived, sent=self._sender.packets)
        except RtpError:
            self.malformed += 1
            return
        codec = self._sender.codec
        if (
            self._reporter.loss is not None
            and isinstance(codec, OpusCodec)
            and FEC_PARAMETER in self._media.codec.fmtp.replace(" ", "")
        ):
            codec.expect_loss(self._reporter.loss)
        self._heard_at = arrived
        self._proven, self._given_up = True, False
        if not self.rtcp_mux:
            self._rtcp_source = source

    # ------------------------------------------------------------------ sound

    def speech(self, pcm: bytes) -> bytes | None:
        """Return the packet of 20 ms of the bot's speech, PCM at `rate`; None if it is not to be sent."""
        return self._sender.speech(pcm)

    def press(self, keys: str) -> int:
        """Send keys to the caller. Returns how many there was room for. Raises `ValueError` for a character that is no
        key.
        """
        return self._sender.press(keys)

    def tick(self, now: float) -> RtpTick:
        """Advance by 20 ms. Call it every 20 ms, after the `speech` of them.

        When ticks were left out because the loop was busy, the next one returns the caller's sound of all of
        them:
        otherwise it would be heard late for the rest of the call.
        """
        frames = 1 if self._on_time(now) else self._frames_since(now)
        self._ticked_at = now
        if not self._proven:
            self._given_up = now - self._agreed_at > UNPROVEN_S
        if frames == 1:
            pcm = self._receiver.take(now)
        else:
            pcm = b"".join(
                [self._receiver.take(now - later * FRAME_S) for later in range(frames - 1, -1, -1)]
            )
        if self.held:
            pcm = self._silence * frames
        rtp = self._sender.filler(now)
        return RtpTick(pcm, rtp, self._report(now) if self._reporter.due(now) else None)

    def can_wait(self, now: float) -> bool:
        """Return whether a `tick` at `now` has all the audio it needs, so that further datagrams may be read
        later.
        """
        return self._on_time(now) and self._receiver.supplied

    def _on_time(self, now: float) -> bool:
        return self._ticked_at is not None and now - self._ticked_at < 1.5 * FRAME_S

    def _frames_since(self, now: float) -> int:
        """Return how many frames of 20 ms ago the last tick was."""
        frames = 1 if self._ticked_at is None else round((now - self._ticked_at) / FRAME_S)
        return min(max(frames, 1), MOST_FRAMES)

    def goodbye(self, now: float) -> bytes:
        """Return the last report, with a goodbye."""
        return self._report(now, leaving=True)

    def quality(self, now: float) -> dict[str, float]:
        """Return the quality of the line so far: counted packets, and times in milliseconds.

        ``peer_lost`` (0.0 to 1.0), ``peer_jitter_ms`` and ``round_trip_ms`` come from the reports of the
        other
        side; they are missing until it reports.
        """
        receiver, reporter = self._receiver, self._reporter
        stats = receiver.stats(now)
        quality = {
            "packets_received": receiver.received,
            "packets_lost": receiver.lost,
            "packets_late": stats.late + receiver.late,
            "packets_strange": receiver.strangers + receiver.unknown + self.malformed,
            "packets_sent": self._sender.packets,
            "concealed_ms": round(1000 * stats.concealed_s),
            # Of the sound in its right places, and not by timestamps, which may be counted on any clock.
            "jitter_ms": round(1000 * stats.jitter_s, 1),
        }
        if reporter.loss is not None:
            quality["peer_lost"] = round(reporter.loss, 4)
        if reporter.jitter_s is not None:
            quality["peer_jitter_ms"] = round(1000 * reporter.jitter_s, 1)
        if reporter.round_trip_s is not None:
            quality["round_trip_ms"] = round(1000 * reporter.round_trip_s, 1)
        return quality

    # ------------------------------------------------------------------ within

    def _agree(self, media: AgreedMedia, codec: Codec) -> None:
        sends, taken = media.codec, {media.codec.payload_type: codec}
        for format in media.receive:
            if format.name == sends.name:
                taken[format.payload_type] = codec
            else:
                taken[format.payload_type] = make_codec(format.name, self.rate)
        events = {
            format.payload_type: format.rate
            for format in (media.events_out, *media.events_in)
            if format and format.payload_type not in taken
        }
        self._signalled = reachable(media.host, media.port)
        self._rtcp_source = None
        self._receiver.agree(codecs=taken, events=events, signalled=self._signalled)
        self._reporter.clock = codec.clock
        self._sender.held = not media.sends
        self.held = not (media.sends and media.receives)
        self._media = media

    def _report(self, now: float, *, leaving: bool = False) -> bytes:
        return self._reporter.report(
            now,
            reception=self._receiver.reception,
            timestamp=self._sender.timestamp,
            packets=self._sender.packets,
            octets=self._sender.octets,
            sending=self._media.sends,
            leaving=leaving,
        )


def reachable(host: str, port: int) -> Address | None:
    """Return the address if media may be sent there: the address of one machine, and not a name; otherwise
    None.

    To resolve a name would take time, and media must not go to a multicast group.
    """
    address = parse_address(host)
    if address is None or address.is_multicast or address.is_unspecified or not 0 < port < 65536:
        return None
    return (str(address), port)
