"""The outgoing RTP of a call: a packet every 20 ms, with the bot's speech, silence, or a key. No I/O.

The stream to a phone continues while the bot is silent: there are phones, and routers on the way to them, that
treat a stream which stops as a call that has ended.
"""

from __future__ import annotations

from collections import deque
from random import Random

import numpy as np
from loguru import logger

from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes, frame_samples
from piopiy_pipeline.gateway.rtp.codecs import Codec
from piopiy_pipeline.gateway.rtp.dtmf import KEYS, KeySender
from piopiy_pipeline.gateway.rtp.packet import build_rtp
from piopiy_pipeline.gateway.sip.sdp.session_description import MediaFormat

__all__ = ["RtpSender", "key_tone"]

_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_PAD = "123A456B789C*0#D"
_TONE_S, _PAUSE_S = 0.16, 0.08
_TONE_PEAK = 8000.0  # of each of the two tones: about -9 dBm0 together
_KEY_FRAMES = 12  # of a tone and the pause behind it
_MAX_TONE_FRAMES = 64 * _KEY_FRAMES


class RtpSender:
    """The outgoing stream of one call: every 20 ms `speech`, if there is any, and then `filler`.

    Args:
        codec: What the peer takes.
        payload_type: The payload type of the codec.
        events: The format of telephone events; None: the peer takes none, and keys are sent as tones.
        rng: Gives the SSRC and the first numbers; None: a random one.
    """

    def __init__(
        self, *, codec: Codec, payload_type: int, events: MediaFormat | None, rng: Random | None = None
    ) -> None:
        rng = rng or Random()
        self.ssrc = rng.getrandbits(32)
        self.packets = 0
        self.octets = 0
        """The bytes of payload that were sent."""
        self.held = False
        """Whether the peer has us on hold: then nothing is sent."""
        self._sequence = rng.getrandbits(16)
        self._base = rng.getrandbits(32)
        self._origin: float | None = None
        self._frames = 0  # since the origin: the time of the packet that was sent last
        self._spoke = False
        self._marker = True
        self._tones: deque[bytes] = deque()
        self._keys = KeySender(clock=codec.clock)
        self._key_timestamp = 0
        self.agree(codec=codec, payload_type=payload_type, events=events)

    def agree(self, *, codec: Codec, payload_type: int, events: MediaFormat | None) -> None:
        """Take what signalling has agreed on, for the first time or again. Keys that still wait are sent as the
        peer takes them from now on.

        Args:
            codec: What the peer takes, at the same sample rate as before.
            payload_type: The payload type of the codec.
            events: The format of telephone events; None: keys are sent as tones. Their durations count on their own
                clock, their timestamps on that of the codec: they are all one stream.
        """
        self.codec = codec
        self._payload_type = payload_type
        self._event_type = events.payload_type if events else None
        self._step = frame_samples(codec.clock)
        self._keys.clock = events.rate if events else codec.clock
        if events is None and (waiting := self._keys.give_up()):
            left = len(waiting) - self.press(waiting)
            if left:
                logger.warning(
                    "the peer takes tones alone now: {} of the keys that waited are not sent", left
                )

    @property
    def timestamp(self) -> int:
        """The timestamp of the packet that was sent last, on the stream's clock, modulo 2^32."""
        return (self._base + self._frames * self._step) & 0xFFFFFFFF

    def press(self, keys: str) -> int:
        """Queue keys to be sent. Returns how many there was room for. Raises `ValueError` for a character that is no
        key.
        """
        if self._event_type is not None and not self._tones:  # behind tones that wait they are tones, too
            return self._keys.press(keys)
        room = max(0, _MAX_TONE_FRAMES - len(self._tones)) // _KEY_FRAMES
        for key in keys.upper()[:room]:
            self._tones += key_tone(key, self.codec.rate)
        return min(len(keys), room)

    def speech(self, pcm: bytes) -> bytes | None:
        """Return the packet of 20 ms of PCM at the codec's rate; None while a key is sent instead, and on
        hold.
        """
        if self.held or self._keys.next_is_key or self._tones:
            return None
        self._spoke = True
        self._frames += 1
        return self._packet(self.codec.encode(pcm))

    def filler(self, now: float) -> bytes | None:
        """Return the packet of these 20 ms if there was no `speech`: a key, a tone, or silence. `now` is in
        seconds.
        """
        if self._origin is None:
            self._origin = now - (self._frames or 1) * FRAME_S
        if self._spoke:
            self._spoke = False
            if not self._keys.next_is_key:  # a key that was pressed since then has its turn at the next frame
                self._keys.next_packet()  # the pause between keys goes on
            return None
        # After a stall of the event loop the timestamps have to follow the time.
        self._frames = max(self._frames + 1, round((now - self._origin) / FRAME_S))
        if self.held:
            self._marker = True
            return None
        key = self._keys.next_packet()
        if key is not None and self._event_type is not None:
            if key.first:
                self._key_timestamp = self.timestamp
            return self._packet(key.payload, self._event_type, self._key_timestamp, marker=key.first)
        if self._tones:
            return self._packet(self.codec.encode(self._tones.popleft()))
        return self._packet(self.codec.silence())

    def _packet(
        self, payload: bytes, kind: int | None = None, timestamp: int | None = None, *, marker: bool = False
    ) -> bytes:
        if kind is None:
            kind, timestamp = self._payload_type, self.timestamp
            marker, self._marker = self._marker, False
        assert timestamp is not None
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return build_rtp(kind, self._sequence, timestamp & 0xFFFFFFFF, self.ssrc, payload, marker=marker)


def key_tone(key: str, rate: int) -> list[bytes]:
    """Make the tone of a key (ITU-T Q.23), followed by a pause.

    Args:
        key: One of `KEYS`.
        rate: The sample rate in Hz.

    Returns:
        Frames of 20 ms of PCM.

    Raises:
        ValueError: `key` is no key.
    """
    if key not in KEYS:
        raise ValueError(f"{key!r} is no key: there are {KEYS}")
    row, column = divmod(_PAD.index(key), 4)
    at = np.arange(int(_TONE_S * rate)) / rate
    tone = np.sin(2 * np.pi * _ROWS[row] * at) + np.sin(2 * np.pi * _COLUMNS[column] * at)
    sound = np.concatenate((tone * _TONE_PEAK, np.zeros(int(_PAUSE_S * rate)))).astype("<i2").tobytes()
    size = frame_bytes(rate)
    return [sound[start : start + size] for start in range(0, len(sound), size)]
