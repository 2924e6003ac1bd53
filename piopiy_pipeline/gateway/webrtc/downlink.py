"""The bot's audio to a browser: 20 ms frames, paced by the gateway, become RTP packets. No I/O.

Nothing is sent while the bot is silent. A browser's jitter buffer (NetEq) fills a pause by itself, as it does
for DTX, and this saves half of the packets of a call. Timestamps advance with the clock during a
pause, so the browser does not take the pause for loss. NetEq stretches the last audio that it got into the
beginning of a pause, so one frame of silence closes each stretch of speech, whether it ended or was interrupted.

Frames that arrive in a burst, because a process was late, are sent at once up to a bound. Further ones are
dropped, because the delay would stay for the rest of the call.
"""

from __future__ import annotations

import secrets

from piopiy_pipeline.audio.opus import CLOCK, OpusEncoder
from piopiy_pipeline.gateway.rtp.packet import build_rtp

__all__ = ["Downlink"]

FRAME = CLOCK // 50
AHEAD_S = 0.1
"""Audio that is further ahead of the clock than this is dropped."""
BEHIND_S = 0.05
"""A frame that comes this long after the end of the one before it begins a new stretch of speech."""
CLOSE_S = 0.03
"""How long after the last frame a stretch of speech is closed."""


class Downlink:
    """Makes unencrypted RTP packets of one source from PCM. All times are in seconds of one clock."""

    def __init__(self, rate: int, *, payload_type: int, ssrc: int, now: float) -> None:
        """Args:
        rate: Sample rate of the PCM, in Hz.
        payload_type: The negotiated RTP payload type of Opus.
        ssrc: The SSRC of the packets.
        now: The time that RTP timestamps count from.
        """
        self.ssrc = ssrc
        self.packets = 0
        self.octets = 0
        self.dropped = 0
        """Frames that were dropped."""
        self._encoder = OpusEncoder(rate)
        self._payload_type = payload_type
        self._silence = bytes(rate // 50 * 2)
        self._began = now
        self._sequence = secrets.randbelow(1 << 15)  # the lower half: SRTP does not see an early wrap
        self._origin = secrets.randbits(32)
        self._next = 0  # the timestamp of the next frame, counted from `now`
        self._last_at: float | None = None  # when the last frame of the present stretch was sent

    def timestamp(self, now: float) -> int:
        """Return the RTP timestamp of this moment, for sender reports."""
        return (self._origin + int((now - self._began) * CLOCK)) & 0xFFFFFFFF

    def expect_loss(self, fraction: float) -> None:
        """Set the fraction of packets (0 to 1) that the browser loses; the encoder adds FEC for it."""
        self._encoder.expect_loss(fraction)

    def send_audio(self, pcm: bytes, now: float) -> bytes | None:
        """Return the packet for 20 ms of PCM16 mono, or None if the audio is too far ahead and is dropped."""
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
        """When `close` must be called if no more audio comes until then, in seconds; None between stretches
        of speech.
        """
        if self._last_at is None:
            return None
        return max(self._last_at + CLOSE_S, self._began + self._next / CLOCK)

    def close(self) -> bytes:
        """End a stretch of speech. Returns its last packet, which holds silence."""
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
