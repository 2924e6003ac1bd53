"""The bot's voice: 20 ms frames as the gateway paces them, to RTP packets. No I/O.

While the bot is silent nothing is sent at all: a browser's jitter buffer (NetEq) fills a pause by
itself, as it does for DTX, and half of the packets of a call are saved. Timestamps go on with the wall
clock across a pause, so that it is one and no loss. What the browser would stretch over the pause's
beginning is silence: one frame of it closes each stretch of speech, whether it ended or was cut off.

Frames that come in a bunch, because a process was late, are sent at once up to a bound; beyond it they
are left out, since delay would stay for the rest of the call.
"""

from __future__ import annotations

import secrets

from piopiy_pipeline.audio.opus import CLOCK, OpusEncoder
from piopiy_pipeline.gateway.rtp.packet import build_rtp

__all__ = ["Downlink"]

FRAME = CLOCK // 50
AHEAD_S = 0.1
"""Sound that is further ahead of the clock than this is left out."""
BEHIND_S = 0.05
"""A frame that comes this much later than the end of the one before it begins a new stretch."""
CLOSE_S = 0.03
"""So long after the last frame the stretch is closed."""


class Downlink:
    """PCM16 mono at `rate` Hz to unprotected RTP packets of one source. Times are in seconds of one clock."""

    def __init__(self, rate: int, *, payload_type: int, ssrc: int, now: float) -> None:
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self.dropped = 0
        """Frames that were left out."""
        self._encoder = OpusEncoder(rate)
        self._payload_type = payload_type
        self._silence = bytes(rate // 50 * 2)
        self._began = now
        self._sequence = secrets.randbelow(1 << 15)  # the lower half: SRTP does not see an early wrap
        self._origin = secrets.randbits(32)
        self._next = 0  # the timestamp of the next frame, counted from `now`
        self._last_at: float | None = None  # when the last frame of the present stretch was sent

    def timestamp(self, now: float) -> int:
        """The stream's time of this moment, as reports tell it."""
        return (self._origin + int((now - self._began) * CLOCK)) & 0xFFFFFFFF

    def expect_loss(self, fraction: float) -> None:
        """The browser misses this part of the packets."""
        self._encoder.expect_loss(fraction)

    def frame(self, pcm: bytes, now: float) -> bytes | None:
        """20 ms of speech: the packet to send, or None when there is too much already."""
        clock = int((now - self._began) * CLOCK)
        begins = self._last_at is None or self._next < clock - int(BEHIND_S * CLOCK)
        if begins:
            self._next = max(self._next, clock)
        elif self._next > clock + int(AHEAD_S * CLOCK):
            self.dropped += 1
            return None
        self._last_at = now
        return self._packet(pcm, marker=begins)

    @property
    def close_at(self) -> float | None:
        """When `close` is due, if nothing more is said until then."""
        if self._last_at is None:
            return None
        return max(self._last_at + CLOSE_S, self._began + self._next / CLOCK)

    def close(self) -> bytes:
        """The end of a stretch: its last packet, of silence."""
        self._last_at = None
        return self._packet(self._silence, marker=False)

    def _packet(self, pcm: bytes, *, marker: bool) -> bytes:
        payload = self._encoder.encode(pcm)
        timestamp = (self._origin + self._next) & 0xFFFFFFFF
        packet = build_rtp(self._payload_type, self._sequence, timestamp, self.ssrc, payload, marker=marker)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._next += FRAME
        self.packets += 1
        self.octets += len(payload)
        return packet
