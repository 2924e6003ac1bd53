"""`CapturedCall`: reads a captured call, from its zip or from the folder that a lost agent has left.

A capture may come from anybody. What it may cost to read is limited here and in `container`.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from piopiy_pipeline.capture.container import (
    MAX_AUDIO_BYTES,
    MAX_META_BYTES,
    MAX_TEXT_BYTES,
    Container,
    check_json,
)
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
from piopiy_pipeline.fault_text import fault_text

__all__ = ["CapturedCall"]

L = TypeVar("L", bound=BaseModel)

GAP_S = 0.04
"""Arrivals that are further apart than their samples by more than this have a silence between them."""
_HEADER_BYTES = 44
"""The length of the header of WAV files that `GrowingWav` writes."""
MAX_SAMPLES = MAX_AUDIO_BYTES // 2
"""The length of the caller's audio, with the silence between the arrivals."""


class CapturedCall:
    """A captured call. Parts are read when they are asked for.

    Args:
        path: The zip file, or the folder that a lost agent has left.

    Raises:
        CaptureError: It is not a captured call, or it is of a later version. The properties raise it, too,
            for
            a part that is missing, broken or too large.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._container = Container(self.path)
        self.meta = self._meta()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read the capture at `path`. Raises `CaptureError`."""
        return cls(path)

    @cached_property
    def events(self) -> list[EventLine]:
        """The events of the call, in the order of their times."""
        return sorted(self._written, key=lambda line: line.at)

    @cached_property
    def _written(self) -> list[EventLine]:
        return list(self._lines(EVENTS, EventLine))

    @cached_property
    def exchanges(self) -> list[ExchangeLine]:
        """The requests to network providers and their answers, in order."""
        lines = self._lines(EXCHANGES, ExchangeLine)
        return [line.model_copy(update={"number": number}) for number, line in enumerate(lines, 1)]

    @cached_property
    def caller(self) -> NDArray[np.int16]:
        """The caller's audio, int16 of shape ``[samples]`` at `meta.caller_rate` Hz.

        It is placed in the time of the call: the first sample is at the moment of the answer.
        """
        try:
            return _placed(self._samples(CALLER, self.meta.caller_rate), self.arrivals, self.meta.caller_rate)
        except _Misplaced as error:
            raise CaptureError(self.path, f"{EVENTS}: {error}") from None

    @cached_property
    def arrivals(self) -> list[tuple[float, int]]:
        """When the caller's samples arrived: pairs of a time in seconds and the sample that was due then.

        In the order of the samples. A long message that follows a delayed one may have begun before it was due.
        """
        return [(line.at, self._position(line)) for line in self._written if line.kind == "caller_audio"]

    @cached_property
    def bot(self) -> NDArray[np.int16]:
        """The audio played to the caller, int16 of shape ``[samples]`` at `meta.bot_rate` Hz, from the answer on."""
        return self._samples(BOT, self.meta.bot_rate)

    def speech(self, rate: int) -> NDArray[np.int16]:
        """Return all audio that network TTS providers sent at `rate` Hz, int16 of shape ``[samples]``.

        `exchanges` says which part of it answered which request.
        """
        return self._samples(speech_file(rate), rate)

    # ------------------------------------------------------------------ the parts

    def _meta(self) -> Meta:
        text = self._container.read(META, MAX_META_BYTES)
        if problem := check_json(text):
            raise CaptureError(self.path, f"{META}: {problem}")
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
        text = self._container.read(name, MAX_TEXT_BYTES)
        if problem := check_json(text):
            raise CaptureError(self.path, f"{name}: {problem}")
        lines = text.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                yield model.model_validate_json(line)
            except ValidationError as error:
                if number == len(lines) and not self.meta.complete:
                    return  # the agent was lost in the middle of it
                raise CaptureError(self.path, f"{name}, line {number}: {_first(error)}") from None

    def _position(self, line: EventLine) -> int:
        position = line.data.get("position")
        if not isinstance(position, int) or not 0 <= position <= MAX_SAMPLES:
            raise CaptureError(self.path, f"{EVENTS}: caller_audio at {line.at:g} s has no position")
        return position

    def _samples(self, name: str, rate: int) -> NDArray[np.int16]:
        data = self._container.read(name, MAX_AUDIO_BYTES + _HEADER_BYTES)
        try:
            with wave.open(io.BytesIO(data)) as sound:
                if sound.getnchannels() != 1 or sound.getsampwidth() != 2:
                    raise CaptureError(self.path, f"{name}: it must be mono, 16 bits a sample")
                if sound.getframerate() != rate:
                    raise CaptureError(
                        self.path, f"{name}: its rate is {sound.getframerate()} Hz, and not {rate}"
                    )
                if self.meta.complete:
                    data = sound.readframes(sound.getnframes())
                    if (there := len(data) // 2) < sound.getnframes():
                        cut = f"it is cut off: {there} of {sound.getnframes()} samples are there"
                        raise CaptureError(self.path, f"{name}: {cut}")
                    return np.frombuffer(data, "<i2", there).astype(np.int16, copy=False)
        except (wave.Error, EOFError) as error:
            raise CaptureError(
                self.path, f"{name}: not a WAV file ({str(error) or 'it ends in its header'})"
            ) from None
        # The header of a capture that was not completed may say less than is there.
        count = (len(data) - _HEADER_BYTES) // 2
        return np.frombuffer(data, "<i2", count, _HEADER_BYTES).astype(np.int16, copy=False)


class _Head(BaseModel):
    """The keys that every version has."""

    format: str
    version: int


class _Misplaced(ValueError):
    """The events place the caller's audio where it cannot have been."""


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
    for offset, (at, start), end in zip(offsets, arrivals, ends, strict=True):
        if start > end < samples.size:
            raise _Misplaced(f"caller_audio at {at:g} s has a position after that of the next")
        due = round((offset + start / rate) * rate)
        if due > MAX_SAMPLES:
            raise _Misplaced(f"caller_audio at {at:g} s is later than any call lasts")
        if due - length > GAP_S * rate:
            pieces.append(np.zeros(due - length, np.int16))
            length = due
        pieces.append(samples[start:end])
        length += pieces[-1].size
    return np.concatenate(pieces)


def _first(error: ValidationError) -> str:
    """Say the first thing that is wrong in a sentence."""
    return fault_text(error.errors()[0])
