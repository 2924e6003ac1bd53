"""A stereo WAV file that grows, and is whole after every write, so that a crash costs its last second alone.

Blocking, for a thread. Knows neither calls nor clocks; `audio.wav` reads and writes what is complete.
It does without numpy: interleaving two sides is two slices of an array.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Iterable
from pathlib import Path

from piopiy_pipeline.gateway.recordings.tracks import Piece

__all__ = ["GrowingWav"]

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FRAME_BYTES = 4
_MAX_FRAMES = (0xFFFFFFFF - _HEADER.size) // _FRAME_BYTES


class GrowingWav:
    """A file at `path`, 16 bits at `rate` Hz, made with the first write and readable by this user alone.

    Every method raises `OSError`. What could not be written is silence once something later can be.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.path = path
        self.rate = rate
        self.frames = 0
        """The length so far, in samples of each side."""
        self._made = False
        self._file: int | None = None

    def write(self, upto: int, left: Iterable[Piece], right: Iterable[Piece]) -> None:
        """Make the file `upto` frames long, with these pieces in it and silence around them."""
        if upto > _MAX_FRAMES:
            raise OSError(errno.EFBIG, "a WAV file holds 4 GiB at most")
        left, right = list(left), list(right)
        file = self._open()
        base = min((start for start, _ in (*left, *right)), default=upto)
        base = max(self.frames, base)  # what is left out before it reads as silence
        if base < upto:
            frames = array("h", bytes((upto - base) * _FRAME_BYTES))
            frames[0::2] = _side(left, base, upto)
            frames[1::2] = _side(right, base, upto)
            _write_all(file, frames.tobytes(), _HEADER.size + base * _FRAME_BYTES)
        elif upto > self.frames:
            os.ftruncate(file, _HEADER.size + upto * _FRAME_BYTES)
        frames_now = max(upto, self.frames)
        _write_all(file, self._header(frames_now), 0)
        self.frames = frames_now

    def close(self) -> None:
        """Close it for now: a later write opens it again. May be called again."""
        file, self._file = self._file, None
        if file is not None:
            os.ftruncate(file, _HEADER.size + self.frames * _FRAME_BYTES)
            os.close(file)

    def _open(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = 0 if self._made else os.O_CREAT | os.O_EXCL
            self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | new, 0o600)
            self._made = True
        return self._file

    def _header(self, frames: int) -> bytes:
        size = frames * _FRAME_BYTES
        riff = (b"RIFF", _HEADER.size - 8 + size, b"WAVE")
        form = (b"fmt ", 16, 1, 2, self.rate, self.rate * _FRAME_BYTES, _FRAME_BYTES, 16)
        return _HEADER.pack(*riff, *form, b"data", size)


def _side(pieces: Iterable[Piece], base: int, upto: int) -> array[int]:
    """One side from `base` to `upto`, silent where there is no piece."""
    side = bytearray(2 * (upto - base))
    for start, pcm in pieces:
        if start < base:
            pcm, start = pcm[2 * (base - start) :], base
        offset = 2 * (start - base)
        pcm = pcm[: len(side) - offset]
        side[offset : offset + len(pcm)] = pcm
    return array("h", bytes(side))


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
