"""The codecs of a telephone line, 20 ms at a time: G.711 of our own, G.722 of PyAV (FFmpeg), Opus of libopus.

The RTP clock is not always the sample rate of the sound: G.722 counts at 8 kHz for sound at 16 kHz (RFC 3551,
section 4.5.2, keeps an old mistake), Opus always counts at 48 kHz (RFC 7587, section 4.1). Opus runs at 16 kHz
here, because no speech recogniser uses more.

PyAV takes a fifth of a second to import, so it is imported when the first call needs it; `preload` does that
ahead of time, in a thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio import g711
from piopiy_pipeline.audio.frame import frame_bytes, frame_samples
from piopiy_pipeline.audio.opus import CLOCK, OpusDecoder, OpusEncoder, OpusError
from piopiy_pipeline.audio.resample import Resampler

__all__ = ["CODECS", "LONGEST_MS", "Codec", "CodecError", "OpusCodec", "codec_rate", "make_codec", "preload"]

LONGEST_MS = 120
"""The longest packet: RFC 7587 allows no longer ones of Opus, and nobody sends longer ones of the others."""
WIDEBAND = 16000
"""The sample rate of G.722 and Opus here, in Hz."""


class CodecError(ValueError):
    """A payload that this codec cannot decode, or a codec that is not here."""


class Codec(ABC):
    """An encoder and a decoder with their state: every call has its own. PCM is 16-bit little-endian mono."""

    name: str
    """Its name in SDP."""
    rate: int
    """The sample rate of the sound in Hz."""
    clock: int
    """The rate of RTP timestamps in Hz."""

    @abstractmethod
    def encode(self, pcm: bytes) -> bytes:
        """Encode exactly 20 ms of sound at `rate`."""

    @abstractmethod
    def decode(self, payload: bytes) -> bytes:
        """Decode a payload of up to 120 ms. Raises `CodecError` for one that is none of this codec's."""

    @abstractmethod
    def silence(self) -> bytes:
        """Encode 20 ms of silence."""


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
        self._silence = bytes([silence]) * frame_samples(self.rate)

    def encode(self, pcm: bytes) -> bytes:
        return self._encode(np.frombuffer(pcm, "<i2")).tobytes()

    def decode(self, payload: bytes) -> bytes:
        if not 0 < len(payload) <= self._longest:
            raise CodecError(f"{self.name} of {len(payload)} bytes: 1 to {self._longest} are taken")
        # For 160 bytes, two translations cost a quarter of what an array costs.
        pcm = bytearray(2 * len(payload))
        pcm[::2] = payload.translate(self._low)
        pcm[1::2] = payload.translate(self._high)
        return bytes(pcm)

    def silence(self) -> bytes:
        return self._silence


@cache
def _halves(decode: Callable[[NDArray[np.uint8]], NDArray[np.int16]]) -> tuple[bytes, bytes]:
    """Return the lower and the upper byte of each code's sample."""
    samples = decode(np.arange(256, dtype=np.uint8)).astype("<i2").view(np.uint8)
    return samples[::2].tobytes(), samples[1::2].tobytes()


class _G722(Codec):
    """G.722 at 64 kbit/s, by FFmpeg."""

    name, rate, clock = "G722", 16000, 8000
    _frame = frame_samples(rate)

    def __init__(self) -> None:
        from av.audio.codeccontext import AudioCodecContext

        encoder = AudioCodecContext.create("g722", "w")
        decoder = AudioCodecContext.create("g722", "r")
        assert isinstance(encoder, AudioCodecContext)
        assert isinstance(decoder, AudioCodecContext)
        encoder.sample_rate, encoder.layout = self.rate, "mono"
        encoder.format, encoder.time_base = "s16", Fraction(1, self.rate)
        encoder.bit_rate = 64_000
        encoder.open()
        decoder.sample_rate, decoder.layout = self.rate, "mono"
        decoder.open()
        self._encoder, self._decoder = encoder, decoder
        self._encoded = 0

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

        longest = self.clock * LONGEST_MS // 1000
        if not 0 < len(payload) <= longest:
            raise CodecError(f"G722 of {len(payload)} bytes: 1 to {longest} are taken")
        try:
            frames = self._decoder.decode(Packet(payload))
        except FFmpegError as error:
            raise CodecError(f"G722: {error.strerror}") from None
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)

    def silence(self) -> bytes:
        return self.encode(bytes(2 * self._frame))


class OpusCodec(Codec):
    """Opus at the rate of the call: 8, 12, 16, 24 or 48 kHz. It can rebuild and conceal lost packets."""

    name, clock = "opus", CLOCK

    def __init__(self, rate: int = WIDEBAND) -> None:
        self.rate = rate
        self._encoder, self._decoder = OpusEncoder(rate, bit_rate=24_000), OpusDecoder(rate)
        self._quiet = bytes(frame_bytes(rate))

    def encode(self, pcm: bytes) -> bytes:
        return self._encoder.encode(pcm)

    def decode(self, payload: bytes) -> bytes:
        try:
            return self._decoder.decode(payload)
        except OpusError as error:
            raise CodecError(f"opus: {error}") from None

    def silence(self) -> bytes:
        return self._encoder.encode(self._quiet)

    def recover(self, payload: bytes, samples: int) -> bytes:
        """Rebuild the lost packet before this one from the copy in it, or conceal it when there is no copy.

        Args:
            payload: The packet after the lost one; it has not been decoded yet.
            samples: The length of the lost packet, a multiple of 2.5 ms.

        Raises:
            CodecError: `payload` is no Opus.
        """
        try:
            return self._decoder.recover(payload, samples)
        except OpusError as error:
            raise CodecError(f"opus: {error}") from None

    def conceal(self, samples: int) -> bytes:
        """Make sound for a lost packet of `samples`, a multiple of 2.5 ms, from the sound before it."""
        return self._decoder.conceal(samples)

    def expect_loss(self, fraction: float) -> None:
        """Adapt to the fraction (0.0 to 1.0) of our packets that the peer misses: from 2% on they carry FEC
        copies.
        """
        self._encoder.expect_loss(fraction)


class _AtRate(Codec):
    """Another codec, resampled for a call whose sound has another rate."""

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
    "OPUS": OpusCodec,
}
"""The codecs by their names in SDP, in capitals."""


def codec_rate(name: str) -> int:
    """Return the sample rate of a codec's sound in Hz, by its name in SDP in any case.

    Raises:
        CodecError: There is no such codec here.
    """
    if name.upper() not in CODECS:
        raise CodecError(f"no codec {name!r}: there are {', '.join(CODECS)}")
    return 8000 if name.upper() in ("PCMU", "PCMA") else WIDEBAND


def make_codec(name: str, rate: int | None = None) -> Codec:
    """Make a codec for one call.

    Args:
        name: Its name in SDP, in any case.
        rate: The sample rate of the sound in Hz; None: the codec's own. A call keeps its rate when its codec changes,
            so the sound of most codecs is resampled for another one; Opus runs at it.

    Raises:
        CodecError: There is no such codec here.
    """
    own = codec_rate(name)
    if name.upper() == "OPUS":
        return OpusCodec(rate or own)
    codec = CODECS[name.upper()]()
    return codec if rate is None or rate == own else _AtRate(codec, rate)


def preload() -> None:
    """Load the libraries and tables of all codecs. It takes some tenths of a second: call it in a thread."""
    for make in CODECS.values():
        codec = make()
        codec.decode(codec.encode(bytes(frame_bytes(codec.rate))))
