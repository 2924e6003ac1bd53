"""The media of one telephone call: its stream in, its stream out, and the reports of both. No I/O.

Datagrams come in with their source and the time of their arrival; once every 20 ms `beat` says what the
caller was heard to say and what is to be sent. Times are in seconds of one clock.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from piopiy_pipeline.gateway.access.networks import canonical_host, parse_address
from piopiy_pipeline.gateway.rtp.codecs import Codec, make_codec
from piopiy_pipeline.gateway.rtp.packet import RtpError, is_rtcp, parse_rtp
from piopiy_pipeline.gateway.rtp.receiver import Address, RtpReceiver
from piopiy_pipeline.gateway.rtp.reports import Reporter
from piopiy_pipeline.gateway.rtp.sender import RtpSender
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia

__all__ = ["RtpSession", "RtpTick", "reachable"]

FRAME_S = 0.02
UNPROVEN_S = 5.0
"""So long somebody is sent the voice who has never been heard of."""
MOST_BEATS = 20
"""So many are caught up with: 400 ms, which is what the jitter buffer holds."""


class RtpTick(NamedTuple):
    """What 20 ms came to (more, behind a stall): the caller's sound, and the packets to send."""

    pcm: bytes
    rtp: bytes | None
    rtcp: bytes | None


class RtpSession:
    """See the module. `media` is what signalling has agreed on; `wall_s` is Unix time less `now`.

    `rate` is that of the sound, both ways: the first codec's own, or the given one.

    Whoever calls may write anybody's address into the description. So the voice goes there only while the
    caller is `awaited`, and for no longer than `UNPROVEN_S` before something comes from there.
    """

    def __init__(
        self,
        media: AgreedMedia,
        *,
        now: float,
        wall_s: float,
        cname: str,
        rate: int | None = None,
        dice: Random | None = None,
    ) -> None:
        codec = make_codec(media.codec.name, rate)
        self.rate = codec.rate
        self.malformed = 0
        """Datagrams that were neither RTP nor RTCP."""
        self.awaited = True
        """False: nobody is known to be there but who is heard, because a call may have a false sender."""
        self.held = False
        """Whether one side has the other on hold. What a phone sends then is its music, and not for the bot."""
        self._media = media
        self._silence = bytes(self.rate // 50 * 2)
        self._rtcp_source: Address | None = None
        self._heard_at = self._agreed_at = now
        self._proven = self._given_up = False
        self._beat_at: float | None = None
        self._receiver = RtpReceiver(rate=self.rate)
        events = media.events_out
        self._sender = RtpSender(
            codec=codec,
            payload_type=media.codec.payload_type,
            event_type=events.payload_type if events else None,
            dice=dice,
        )
        self._reporter = Reporter(
            ssrc=self._sender.ssrc, cname=cname, clock=codec.clock, now=now, wall_s=wall_s, dice=dice
        )
        self._agree(media, codec)

    # ------------------------------------------------------------------ signalling's side

    def agree(self, media: AgreedMedia, now: float) -> None:
        """Signalling has agreed anew: another address, another codec, hold or resume."""
        if media == self._media:
            return
        self._heard_at = now
        if (media.host, media.port) != (self._media.host, self._media.port):
            self._agreed_at, self._proven, self._given_up = now, False, False
        codec = self._sender.codec
        if media.codec != self._media.codec or media.events_out != self._media.events_out:
            codec = make_codec(media.codec.name, self.rate)
            events = media.events_out
            self._sender.agree(
                codec=codec,
                payload_type=media.codec.payload_type,
                event_type=events.payload_type if events else None,
            )
        self._agree(media, codec)

    def expect(self, host: str) -> None:
        """Signalling comes from this address: see `RtpReceiver.home`. A name says nothing."""
        if reachable(host, 1) is not None:
            self._receiver.home = canonical_host(host)

    @property
    def destination(self) -> Address | None:
        """Where the bot's voice is to be sent: where the caller's comes from, once that is known."""
        source = self._receiver.source
        return self._signalled if source is None and self.awaited and not self._given_up else source

    @property
    def rtcp_mux(self) -> bool:
        """Whether reports go by RTP's port."""
        return self._media.rtcp_mux

    @property
    def rtcp_destination(self) -> Address | None:
        """Where reports are to be sent."""
        if self.rtcp_mux:
            return self.destination
        if self._rtcp_source is not None:
            return self._rtcp_source
        source = self.destination
        if source is None or source == self._signalled:
            return reachable(self._media.host, self._media.rtcp_port)
        return (source[0], source[1] + 1) if source[1] < 65535 else None

    def unheard_s(self, now: float) -> float:
        """For how long nothing has come that is the caller's; 0 while the caller need not send."""
        return 0.0 if self.held else now - self._heard_at

    # ------------------------------------------------------------------ the network's side

    def receive(self, datagram: bytes, source: Address, arrived: float) -> str:
        """What came to the port of RTP. The key that the caller pressed with it, if any."""
        if is_rtcp(datagram):
            self.receive_rtcp(datagram, source, arrived)
            return ""
        try:
            packet = parse_rtp(datagram)
        except RtpError:
            self.malformed += 1
            return ""
        key = self._receiver.receive(packet, source, arrived)
        if key is None:
            return ""
        self._heard_at = arrived
        return key

    def receive_rtcp(self, datagram: bytes, source: Address, arrived: float) -> None:
        """What came to the port of RTCP. Reports from elsewhere than the caller's address do not count."""
        expected = self._receiver.source or self._signalled
        if expected is None or source[0] != expected[0]:
            self._receiver.strangers += 1
            return
        try:
            self._reporter.receive(datagram, arrived, sent=self._sender.packets)
        except RtpError:
            self.malformed += 1
            return
        self._heard_at = arrived
        self._proven, self._given_up = True, False
        if not self.rtcp_mux:
            self._rtcp_source = source

    # ------------------------------------------------------------------ the bot's side

    def voice(self, pcm: bytes) -> bytes | None:
        """20 ms of the bot's voice: the packet to send, if any."""
        return self._sender.voice(pcm)

    def press(self, keys: str) -> None:
        """Send keys to the caller. Raises `ValueError` for what is none."""
        self._sender.press(keys)

    def beat(self, now: float) -> RtpTick:
        """To be called every 20 ms, behind the `voice` of these.

        When some were left out, because the loop was busy, the caller's sound of all of them is in the next:
        what waited would be heard late for the rest of the call.
        """
        beats = 1 if self._on_time(now) else self._beats(now)
        self._beat_at = now
        if not self._proven:
            self._given_up = now - self._agreed_at > UNPROVEN_S
        if beats == 1:
            pcm = self._receiver.take(now)
        else:
            pcm = b"".join([self._receiver.take(now - later * FRAME_S) for later in range(beats - 1, -1, -1)])
        if self.held:
            pcm = self._silence * beats
        rtp = self._sender.beat(now)
        return RtpTick(pcm, rtp, self._report(now) if self._reporter.due(now) else None)

    def can_wait(self, now: float) -> bool:
        """Whether a `beat` at `now` has all that it needs: packets that have come since may be received later."""
        return self._on_time(now) and self._receiver.supplied

    def _on_time(self, now: float) -> bool:
        return self._beat_at is not None and now - self._beat_at < 1.5 * FRAME_S

    def _beats(self, now: float) -> int:
        """How many 20 ms it is since the last."""
        beats = 1 if self._beat_at is None else round((now - self._beat_at) / FRAME_S)
        return min(max(beats, 1), MOST_BEATS)

    def goodbye(self, now: float) -> bytes:
        """The last report."""
        return self._report(now, leaving=True)

    def quality(self, now: float) -> dict[str, float]:
        """How the line is, as far as it is known: packets counted, and milliseconds.

        ``peer_lost`` (a part of 1), ``peer_jitter_ms`` and ``round_trip_ms`` are from what the other side
        reports, and missing until it does.
        """
        receiver, reporter = self._receiver, self._reporter
        stats = receiver.stats(now)
        quality = {
            "packets_received": receiver.received,
            "packets_lost": receiver.lost,
            "packets_late": stats.late,
            "packets_strange": receiver.strangers + receiver.unknown + self.malformed,
            "packets_sent": self._sender.packets,
            "concealed_ms": round(1000 * stats.concealed_s),
            "jitter_ms": round(1000 * receiver.reception.jitter_s, 1) if receiver.reception else 0.0,
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
        events = {format.payload_type for format in (media.events_in, media.events_out) if format}
        self._signalled = reachable(media.host, media.port)
        self._rtcp_source = None
        self._receiver.agree(codecs=taken, events=frozenset(events), signalled=self._signalled)
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
    """The address, if it is one that a call's media may be sent to: an address of one machine, not a name.

    A name would have to be looked up, with everybody waiting; and nobody's call goes to a whole network.
    """
    address = parse_address(host)
    if address is None or address.is_multicast or address.is_unspecified or not 0 < port < 65536:
        return None
    return (str(address), port)
