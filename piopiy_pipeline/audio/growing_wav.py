"""A WAV file that grows and that is complete after every write: a crash costs at most the audio since then.

The gateway's recordings, captures of calls and ``piopiy call --out`` are written with it. `audio.wav` reads
complete files. Its methods block, so they belong into a thread. It needs no numpy: to interleave channels is
to assign slices of an array.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Iterable
from pathlib import Path

__all__ = ["GrowingWav", "Piece"]

Piece = tuple[int, bytes]
"""The position of the first sample, counted from the beginning of the file, and PCM16 little-endian mono."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # RIFF with one "fmt " and one "data" chunk (Microsoft, 1991)


class GrowingWav:
    """A WAV file of 16-bit samples. The first write creates it.

    What could not be written because the disk failed reads as silence once a later write succeeds.
    """

    def __init__(
        self, path: Path, rate: int, *, channels: int = 2, replace: bool = False, mode: int = 0o600
    ) -> None:
        """Args:
        path: The file. Its folder must exist when it is written.
        rate: Samples a second of each channel, in Hz.
        channels: 1 for mono, 2 for stereo (left, right).
        replace: Overwrite a file that exists; without it, the first write raises `FileExistsError`.
        mode: The permissions of a new file, less the process's umask.
        """
        self.path = path
        self.rate = rate
        self.channels = channels
        self.frames = 0
        """The length so far, in samples of each channel."""
        self._frame_bytes = 2 * channels
        self._how_to_create = os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL)
        self._mode = mode
        self._created = False
        self._file: int | None = None

    def write(self, upto: int, *channels: Iterable[Piece]) -> None:
        """Extend the file to `upto` samples a channel, with these pieces in the new part and silence around them.

        Args:
            upto: The new length. What is shorter than the present length changes nothing.
            channels: The pieces of each channel, in the order of the channels. All begin before `upto`.
                What lies before the present end is left out. A later piece replaces an earlier one.

        Raises:
            OSError: The disk failed, or the file would be larger than a WAV file can be (4 GiB).
            FileNotFoundError: The file was deleted or moved since the last write. What was in it, and these
                pieces, are lost. The next write creates it again.
        """
        if upto > (0xFFFFFFFF - _HEADER.size) // self._frame_bytes:
            raise OSError(errno.EFBIG, "a WAV file holds 4 GiB at most")
        pieces = [list(channel) for channel in channels]
        file = self._open()
        self._require_place(file)
        base = min((start for channel in pieces for start, _ in channel), default=upto)
        base = max(self.frames, base)  # what is left out before it reads as silence
        if base < upto:
            frames = array("h", bytes((upto - base) * self._frame_bytes))
            for number, channel in enumerate(pieces):
                frames[number :: self.channels] = _mixed(channel, base, upto)
            _write_all(file, frames.tobytes(), _HEADER.size + base * self._frame_bytes)
        elif upto > self.frames:
            os.ftruncate(file, _HEADER.size + upto * self._frame_bytes)
        length = max(upto, self.frames)
        _write_all(file, self._header(length), 0)
        self.frames = length

    def close(self) -> None:
        """Close the file. A later write opens it again. Raises `OSError`."""
        file, self._file = self._file, None
        if file is not None:
            try:
                os.ftruncate(file, _HEADER.size + self.frames * self._frame_bytes)
            finally:
                os.close(file)

    def _open(self) -> int:
        if self._file is None:
            how = 0 if self._created else self._how_to_create
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | how, self._mode)
            self._created = True
        return self._file

    def _require_place(self, file: int) -> None:
        """Notice that the file was deleted: a process goes on writing to one without an error, and in vain."""
        try:
            if os.path.samestat(self.path.stat(), os.fstat(file)):
                return
        except FileNotFoundError:
            pass
        os.close(file)
        self._file, self._created = None, False
        raise FileNotFoundError(errno.ENOENT, "it was deleted or moved while it was written")

    def _header(self, frames: int) -> bytes:
        size = frames * self._frame_bytes
        riff = (b"RIFF", _HEADER.size - 8 + size, b"WAVE")
        rates = (self.rate, self.rate * self._frame_bytes)
        form = (b"fmt ", 16, 1, self.channels, *rates, self._frame_bytes, 16)
        return _HEADER.pack(*riff, *form, b"data", size)


def _mixed(pieces: Iterable[Piece], base: int, upto: int) -> array[int]:
    """Return one channel from `base` to `upto`, silent where there is no piece."""
    channel = bytearray(2 * (upto - base))
    for start, pcm in pieces:
        if start < base:
            pcm, start = pcm[2 * (base - start) :], base
        offset = 2 * (start - base)
        pcm = pcm[: len(channel) - offset]
        channel[offset : offset + len(pcm)] = pcm
    return array("h", bytes(channel))


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
