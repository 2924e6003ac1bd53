"""Writes a capture to the disk while the call goes on, and makes one file of it at the end.

Everything here blocks and runs in a worker thread, one batch of a call after the other. During the call the
parts grow in a folder beside the final file. At the end they go into a zip, which gets the final name only
when it is complete. An agent that dies leaves the folder, which `CapturedCall` reads as it reads a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from piopiy_pipeline.audio.growing_wav import GrowingWav
from piopiy_pipeline.capture.format import BOT, CALLER, EVENTS, EXCHANGES, META, Meta
from piopiy_pipeline.capture.redaction import Redaction, Side, redacted
from piopiy_pipeline.capture.secrets import Scrubber
from piopiy_pipeline.private_files import make_private_folder
from piopiy_pipeline.text import well_formed

__all__ = ["CaptureBatch", "CaptureWriter", "file_for"]

_SIDES: dict[str, Side] = {CALLER: "caller", BOT: "bot"}
_PART = ".part"


@dataclass(slots=True)
class CaptureBatch:
    """Everything that was noted since the last batch."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Pairs: the name of a file, and a line for it."""
    audio: list[tuple[str, int, int, bytes]] = field(default_factory=list)
    """Name of the file, rate in Hz, position of the first sample (-1: at the end), PCM16 mono."""
    size: int = 0
    """Its size in bytes, roughly."""


class CaptureWriter:
    """Writes the file of one call. Every method blocks, and raises `OSError` when the disk fails.

    Args:
        path: The file that will be there at the end.
        redaction: Changes texts and audio before they are written.
        scrubber: Takes out secrets before they are written.
    """

    def __init__(self, path: Path, *, redaction: Redaction | None = None, scrubber: Scrubber) -> None:
        self.path = path
        self.folder = path.with_name(path.name + _PART)
        self._redaction = redaction
        self._scrubber = scrubber
        self._files: dict[str, IO[bytes]] = {}
        self._sounds: dict[str, GrowingWav] = {}

    def begin(self, meta: Meta) -> None:
        """Make the folder. Only its user may read it, because it holds what people say on the telephone.

        So may they alone read a folder of captures that is made here. One that exists may be anybody's, and
        stays as it is: the files in it are private all the same.
        """
        make_private_folder(self.path.parent)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(mode=0o700)
        self._write_meta(meta)
        for name in (EVENTS, EXCHANGES):
            self._file(name)
        for name, rate in ((CALLER, meta.caller_rate), (BOT, meta.bot_rate)):
            self._sound(name, rate).write(0)

    def write(self, batch: CaptureBatch) -> None:
        """Append a batch to the parts. Raises what a redaction raises, and `ValueError` if it changes the length."""
        for name, line in batch.lines:
            self._file(name).write(self._line(line))
        for name, rate, position, pcm in batch.audio:
            self._append(name, rate, position, pcm)
        for file in self._files.values():
            file.flush()

    def finish(self, meta: Meta) -> Path:
        """Make one file of all parts, remove the folder, and return the path of the file."""
        self._write_meta(meta)
        for file in self._open_files():
            file.close()
        names = [META, *self._files, *self._sounds]
        whole = self.folder.with_name(self.folder.name + ".zip")
        descriptor = os.open(whole, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as out, zipfile.ZipFile(out, "w") as archive:
            for name in names:
                kind = zipfile.ZIP_STORED if name in self._sounds else zipfile.ZIP_DEFLATED
                archive.write(self.folder / name, name, compress_type=kind)
        whole.replace(self.path)
        shutil.rmtree(self.folder)
        return self.path

    def abandon(self) -> None:
        """Close the open files and leave the folder on the disk."""
        for file in self._open_files():
            try:
                file.close()
            except OSError:  # it is a full disk that this is called for: what can be lost is lost already
                continue

    # ------------------------------------------------------------------ the parts

    def _line(self, line: dict[str, Any]) -> bytes:
        if self._redaction is not None:
            line = {**line, "data": redacted(line["data"], self._redaction)}
        line = {**line, "data": self._scrubber.value(line["data"])}
        return well_formed(json.dumps(line, ensure_ascii=False, separators=(",", ":"))).encode() + b"\n"

    def _write_meta(self, meta: Meta) -> None:
        values = meta.model_dump(mode="json")
        for name in ("call", "resumed", "problem"):
            if self._redaction is not None and name != "problem":
                values[name] = _redacted_call(values[name], self._redaction)
            values[name] = self._scrubber.value(values[name])
        text = json.dumps(values, ensure_ascii=False, indent=2)
        (self.folder / META).write_text(well_formed(text) + "\n", encoding="utf-8")

    def _file(self, name: str) -> IO[bytes]:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = (self.folder / name).open("wb")
        return file

    def _open_files(self) -> list[IO[bytes] | GrowingWav]:
        return [*self._files.values(), *self._sounds.values()]

    def _sound(self, name: str, rate: int) -> GrowingWav:
        sound = self._sounds.get(name)
        if sound is None:
            sound = self._sounds[name] = GrowingWav(self.folder / name, rate, channels=1)
        return sound

    def _append(self, name: str, rate: int, position: int, pcm: bytes) -> None:
        """Put samples at a position; what is between is silence, and what was written stays."""
        sound = self._sound(name, rate)
        if position < 0:
            position = sound.frames
        if position < sound.frames:
            pcm = pcm[2 * (sound.frames - position) :]
            position = sound.frames
        side = _SIDES.get(name)
        if self._redaction is not None and pcm:
            samples = np.frombuffer(pcm, np.int16)
            changed = self._redaction.audio(side or "bot", samples, rate, position / rate)
            if changed.shape != samples.shape:
                raise ValueError(
                    f"{type(self._redaction).__name__}.audio() was given {samples.size} samples and returned "
                    f"{changed.shape}: it must return as many"
                )
            pcm = changed.astype("<i2").tobytes()
        sound.write(position + len(pcm) // 2, [(position, pcm)] if pcm else [])


def file_for(path: Path, call_id: str, started: str) -> Path:
    """Return the path of a call's file.

    Args:
        path: A file, if its name ends in ``.zip``; else a folder, in which the file is named by time and
            call.
        call_id: The id of the call.
        started: When the call began, ISO 8601.
    """
    if path.suffix == ".zip":
        return path
    stamp = re.sub(r"[^0-9T]", "", started.split(".")[0].split("+")[0])
    return path / f"{stamp}-{re.sub(r'[^A-Za-z0-9_-]', '_', call_id)[:64]}.zip"


def _redacted_call(value: Any, redaction: Redaction) -> Any:
    """Redact the info of a call, but keep what identifies the call and the agent, which is not about a
    person.
    """
    if not isinstance(value, dict):
        return redacted(value, redaction)
    kept: Iterable[str] = ("agent_id", "call_id", "kind")
    return {key: item if key in kept else redacted(item, redaction) for key, item in value.items()}
