"""The codecs of a telephone line, 20 ms at a time: G.711 of our own, G.722 and Opus of PyAV (FFmpeg).

The clock of RTP is not always the rate of the sound: G.722 counts at 8 kHz for sound at 16 (RFC 3551,
section 4.5.2, keeps an old mistake), Opus always at 48 (RFC 7587, section 4.1). Opus runs at 16 kHz
here: no bot hears more.

PyAV takes a fifth of a second to import, so it is imported when the first call needs it;
`preload` does that ahead of time, off the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio import g711
from piopiy_pipeline.audio.resample import Resampler

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

__all__ = ["CODECS", "LONGEST_MS", "Codec", "CodecError", "codec_rate", "make_codec", "preload"]

FRAME_MS = 20
LONGEST_MS = 120
"""RFC 7587 allows no longer packets, and nobody sends longer ones of the others."""


class CodecError(ValueError):
    """A payload that is none of this codec's."""


class Codec(ABC):
    """One direction's memory each for coding and decoding: a call has its own. PCM16 little-endian mono."""

    name: str
    """As SDP has it."""
    rate: int
    """Of the sound, in Hz."""
    clock: int
    """Of RTP's timestamps, in Hz."""

    @abstractmethod
    def encode(self, pcm: bytes) -> bytes:
        """20 ms of sound as a payload."""

    @abstractmethod
    def decode(self, payload: bytes) -> bytes:
        """The sound of a payload, up to 120 ms. Raises `CodecError`."""

    @abstractmethod
    def silence(self) -> bytes:
        """The payload of 20 ms of silence."""


class _G711(Codec):
    rate = clock = 8000
    _longest = clock * LONGEST_MS // 1000

    def __init__(
        self,
        name: str,
        encode: Callable[[NDArray[np.int16]], NDArray[np.uint8]],
        decode: Callable[[NDArray[np.uint8]], NDArray[np.int16]],
        silence: int,
    ) -> None:
        self.name = name
        self._encode = encode
        self._low, self._high = _halves(decode)
        self._silence = bytes([silence]) * (self.rate * FRAME_MS // 1000)

    def encode(self, pcm: bytes) -> bytes:
        return self._encode(np.frombuffer(pcm, "<i2")).tobytes()

    def decode(self, payload: bytes) -> bytes:
        if not 0 < len(payload) <= self._longest:
            raise CodecError(f"{self.name} of {len(payload)} bytes: 1 to {self._longest} are taken")
        # Of 160 bytes, two translations are a quarter of what an array costs.
        pcm = bytearray(2 * len(payload))
        pcm[::2] = payload.translate(self._low)
        pcm[1::2] = payload.translate(self._high)
        return bytes(pcm)

    def silence(self) -> bytes:
        return self._silence


@cache
def _halves(decode: Callable[[NDArray[np.uint8]], NDArray[np.int16]]) -> tuple[bytes, bytes]:
    """The lower and the upper byte of each code's sample."""
    samples = decode(np.arange(256, dtype=np.uint8)).astype("<i2").view(np.uint8)
    return samples[::2].tobytes(), samples[1::2].tobytes()


class _Av(Codec):
    """A codec of FFmpeg's that runs at 16 kHz."""

    rate = 16000
    _frame = rate * FRAME_MS // 1000
    _encoder: AudioCodecContext
    _decoder: AudioCodecContext

    def _open(self, codec: str, *, decoded_rate: int, options: dict[str, str], bit_rate: int) -> None:
        from av.audio.codeccontext import AudioCodecContext

        encoder = AudioCodecContext.create(codec, "w")
        decoder = AudioCodecContext.create(codec, "r")
        assert isinstance(encoder, AudioCodecContext)
        assert isinstance(decoder, AudioCodecContext)
        encoder.sample_rate, encoder.layout = self.rate, "mono"
        encoder.format, encoder.time_base = "s16", Fraction(1, self.rate)
        encoder.bit_rate = bit_rate
        encoder.options = options
        encoder.open()
        decoder.sample_rate, decoder.layout = decoded_rate, "mono"
        decoder.open()
        self._encoder, self._decoder = encoder, decoder
        self._encoded = 0
        self._quiet = bytes(2 * self._frame)

    def encode(self, pcm: bytes) -> bytes:
        from av.audio.frame import AudioFrame

        frame = AudioFrame(format="s16", layout="mono", samples=self._frame)
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self._encoded, Fraction(1, self.rate)
        frame.planes[0].update(pcm)
        self._encoded += self._frame
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    def decode(self, payload: bytes) -> bytes:
        from av.error import FFmpegError
        from av.packet import Packet

        if not payload:
            raise CodecError(f"an empty payload of {self.name}")
        try:
            frames = self._decoder.decode(Packet(payload))
        except FFmpegError as error:
            raise CodecError(f"{self.name}: {error.strerror}") from None
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)

    def silence(self) -> bytes:
        return self.encode(self._quiet)


class _G722(_Av):
    name, clock = "G722", 8000

    def __init__(self) -> None:
        self._open("g722", decoded_rate=self.rate, options={}, bit_rate=64_000)

    def decode(self, payload: bytes) -> bytes:
        if len(payload) > self.clock * LONGEST_MS // 1000:
            raise CodecError(f"{self.name} of {len(payload)} bytes are more than {LONGEST_MS} ms")
        return super().decode(payload)


class _Opus(_Av):
    name, clock = "opus", 48000

    def __init__(self) -> None:
        options = {"application": "voip", "frame_duration": str(FRAME_MS), "compression_level": "5"}
        self._open("libopus", decoded_rate=48000, options=options, bit_rate=24_000)
        self._narrow = Resampler(48000, self.rate)

    def decode(self, payload: bytes) -> bytes:
        return self._narrow.process(super().decode(payload))


class _AtRate(Codec):
    """Another codec, in a call whose sound has another rate."""

    def __init__(self, codec: Codec, rate: int) -> None:
        self.name, self.rate, self.clock = codec.name, rate, codec.clock
        self._codec = codec
        self._in, self._out = Resampler(codec.rate, rate), Resampler(rate, codec.rate)

    def encode(self, pcm: bytes) -> bytes:
        return self._codec.encode(self._out.process(pcm))

    def decode(self, payload: bytes) -> bytes:
        return self._in.process(self._codec.decode(payload))

    def silence(self) -> bytes:
        return self._codec.silence()


CODECS: dict[str, Callable[[], Codec]] = {
    "PCMU": lambda: _G711("PCMU", g711.ulaw_encode, g711.ulaw_decode, 0xFF),
    "PCMA": lambda: _G711("PCMA", g711.alaw_encode, g711.alaw_decode, 0xD5),
    "G722": _G722,
    "OPUS": _Opus,
}
"""By the names of SDP, in capitals."""


def codec_rate(name: str) -> int:
    """The rate of a codec's sound in Hz, by its name in SDP. Raises `CodecError` for one that is not here."""
    if name.upper() not in CODECS:
        raise CodecError(f"no codec {name!r}: there are {', '.join(CODECS)}")
    return 8000 if name.upper() in ("PCMU", "PCMA") else _Av.rate


def make_codec(name: str, rate: int | None = None) -> Codec:
    """A codec for one call, by its name in SDP in any case. Raises `CodecError` for one that is not here.

    With a `rate` that is not its own its sound is resampled: a call keeps its rate when its codec changes.
    """
    own = codec_rate(name)
    codec = CODECS[name.upper()]()
    return codec if rate is None or rate == own else _AtRate(codec, rate)


def preload() -> None:
    """Load the libraries and tables of all codecs: some tenths of a second, for a thread."""
    for make in CODECS.values():
        codec = make()
        codec.decode(codec.silence())
