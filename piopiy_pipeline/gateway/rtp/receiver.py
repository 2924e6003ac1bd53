"""The caller's side of a call's RTP: which packets are the caller's, and what they say. No I/O.

Phones behind a router send from another address than they wrote into their SDP. So the first source
that sends two packets in order is taken for the phone, and locked: what others send later is not heard,
until signalling moves the media. The address that was signalled counts above one that was learned. The
same stream may go on from another port, which is a router that forgot, not a stranger, who would have
to guess its numbers.

A voice goes through the jitter buffer; of one stream after another it sees a single one, so that a
new source or codec in mid-call is a short gap and no more.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from piopiy_pipeline.audio.jitter_buffer import JitterBuffer, JitterStats, MediaPacket
from piopiy_pipeline.gateway.rtp.codecs import LONGEST_MS, Codec, CodecError
from piopiy_pipeline.gateway.rtp.dtmf import KeyReceiver
from piopiy_pipeline.gateway.rtp.packet import RtpPacket
from piopiy_pipeline.gateway.rtp.reception import Reception, StreamPosition

__all__ = ["Address", "RtpReceiver"]

Address = tuple[str, int]

COMFORT_NOISE = 13
REBIND_S = 1.0
"""A stream that goes on from another port is believed when the old one has been silent for this long."""
ALIEN_S = 1.0
"""So long a stream has to go on that comes neither from where the call came from nor from where the
description says: whoever sprays a gateway's ports is first at the answer, and would get the bot's voice."""
MAX_CANDIDATES = 8
"""Streams that may show that they are one, side by side; of more, the oldest is forgotten."""
_QUIETEST = 0x7F


class RtpReceiver:
    """The incoming stream of one call, whose sound has `rate` Hz. Nothing is heard before `agree`."""

    def __init__(self, *, rate: int) -> None:
        self.rate = rate
        self.reception: Reception | None = None
        """Of the stream that is heard at present."""
        self.strangers = 0
        """Packets that came from elsewhere than the caller, or belong to no stream."""
        self.unknown = 0
        """Packets of a payload that was not agreed on, or that is none of its codec's."""
        self._codecs: Mapping[int, Codec] = {}
        self._events: frozenset[int] = frozenset()
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
        self._splice = (0, 0, 0, 0)  # where a stream begins: its sequence and time, and those in the buffer
        self._newest = (0, 0)  # in the buffer: the highest sequence number, and the end of its sound
        self._newest_at = 0.0
        self._buffer = JitterBuffer(rate=rate)
        self._keys = KeyReceiver()
        self._dice = np.random.default_rng(0)

    def agree(
        self, *, codecs: Mapping[int, Codec], events: frozenset[int], signalled: Address | None
    ) -> None:
        """Signalling has agreed on these, for the first time or anew.

        `codecs` are those that may come, by payload type; `events` are the payload types of keys;
        `signalled` is where the peer's description says that it listens, None if it does not say.
        """
        if signalled != self._signalled:
            self._source = None
        self._codecs, self._events, self._signalled = codecs, events, signalled
        self._clock = next((codec.clock for codec in codecs.values()), self.rate)
        self._locked = False
        self._candidates.clear()

    # ------------------------------------------------------------------ in

    @property
    def source(self) -> Address | None:
        """Where the caller's packets come from; None until that is known, and when signalling moved it."""
        return self._source

    def receive(self, packet: RtpPacket, source: Address, arrived: float) -> str | None:
        """A packet from `source`. The key that it begins, if any; None if it is not the caller's."""
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
            return self._keys.receive(position.timestamp, packet.payload)
        if codec is None or kind == COMFORT_NOISE:
            self._play(position, self._noise(packet.payload), arrived)
        elif packet.payload:
            try:
                pcm = codec.decode(packet.payload)
            except CodecError:
                self.unknown += 1
                return ""
            self._play(position, pcm, arrived)
        return ""

    def take(self, now: float) -> bytes:
        """The next 20 ms of the caller, made up where they are missing."""
        return self._buffer.take(now).pcm

    @property
    def supplied(self) -> bool:
        """Whether all of the next 20 ms is here."""
        return self._buffer.supplied

    # ------------------------------------------------------------------ how it goes

    @property
    def received(self) -> int:
        """Packets that counted."""
        return self._received_before + (self.reception.received if self.reception else 0)

    @property
    def lost(self) -> int:
        """Packets that have not come."""
        return self._lost_before + (max(0, self.reception.lost) if self.reception else 0)

    def stats(self, now: float) -> JitterStats:
        """What the jitter buffer has to tell."""
        return self._buffer.stats(now)

    # ------------------------------------------------------------------ whose packet it is

    def _place(self, packet: RtpPacket, source: Address, arrived: float) -> StreamPosition | None:
        """Of a packet that is not simply the caller's next."""
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
        return self._try(packet, source, arrived)

    def _moved(self, packet: RtpPacket, arrived: float) -> bool:
        """Whether a packet from elsewhere goes on with the very stream that has fallen silent."""
        current = self.reception
        if current is None or packet.ssrc != current.ssrc or arrived - self._heard_at < REBIND_S:
            return False
        ahead = (packet.sequence - current.highest) & 0xFFFF
        return 0 < ahead < 1000

    def _try(self, packet: RtpPacket, source: Address, arrived: float) -> StreamPosition | None:
        """A packet of a stream that is not heard yet: it is, once it is known for one."""
        known = self._candidates.get((source, packet.ssrc))
        if known is None:
            trusted = not self._locked and source in (self._source, self._signalled)
            known = Reception(packet.ssrc, clock=self._clock, trusted=trusted), arrived
            if len(self._candidates) >= MAX_CANDIDATES:
                self._forget_a_candidate()
            self._candidates[source, packet.ssrc] = known
        reception, since = known
        position = self._add(reception, packet, arrived)
        alien = not self._at_home(source)
        if position is None or (alien and arrived - since < ALIEN_S):
            return None
        self._begin(reception, position, arrived)
        self._source, self._locked, self._alien = source, True, alien
        self._candidates.clear()
        return position

    def _at_home(self, source: Address) -> bool:
        """Whether a stream from there is the phone's by all that signalling says."""
        if self.home is None or source[0] == self.home or source == self._source:
            return True
        return self._signalled is not None and source[0] == self._signalled[0]

    def _forget_a_candidate(self) -> None:
        """The oldest; but whoever sprays packets is not to push the phone out."""
        oldest = next(iter(self._candidates))
        del self._candidates[next((key for key in self._candidates if not self._at_home(key[0])), oldest)]

    def _add(self, reception: Reception, packet: RtpPacket, arrived: float) -> StreamPosition | None:
        sound = packet.payload_type in self._codecs
        return reception.add(packet.sequence, packet.timestamp, arrived, sound=sound)

    def _begin(self, reception: Reception, position: StreamPosition, arrived: float) -> None:
        if self.reception is not None:
            self._lost_before, self._received_before = self.lost, self.received
            pause = max(0, int((arrived - self._newest_at) * self.rate))
            self._newest = (self._newest[0] + 1, self._newest[1] + pause)
        self.reception = reception
        self._keys.forget()
        self._splice = (position.sequence, position.timestamp, self._newest[0], self._newest[1])

    # ------------------------------------------------------------------ what it says

    def _play(self, position: StreamPosition, pcm: bytes, arrived: float) -> None:
        sequence, timestamp, sequence_there, timestamp_there = self._splice
        sequence_there += position.sequence - sequence
        timestamp_there += (position.timestamp - timestamp) * self.rate // self._clock
        if sequence_there >= self._newest[0]:
            self._newest = (sequence_there, timestamp_there + len(pcm) // 2)
            self._newest_at = arrived
        if pcm and len(pcm) <= self.rate * LONGEST_MS // 500:
            self._buffer.add(MediaPacket(sequence_there & 0xFFFF, timestamp_there & 0xFFFFFFFF, pcm), arrived)
        else:
            self.unknown += 1

    def _noise(self, payload: bytes) -> bytes:
        """20 ms of the noise that RFC 3389 describes: its level is in -dBov; its spectrum is left out."""
        level = payload[0] & 0x7F if payload else _QUIETEST
        rms = 32768 * 10 ** (-level / 20)
        noise = self._dice.standard_normal(self.rate // 50, np.float32) * np.float32(rms)
        pcm: bytes = np.clip(noise, -32768, 32767).astype("<i2").tobytes()
        return pcm
