"""`CapturedCall`: reads a captured call, from its zip or from the folder that a lost agent has left."""

from __future__ import annotations

import io
import wave
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from piopiy_pipeline.capture.format import (
    BOT,
    CALLER,
    EVENTS,
    EXCHANGES,
    FORMAT,
    META,
    VERSION,
    CaptureError,
    EventLine,
    ExchangeLine,
    Meta,
    speech_file,
)

__all__ = ["CapturedCall"]

L = TypeVar("L", bound=BaseModel)

GAP_S = 0.04
"""Arrivals that are further apart than their samples by more than this have a silence between them."""
LONGEST_S = 24 * 3600


class CapturedCall:
    """A captured call. What is not needed is not read.

    Args:
        path: The zip file, or the folder that a lost agent has left.

    Raises:
        CaptureError: It is not a captured call, or it is of a later version. The properties raise it, too, for
            a part that is missing or broken.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._parts = _parts(self.path)
        self.meta = self._meta()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read the capture at `path`. Raises `CaptureError`."""
        return cls(path)

    @cached_property
    def events(self) -> list[EventLine]:
        """The events of the call, in the order of their times."""
        return sorted(self._lines(EVENTS, EventLine), key=lambda line: line.at)

    @cached_property
    def exchanges(self) -> list[ExchangeLine]:
        """What network providers were asked and answered, in order."""
        return list(self._lines(EXCHANGES, ExchangeLine))

    @cached_property
    def caller(self) -> NDArray[np.int16]:
        """The caller's audio, int16 of shape ``[samples]`` at `meta.caller_rate` Hz.

        It is placed in the time of the call: the first sample is at the moment of the answer.
        """
        return _placed(self._samples(CALLER), self.arrivals, self.meta.caller_rate)

    @cached_property
    def arrivals(self) -> list[tuple[float, int]]:
        """When the caller's samples arrived: pairs of a time in seconds and the sample that was due then."""
        return [(line.at, int(line.data["position"])) for line in self.events if line.kind == "caller_audio"]

    @cached_property
    def bot(self) -> NDArray[np.int16]:
        """The audio played to the caller, int16 of shape ``[samples]`` at `meta.bot_rate` Hz, from the answer on."""
        return self._samples(BOT)

    def speech(self, rate: int) -> NDArray[np.int16]:
        """All audio that network TTS providers sent at `rate` Hz, int16 of shape ``[samples]``.

        `exchanges` says which part of it answered which request.
        """
        return self._samples(speech_file(rate))

    # ------------------------------------------------------------------ the parts

    def _meta(self) -> Meta:
        text = self._read(META)
        try:
            found = _Head.model_validate_json(text)
            if found.format != FORMAT:
                raise CaptureError(self.path, f"not a recorded call: its format is {found.format!r}")
            if found.version > VERSION:
                raise CaptureError(
                    self.path,
                    f"it is of version {found.version}, and this piopiy-pipeline reads up to {VERSION}: upgrade it",
                )
            return Meta.model_validate_json(text)
        except ValidationError as error:
            raise CaptureError(self.path, f"{META}: {_first(error)}") from None

    def _lines(self, name: str, model: type[L]) -> Iterator[L]:
        lines = self._read(name).split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                yield model.model_validate_json(line)
            except ValidationError as error:
                if number == len(lines) and not self.meta.complete:
                    return  # the agent was lost in the middle of it
                raise CaptureError(self.path, f"{name}, line {number}: {_first(error)}") from None

    def _samples(self, name: str) -> NDArray[np.int16]:
        data = self._read(name)
        try:
            with wave.open(io.BytesIO(data)) as sound:
                if sound.getnchannels() != 1 or sound.getsampwidth() != 2:
                    raise CaptureError(self.path, f"{name}: it must be mono, 16 bits a sample")
                if self.meta.complete:
                    return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.int16)
        except (wave.Error, EOFError) as error:
            raise CaptureError(self.path, f"{name}: not a WAV file ({error})") from None
        return np.frombuffer(data[44 : 44 + (len(data) - 44) // 2 * 2], "<i2").astype(np.int16)

    def _read(self, name: str) -> bytes:
        try:
            if isinstance(self._parts, Path):
                return (self._parts / name).read_bytes()
            with zipfile.ZipFile(self._parts) as archive:
                return archive.read(name)
        except (KeyError, FileNotFoundError):
            raise CaptureError(self.path, f"not a recorded call: {name} is missing in it") from None
        except (zipfile.BadZipFile, OSError) as error:
            raise CaptureError(self.path, f"{name} cannot be read: {error}") from None


class _Head(BaseModel):
    """The keys that every version has."""

    format: str
    version: int


def _parts(path: Path) -> Path | str:
    """Return the folder, or the name of the zip."""
    if path.is_dir():
        return path
    if not path.exists():
        raise CaptureError(path, "no such file")
    if not zipfile.is_zipfile(path):
        raise CaptureError(path, "not a recorded call (it is no zip file)")
    return str(path)


def _placed(samples: NDArray[np.int16], arrivals: list[tuple[float, int]], rate: int) -> NDArray[np.int16]:
    """Place the samples in the time of the call.

    A network or a busy machine can only delay an arrival. So a run is placed by the earliest run that follows
    it; a run that arrived later than that was delayed, and no gap is put before it.
    """
    if not arrivals or not samples.size:
        return samples
    offsets = [at - position / rate for at, position in arrivals]
    for i in range(len(offsets) - 2, -1, -1):
        offsets[i] = min(offsets[i], offsets[i + 1])
    pieces: list[NDArray[np.int16]] = []
    length = 0
    ends = [position for _, position in arrivals[1:]] + [samples.size]
    for offset, (_, start), end in zip(offsets, arrivals, ends, strict=True):
        due = round((offset + start / rate) * rate)
        if due - length > GAP_S * rate and due < LONGEST_S * rate:
            pieces.append(np.zeros(due - length, np.int16))
            length = due
        pieces.append(samples[start:end])
        length += pieces[-1].size
    return np.concatenate(pieces)


def _first(error: ValidationError) -> str:
    """Say the first thing that is wrong in a sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
