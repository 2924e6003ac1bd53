"""The zip file or the folder that holds the parts of a captured call, read within limits.

A capture may come from anybody: it is attached to an issue, or sent by a customer. A small zip file can
unpack to a thousand times its size. So nothing is read before its size is known, and a part that is larger
than any real call makes it is refused with a `CaptureError` that says which limit it exceeds.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from piopiy_pipeline.capture.format import CaptureError

__all__ = ["MAX_AUDIO_BYTES", "MAX_LINES", "MAX_META_BYTES", "MAX_TEXT_BYTES", "Container", "check_json"]

MAX_META_BYTES = 1 << 20
"""`meta.json` is some kilobytes, and the conversation of a call that was resumed."""
MAX_TEXT_BYTES = 64 << 20
"""The largest `events.jsonl` or `exchanges.jsonl`. Each of perhaps a hundred requests repeats the conversation."""
MAX_AUDIO_BYTES = 512 << 20
"""The largest WAV file in bytes: 4.6 hours at 16 kHz."""
MAX_LINES = 250_000
"""A call of 4 hours with 15 events a second. Each line becomes an object of about a kilobyte."""
MAX_VALUES = 4_000_000
"""Values in the JSON of one part. A value takes up to a hundred times the space of its text."""
MAX_ENTRIES = 100
MAX_DIRECTORY_BYTES = 64 << 10
"""The largest directory of a zip in bytes. It is read as a whole."""
MAX_RATIO = 100
"""How much smaller a large part may be in the zip. Speech compresses by less than 2, digital silence by 1000."""
SMALL_BYTES = 16 << 20
"""Up to this size in bytes, the ratio of compression does not matter."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack without a bound on their memory
_END = struct.Struct("<4s4H2IH")  # end of central directory record (PKWARE's APPNOTE.TXT, 4.3.16)
_END64 = b"PK\x06\x07"  # zip64 end of central directory locator, which stands before it
_LOCATOR_BYTES = 20


class Container:
    """The parts of a captured call by their names.

    Args:
        path: A zip file, or a folder.

    Raises:
        CaptureError: There is neither, or the zip file is none that a capture makes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_folder = path.is_dir()
        if self._is_folder:
            return
        if not path.exists():
            raise CaptureError(path, "no such file")
        if not path.is_file():
            raise CaptureError(path, "not a recorded call (it is not a file)")
        try:
            self._check_directory()
        except OSError as error:
            raise CaptureError(path, f"cannot be read: {error.strerror or error}") from None

    def read(self, name: str, limit: int) -> bytes:
        """Return a part.

        Args:
            name: Its file name.
            limit: How many bytes it may have.

        Raises:
            CaptureError: It is missing, broken or too large.
        """
        try:
            data = self._read_file(name, limit) if self._is_folder else self._unpack(name, limit)
        except (KeyError, FileNotFoundError):
            raise CaptureError(self._path, f"not a recorded call: {name} is missing in it") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
            if isinstance(error, CaptureError):
                raise
            raise CaptureError(self._path, f"{name} cannot be read: {error}") from None
        if len(data) > limit:
            raise self._too_large(name, limit)
        return data

    def _read_file(self, name: str, limit: int) -> bytes:
        descriptor = os.open(
            self._path / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a pipe never ends
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CaptureError(self._path, f"{name} cannot be read: it is not a file")
            if status.st_size > limit:
                raise self._too_large(name, limit)
            return file.read(limit + 1)

    def _unpack(self, name: str, limit: int) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            entry = archive.getinfo(name)
            if entry.compress_type not in _METHODS:
                raise CaptureError(self._path, f"{name} cannot be read: it is neither stored nor deflated")
            if entry.file_size > limit:
                raise self._too_large(name, limit)
            if entry.file_size > max(SMALL_BYTES, MAX_RATIO * entry.compress_size):
                raise CaptureError(
                    self._path,
                    f"{name} would unpack to {entry.file_size >> 20} MB, "
                    f"more than {MAX_RATIO} times its size in the file: no call is like that",
                )
            with archive.open(entry) as file:
                return file.read(limit + 1)  # the entry may lie about its size

    def _check_directory(self) -> None:
        """Refuse a zip file with a directory of many entries before `zipfile` reads all of it."""
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _END.size - 0xFFFF - _LOCATOR_BYTES)  # a comment may follow the record
            file.seek(start)
            tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END.size:
            raise CaptureError(self._path, "not a recorded call (it is no zip file)")
        *_, entries, directory, _, _ = _END.unpack_from(tail, at)
        if _END64 in tail[max(0, at - _LOCATOR_BYTES) : at]:
            raise CaptureError(self._path, "not a recorded call (its zip file is of the kind for huge files)")
        if entries > MAX_ENTRIES or directory > MAX_DIRECTORY_BYTES:
            raise CaptureError(self._path, f"not a recorded call (it holds more than {MAX_ENTRIES} files)")

    def _too_large(self, name: str, limit: int) -> CaptureError:
        return CaptureError(self._path, f"{name} is larger than {limit >> 20} MB: no call is that long")


def check_json(text: bytes) -> str:
    """Say what is too much in JSON, before it becomes objects that are far larger than their text.

    How deeply it is nested is limited where it is read: pydantic takes about 200 levels.

    Args:
        text: One JSON value, or several, one on each line.

    Returns:
        Which limit is exceeded; an empty string if none is.
    """
    if text.count(b"\n") > MAX_LINES:
        return f"it has more than {MAX_LINES} lines"
    if sum(text.count(mark) for mark in (b",", b"{", b"[")) > MAX_VALUES:
        return f"it has more than {MAX_VALUES} values"
    return ""
