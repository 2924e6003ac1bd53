"""Reads WAV files as mono samples at the rate that is wanted. `audio.growing_wav` writes WAV files.

The command line, the test harness and the scripted services all take audio files. With this, none of them
has to know about channels, rates and sample formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

__all__ = ["MAX_SECONDS", "WavError", "read_wav"]

MAX_SECONDS = 600.0
"""The longest file that `read_wav` takes, in seconds. It reads the whole file, so its size must have a limit."""

MAX_SAMPLES = 60_000_000
"""The most samples of all channels: 10 minutes of stereo at 48 kHz, which take 240 MB while they are resampled."""


MAX_CHANNELS = 8
"""The most channels: those of 7.1 surround sound. A file with more is no recording, or its header lies."""


_MISSING_S = 0.01
"""A header may promise so much more than there is, in seconds: some writers count the header as sound."""

_UNKNOWN_SIZE = 0x7FFFF000
"""A size in a header from here on means that the writer did not know it: ffmpeg and sox write so into pipes."""

_MANY_CHUNKS = 1000
"""So many chunks are looked through for the sound."""

_OTHER_FORMATS = {
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b"ID3": "MP3",
    b".snd": "AU",
    b"caff": "CAF",
}


class WavError(ValueError):
    """A WAV file that cannot be read or written. The message names the file."""


def read_wav(path: str | Path, rate: int) -> NDArray[np.int16]:
    """Read a whole WAV file as mono.

    Channels are averaged. Other rates are resampled (soxr, high quality).

    Args:
        path: The file.
        rate: The sample rate of the result, in Hz.

    Returns:
        PCM of shape ``[samples]``.

    Raises:
        WavError: The file is missing, no WAV file, cut off, empty, longer than `MAX_SECONDS`, larger than
            `MAX_SAMPLES`, of more than `MAX_CHANNELS`, or has samples that are no numbers.
    """
    path = Path(path)
    if not path.exists():
        raise WavError(f"{path}: no such file")
    if not path.is_file():
        raise WavError(f"{path}: not a WAV file (it is not a file)")
    try:
        _check_header(path)
        with soundfile.SoundFile(path) as file:
            if file.format not in ("WAV", "WAVEX", "RF64"):
                raise WavError(f"{path}: not a WAV file (it is {file.format_info})")
            if file.frames == 0:
                raise WavError(f"{path}: the WAV file holds no audio")
            if file.frames > MAX_SECONDS * file.samplerate:
                raise WavError(f"{path}: longer than {MAX_SECONDS:.0f} s; cut it into turns")
            if file.frames * file.channels > MAX_SAMPLES:
                raise WavError(
                    f"{path}: {file.frames / file.samplerate:.0f} s of {file.channels} channels "
                    f"at {file.samplerate} Hz are too large: a caller's turn is mono at 48000 Hz or less"
                )
            if file.channels > MAX_CHANNELS:
                raise WavError(f"{path}: has {file.channels} channels, and {MAX_CHANNELS} are the limit")
            samples = file.read(dtype="float32", always_2d=True)
            source_rate = int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise WavError(f"{path}: not a WAV file ({_why(error)})") from None
    except OSError as error:
        raise WavError(f"{path}: cannot be read ({error.strerror or error})") from None
    mono = samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise WavError(f"{path}: has samples that are no numbers, or are beyond all numbers")
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate, quality="HQ")
    if not len(mono):
        raise WavError(f"{path}: the WAV file holds no audio: {len(samples)} samples at {source_rate} Hz")
    pcm: NDArray[np.int16] = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


def _check_header(path: Path) -> None:
    """Look at the header before libsndfile does, whose decoders write to stderr, and which fills a gap in silence.

    Raises:
        WavError: The file does not begin as a WAV file, or ends before the sound that its header promises.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if not head:
            raise WavError(f"{path}: not a WAV file (it is empty)")
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64"):
            raise WavError(f"{path}: not a WAV file ({_begins_as(head)})")
        promised, byte_rate = _promised(file, "big" if head[:4] == b"RIFX" else "little")
        begin = file.tell()
    there = path.stat().st_size - begin
    if byte_rate and promised - there >= _MISSING_S * byte_rate:
        raise WavError(
            f"{path}: it is cut off: {there / byte_rate:.2f} s of {promised / byte_rate:.2f} s are there"
        )


def _begins_as(head: bytes) -> str:
    """Say what the beginning of a file is, if it is none of a WAV file's."""
    for begin, name in _OTHER_FORMATS.items():
        if head.startswith(begin):
            return f"it is {name}"
    if head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        return "it is MP3 or AAC"
    return "it does not begin as one"


def _promised(file: BinaryIO, order: Literal["little", "big"]) -> tuple[int, int]:
    """Read up to the sound.

    Returns:
        The bytes of sound that the header promises, and the bytes of a second. 0: unknown.
    """
    long_size = byte_rate = 0
    for _ in range(_MANY_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        size = int.from_bytes(head[4:], order)
        if head[:4] == b"data":
            size = long_size if size == 0xFFFFFFFF else size
            return (size if size < _UNKNOWN_SIZE or 0xFFFFFFFF < size < 1 << 63 else 0), byte_rate
        begin = file.tell()
        body = file.read(min(size, 16))
        if head[:4] == b"ds64":
            long_size = int.from_bytes(body[8:16], order)
        elif head[:4] == b"fmt ":
            byte_rate = int.from_bytes(body[8:12], order)
        file.seek(begin + size + size % 2)
    return 0, 0


def _why(error: Exception) -> str:
    """Return libsndfile's own sentence, without its prefix and its full stop."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
