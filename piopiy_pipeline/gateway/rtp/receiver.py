"""The incoming RTP of a call: which packets are the caller's, and their sound. No I/O.

Phones behind a router send from another address than they wrote into their SDP. So the first source that sends two
packets in order counts as the phone, and is locked: what others send later is ignored until signalling moves
the media. The address in the SDP counts above one that was learned. The same stream may continue from another port:
that is a router that forgot its binding, and not a stranger, who would have to guess the sequence numbers.

All sound goes through one jitter buffer, which sees the streams that follow each other as a single one. So a new
source or codec during a call is a short gap and no more. `SoundTimeline` puts the packets into their places.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from piopiy_pipeline.audio.jitter_buffer import JitterBuffer, JitterStats, MediaPacket
from piopiy_pipeline.gateway.rtp.codecs import LONGEST_MS, Codec, CodecError, OpusCodec
from piopiy_pipeline.gateway.rtp.key_receiver import KeyReceiver
from piopiy_pipeline.gateway.rtp.opus_receiver import DecodedPacket, OpusReceiver
from piopiy_pipeline.gateway.rtp.packet import RtpPacket
from piopiy_pipeline.gateway.rtp.reception import Reception, StreamPosition
from piopiy_pipeline.gateway.rtp.sound_timeline import SoundTimeline

__all__ = ["Address", "RtpReceiver"]

Address = tuple[str, int]

COMFORT_NOISE = 13
REBIND_S = 1.0
"""A stream that goes on from another port is believed when the old one has been silent for this long."""
ALIEN_S = 1.0
"""How long a stream must last that comes neither from the host of the signalling nor from the address in the SDP.
Without this, whoever sprays packets at all ports of a gateway could be first, and would get the bot's speech."""
MAX_CANDIDATES = 8
"""Streams that are examined at the same time; of more, the oldest is forgotten."""
_QUIETEST = 0x7F


class RtpReceiver:
    """The incoming stream of one call. Nothing is heard before `agree`.

    Args:
        rate: The sample rate of the sound in Hz.
    """

    def __init__(self, *, rate: int) -> None:
        self.rate = rate
        self.reception: Reception | None = None
        """The counters of the stream that is heard at present."""
        self.strangers = 0
        """Packets that came from elsewhere than the caller, or belong to no stream."""
        self.unknown = 0
        """Packets whose payload type was not agreed on, or whose payload its codec cannot decode."""
        self._codecs: Mapping[int, Codec] = {}
        self._events: Mapping[int, int] = {}
        self._clock = rate
        self._signalled: Address | None = None
        self._source: Address | None = None
        self._locked = False
        self.home: str | None = None
        """The host where the call's signalling comes from. None: streams are the same wherever they come from."""
        self._alien = False
        self._candidates: dict[tuple[Address, int], tuple[Reception, float]] = {}
        self._lost_before = self._received_before = 0
        self._heard_at = float("-inf")
        self._timeline = SoundTimeline(rate=rate)
        self._buffer = JitterBuffer(rate=rate)
        self._keys = KeyReceiver()
        self._rng = np.random.default_rng(0)
        self._opus: OpusReceiver | None = None

    def agree(
        self, *, codecs: Mapping[int, Codec], events: Mapping[int, int], signalled: Address | None
    ) -> None:
        """Take what signalling has agreed on, for the first time or again.

        Args:
            codecs: The codecs that may come, by payload type.
            events: The clocks of telephone events in Hz, by payload type.
            signalled: The address in the peer's session description; None if it names none.
        """
        if signalled != self._signalled:
            self._source = None
        self._codecs, self._events, self._signalled = codecs, events, signalled
        self._clock = next((codec.clock for codec in codecs.values()), self.rate)
        self._keys.sound_clock = self._clock
        if self.reception is not None:
            self.reception.count_at(self._clock)
        self._locked = False
        self._candidates.clear()

    # ------------------------------------------------------------------ in

    @property
    def source(self) -> Address | None:
        """Where the caller's packets come from; None until that is known, and after signalling has changed
        it.
        """
        return self._source

    def receive(self, packet: RtpPacket, source: Address, arrived: float) -> str | None:
        """Take a packet.

        Args:
            packet: The packet.
            source: The address that it came from.
            arrived: The time of its arrival in seconds.

        Returns:
            The keys that begin, or "". None if it is not the caller's packet.
        """
        kind = packet.payload_type
        codec = self._codecs.get(kind)
        if codec is None and kind not in self._events and kind != COMFORT_NOISE:
            self.unknown += 1
            return None
        current = self.reception
        position = None
        if current is not None and self._locked and packet.ssrc == current.ssrc and source == self._source:
            position = current.add(packet.sequence, packet.timestamp, arrived, sound=codec is not None)
        if position is None:
            position = self._place(packet, source, arrived)
        if position is None:
            self.strangers += 1
            return None
        self._heard_at = arrived
        if kind in self._events:
            if self._opus is not None:
                self._enqueue_all(self._opus.add(position, None, arrived))
            self._keys.clock = self._events[kind]
            return self._keys.receive(position.sequence, packet.timestamp, packet.payload, arrived)
        keys = self._keys.receive(position.sequence, packet.timestamp, None, arrived)
        if codec is None or kind == COMFORT_NOISE:
            self._enqueue(position, self._noise(packet.payload), arrived)
        elif isinstance(codec, OpusCodec):
            self._decode_opus(codec, position, packet.payload, arrived)
        elif packet.payload:
            self._opus = None
            try:
                pcm = codec.decode(packet.payload)
            except CodecError:
                self.unknown += 1
                return keys
            self._enqueue(position, pcm, arrived)
        return keys

    def release_keys(self, now: float) -> str:
        """Return the keys that have waited long enough for missing packets before them. `now` is in seconds."""
        return self._keys.release(now) if self._keys.waiting else ""

    def take(self, now: float) -> bytes:
        """Take the next 20 ms of PCM at `rate`; what is missing in them is concealed. `now` is in seconds."""
        opus = self._opus
        if opus is not None and opus.waiting and not self._buffer.supplied:
            self._enqueue_all(opus.release())
        return self._buffer.take(now).pcm

    @property
    def supplied(self) -> bool:
        """Whether all of the next 20 ms has arrived."""
        return self._buffer.supplied

    # ------------------------------------------------------------------ counters

    @property
    def received(self) -> int:
        """How many packets of the caller have come."""
        return self._received_before + (self.reception.received if self.reception else 0)

    @property
    def lost(self) -> int:
        """How many packets of the caller are missing."""
        return self._lost_before + (max(0, self.reception.lost) if self.reception else 0)

    def stats(self, now: float) -> JitterStats:
        """Return the counters of the jitter buffer."""
        return self._buffer.stats(now)

    @property
    def late(self) -> int:
        """How many Opus packets arrived after they had been rebuilt. `stats` counts those of the jitter
        buffer.
        """
        return self._opus.late if self._opus is not None else 0

    # ------------------------------------------------------------------ whose packet it is

    def _place(self, packet: RtpPacket, source: Address, arrived: float) -> StreamPosition | None:
        """Find the place of a packet that is not simply the next one of the locked stream."""
        current = self.reception
        if (
            self._locked
            and source not in (self._source, self._signalled)
            and not (self._alien and self._at_home(source))
        ):
            if current is None or not self._moved(packet, arrived):
                return None
            self._source = source
            position = self._add(current, packet, arrived)
            if position is not None:
                return position
        if not self._locked and self._trusted(source) and current is not None and packet.ssrc == current.ssrc:
            position = self._add(current, packet, arrived)
            if position is not None:  # the same stream goes on, and with it a key that is held
                self._splice()
                self._lock(source, alien=False)
                return position
        return self._try(packet, source, arrived)

    def _moved(self, packet: RtpPacket, arrived: float) -> bool:
        """Return whether a packet from another address continues the very stream that has fallen silent."""
        current = self.reception
        if current is None or packet.ssrc != current.ssrc or arrived - self._heard_at < REBIND_S:
            return False
        ahead = (packet.sequence - current.highest) & 0xFFFF
        return 0 < ahead < 1000

    def _try(self, packet: RtpPacket, source: Address, arrived: float) -> StreamPosition | None:
        """Examine a stream that is not heard yet. It is heard once enough of it has come."""
        known = self._candidates.get((source, packet.ssrc))
        if known is None:
            trusted = not self._locked and self._trusted(source)
            known = Reception(packet.ssrc, clock=self._clock, trusted=trusted), arrived
            if len(self._candidates) >= MAX_CANDIDATES:
                self._forget_a_candidate()
            self._candidates[source, packet.ssrc] = known
        reception, since = known
        position = self._add(reception, packet, arrived)
        alien = not self._at_home(source)
        if position is None or (alien and arrived - since < ALIEN_S):
            return None
        goes_on = self._goes_on(packet, arrived)
        if goes_on is None:
            self._begin(reception)
        self._lock(source, alien=alien)
        return goes_on or position

    def _goes_on(self, packet: RtpPacket, arrived: float) -> StreamPosition | None:
        """Return the place of a packet that goes on with the stream of before, and with a key that is held; or None."""
        current = self.reception
        if current is None or packet.ssrc != current.ssrc:
            return None
        position = self._add(current, packet, arrived)
        if position is not None:
            self._splice()
        return position

    def _lock(self, source: Address, *, alien: bool) -> None:
        self._source, self._locked, self._alien = source, True, alien
        self._candidates.clear()

    def _trusted(self, source: Address) -> bool:
        """Return whether the first packet from there counts at once."""
        return source in (self._source, self._signalled)

    def _at_home(self, source: Address) -> bool:
        """Return whether signalling names this host as the phone's."""
        if self.home is None or source[0] == self.home or source == self._source:
            return True
        return self._signalled is not None and source[0] == self._signalled[0]

    def _forget_a_candidate(self) -> None:
        """Forget the oldest candidate, one from elsewhere first, so that spraying does not push the phone
        out.
        """
        oldest = next(iter(self._candidates))
        del self._candidates[next((key for key in self._candidates if not self._at_home(key[0])), oldest)]

    def _add(self, reception: Reception, packet: RtpPacket, arrived: float) -> StreamPosition | None:
        sound = packet.payload_type in self._codecs
        return reception.add(packet.sequence, packet.timestamp, arrived, sound=sound)

    def _begin(self, reception: Reception) -> None:
        if self.reception is not None:
            self._lost_before, self._received_before = self.lost, self.received
        self.reception = reception
        self._keys.forget()
        self._splice()

    def _splice(self) -> None:
        self._opus = None
        self._timeline.splice()

    # ------------------------------------------------------------------ its sound

    def _decode_opus(
        self, codec: OpusCodec, position: StreamPosition, payload: bytes, arrived: float
    ) -> None:
        if self._opus is None or self._opus.codec is not codec:
            self._opus = OpusReceiver(codec)
        self._enqueue_all(self._opus.add(position, payload or None, arrived))

    def _enqueue_all(self, packets: list[DecodedPacket]) -> None:
        for packet in packets:
            self._enqueue(*packet)

    def _enqueue(self, position: StreamPosition, pcm: bytes, arrived: float) -> None:
        """Put the sound of a packet into the jitter buffer."""
        if not 0 < len(pcm) <= self.rate * LONGEST_MS // 500:
            self.unknown += 1
            return
        sequence, place = self._timeline.place(position, len(pcm) // 2, clock=self._clock, arrived=arrived)
        self._buffer.add(MediaPacket(sequence & 0xFFFF, place & 0xFFFFFFFF, pcm), arrived)

    def _noise(self, payload: bytes) -> bytes:
        """Return 20 ms of comfort noise at the level of RFC 3389, which is in -dBov. Its spectrum is not
        used.
        """
        level = payload[0] & 0x7F if payload else _QUIETEST
        rms = 32768 * 10 ** (-level / 20)
        noise = self._rng.standard_normal(self.rate // 50, np.float32) * np.float32(rms)
        pcm: bytes = np.clip(noise, -32768, 32767).astype("<i2").tobytes()
        return pcm
