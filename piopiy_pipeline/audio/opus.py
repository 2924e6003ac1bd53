"""Opus at the sample rate of the call, in mono: libopus by ctypes. Phones and browsers use it.

PyAV decodes Opus at 48 kHz only, and has neither concealment nor FEC. libopus decodes at the rate that is wanted,
which saves a resampler; it conceals a lost packet (`OpusDecoder.conceal`), and rebuilds one from the copy in the
packet after it (`OpusDecoder.recover`). The library is the one in PyAV's wheels, or else that of Python's own
environment (conda), or else the system's.

Sources: RFC 6716; RFC 7587 for RTP; the libopus 1.x API (opus.h, opus_defines.h).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["CLOCK", "OpusDecoder", "OpusEncoder", "OpusError", "library"]

CLOCK = 48000
"""RTP timestamps of Opus count at 48 kHz, whatever the sample rate is (RFC 7587, section 4.1)."""

_VOIP = 2048
_OK = 0
_SET_BITRATE, _SET_COMPLEXITY = 4002, 4010
_SET_INBAND_FEC, _SET_LOSS_PERCENT = 4012, 4014
_SET_SIGNAL, _SIGNAL_VOICE = 4024, 3001
_MAX_PACKET = 1275
_MAX_MS = 120


class OpusError(Exception):
    """libopus is missing, or refused what it was given."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """Load libopus once, and declare its functions. Raises `OpusError` when it is not found."""
    for name in _candidates():
        try:
            return _typed(ctypes.CDLL(name))
        except (OSError, AttributeError):  # it cannot be loaded, or is another library of the Opus family
            continue
    raise OpusError(
        "libopus was not found, neither with PyAV nor on this machine: install PyAV from its wheel, or the "
        "system's library ('libopus0' with apt, 'opus' with apk, dnf and Homebrew)"
    )


def _candidates() -> Iterator[str]:
    spec = find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.parent / "av.libs", package / ".dylibs"):
            yield from (str(path) for path in sorted(folder.glob("*opus*")))
    for folder in (Path(sys.prefix) / "lib", Path("/opt/homebrew/lib")):
        yield from (str(path) for path in sorted(folder.glob("libopus.*")))
    system = ctypes.util.find_library("opus")  # asks ldconfig or a compiler, which small images lack
    yield from ((system,) if system else ())
    yield from ("libopus.so.0", "libopus.0.dylib")


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.opus_encoder_create.restype = library.opus_decoder_create.restype = pointer
    library.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, ctypes.POINTER(number)]
    library.opus_decoder_create.argtypes = [ctypes.c_int32, number, ctypes.POINTER(number)]
    library.opus_encoder_destroy.argtypes = library.opus_decoder_destroy.argtypes = [pointer]
    library.opus_encoder_destroy.restype = library.opus_decoder_destroy.restype = None
    # The fixed part of a variadic function has to be declared: some ABIs pass the rest in another place.
    library.opus_encoder_ctl.argtypes = [pointer, number]
    library.opus_encode.argtypes = [pointer, ctypes.c_char_p, number, pointer, ctypes.c_int32]
    library.opus_decode.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int32, pointer, number, number]
    library.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    library.opus_strerror.restype = ctypes.c_char_p
    return library


class OpusEncoder:
    """Encodes 20 ms of 16-bit little-endian mono PCM at a time.

    Args:
        rate: The sample rate in Hz: 8000, 12000, 16000, 24000 or 48000.
        bit_rate: The bit rate in bits a second.
        complexity: 0 to 10; more costs more time.

    Raises:
        OpusError: libopus is missing, or `rate` is none of these.
    """

    def __init__(self, rate: int, *, bit_rate: int = 28_000, complexity: int = 5) -> None:
        self._library = library()
        self._samples = rate // 50
        status = ctypes.c_int()
        self._state = ctypes.c_void_p(self._library.opus_encoder_create(rate, 1, _VOIP, ctypes.byref(status)))
        _check(self._library, status.value)
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)
        self._loss = 0
        self._set(_SET_BITRATE, bit_rate)
        self._set(_SET_COMPLEXITY, complexity)
        self._set(_SET_SIGNAL, _SIGNAL_VOICE)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_encoder_destroy(self._state)

    def encode(self, pcm: bytes) -> bytes:
        """Encode exactly 20 ms of PCM to a packet. Raises `OpusError` for any other length."""
        if len(pcm) != 2 * self._samples:
            raise OpusError(f"{len(pcm)} bytes of sound: 20 ms are {2 * self._samples}")
        size = self._library.opus_encode(self._state, pcm, self._samples, self._packet, _MAX_PACKET)
        _check(self._library, size)
        return self._packet.raw[:size]

    def expect_loss(self, fraction: float) -> None:
        """Adapt to packet loss (in-band FEC).

        Args:
            fraction: How many of our packets the peer misses, 0.0 to 1.0. From 0.02 on, each packet carries a copy of
                the one before.
        """
        percent = min(round(100 * fraction), 30)
        percent = 0 if percent < 2 else max(5, 5 * round(percent / 5))
        if percent != self._loss:
            self._loss = percent
            self._set(_SET_INBAND_FEC, int(percent > 0))
            self._set(_SET_LOSS_PERCENT, percent)

    def _set(self, request: int, value: int) -> None:
        _check(self._library, self._library.opus_encoder_ctl(self._state, request, ctypes.c_int(value)))


class OpusDecoder:
    """Decodes packets to 16-bit little-endian mono PCM; stereo is mixed down.

    Args:
        rate: The sample rate in Hz: 8000, 12000, 16000, 24000 or 48000.

    Raises:
        OpusError: libopus is missing, or `rate` is none of these.
    """

    def __init__(self, rate: int) -> None:
        self._library = library()
        self._rate = rate
        status = ctypes.c_int()
        self._state = ctypes.c_void_p(self._library.opus_decoder_create(rate, 1, ctypes.byref(status)))
        _check(self._library, status.value)
        self._most = rate * _MAX_MS // 1000
        self._pcm = ctypes.create_string_buffer(2 * self._most)

    def __del__(self) -> None:
        if hasattr(self, "_state"):
            self._library.opus_decoder_destroy(self._state)

    def duration(self, packet: bytes) -> int:
        """Return how many samples a packet has at this decoder's rate. Raises `OpusError` if it is no Opus
        packet.
        """
        samples: int = self._library.opus_packet_get_nb_samples(packet, len(packet), self._rate)
        _check(self._library, samples)
        return samples

    def decode(self, packet: bytes) -> bytes:
        """Decode a packet of up to 120 ms. Raises `OpusError` when it is not an Opus packet."""
        if not packet:
            raise OpusError("an empty packet")
        return self._decode(packet, self._most, fec=0)

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Rebuild the lost packet before `packet` from the copy in it, or conceal it when there is no copy.

        Args:
            packet: The packet after the lost one; it is decoded afterwards.
            samples: The length of the lost packet, a multiple of 2.5 ms.

        Raises:
            OpusError: `packet` is not an Opus packet, or `samples` is more than 120 ms.
        """
        return self._decode(packet, samples, fec=1)

    def conceal(self, samples: int) -> bytes:
        """Make sound for a gap of `samples`, a multiple of 2.5 ms: the sound before it continues, and fades."""
        return self._decode(None, samples, fec=0)

    def _decode(self, packet: bytes | None, samples: int, *, fec: int) -> bytes:
        if samples > self._most:
            raise OpusError(f"{samples} samples: {self._most} ({_MAX_MS} ms) are the most at a time")
        size = len(packet) if packet is not None else 0
        decoded = self._library.opus_decode(self._state, packet, size, self._pcm, samples, fec)
        _check(self._library, decoded)
        return self._pcm.raw[: 2 * decoded]


def _check(library: ctypes.CDLL, result: int) -> None:
    if result < _OK:
        raise OpusError(f"libopus: {library.opus_strerror(result).decode()}")
