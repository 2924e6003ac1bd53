"""WAV files: a turn to speak, read whole; a call's two sides, written as the call goes.

Stands with the audio floor because the command line, the harness and the recorded transport all
take recordings, and none of them wants to know about channels, rates or sample formats.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

__all__ = ["MAX_SECONDS", "Side", "StereoWavWriter", "WavError", "read_wav"]

MAX_SECONDS = 600.0
"""The longest recording that `read_wav` takes: a turn is read whole, so its size must have a limit."""

Side = Literal["left", "right"]
_CHANNEL: dict[Side, int] = {"left": 0, "right": 1}


class WavError(ValueError):
    """A recording that cannot be read or written; the message names the file."""


def read_wav(path: str | Path, rate: int) -> NDArray[np.int16]:
    """The recording at `path` as mono PCM of shape ``[samples]`` at `rate` Hz.

    Channels are averaged, other rates are resampled (soxr, high quality). Raises `WavError` for a
    file that is missing, no WAV, empty, or longer than `MAX_SECONDS`.
    """
    path = Path(path)
    if not path.exists():
        raise WavError(f"{path}: no such file")
    if not path.is_file():
        raise WavError(f"{path}: not a WAV file (it is not a file)")
    try:
        with soundfile.SoundFile(path) as file:
            if file.format not in ("WAV", "WAVEX", "RF64"):
                raise WavError(f"{path}: not a WAV file (it is {file.format_info})")
            if file.frames == 0:
                raise WavError(f"{path}: the WAV file holds no audio")
            if file.frames > MAX_SECONDS * file.samplerate:
                raise WavError(f"{path}: longer than {MAX_SECONDS:.0f} s; cut it into turns")
            samples = file.read(dtype="float32", always_2d=True)
            source_rate = int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise WavError(f"{path}: not a WAV file ({_why(error)})") from None
    except OSError as error:
        raise WavError(f"{path}: cannot be read ({error.strerror or error})") from None
    mono = samples.mean(axis=1, dtype=np.float32)
    if source_rate != rate:
        mono = soxr.resample(mono, source_rate, rate, quality="HQ")
    pcm: NDArray[np.int16] = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype(np.int16)
    return pcm


class StereoWavWriter:
    """A stereo WAV that is written while the call lasts, so that a long call costs no memory.

    The two sides come at their own pace and are placed by sample position (0 is the beginning of
    the file). What lies before the position given to `advance` is final and goes to disk; audio
    that comes for it afterwards is lost. A gap is silence, and later audio replaces earlier audio
    at the same place. At most `window_s` seconds wait in memory: audio beyond that advances by itself.
    """

    def __init__(self, path: str | Path, rate: int, *, window_s: float = 10.0) -> None:
        """Create the file at once, so that a bad path is an error before the call. Raises `WavError`."""
        self.path = Path(path)
        self.rate = rate
        self._window = np.zeros((int(window_s * rate), 2), np.int16)
        self._base = 0  # the position of the window's first sample
        self._end = 0  # one past the last sample that anyone wrote
        try:
            self._file: soundfile.SoundFile | None = soundfile.SoundFile(
                self.path, "w", samplerate=rate, channels=2, subtype="PCM_16", format="WAV"
            )
        except (soundfile.LibsndfileError, OSError) as error:
            raise WavError(f"{self.path}: cannot be written ({_why(error)})") from None

    def write(self, side: Side, position: int, pcm: NDArray[np.int16]) -> None:
        """Place mono `pcm` on one side, its first sample at `position`."""
        if position < self._base:
            pcm = pcm[self._base - position :]
            position = self._base
        channel = _CHANNEL[side]
        while pcm.size:
            if position >= self._base + len(self._window):
                self.advance(position - len(self._window) // 2)
            offset = position - self._base
            part = pcm[: len(self._window) - offset]
            self._window[offset : offset + part.size, channel] = part
            position += part.size
            self._end = max(self._end, position)
            pcm = pcm[part.size :]

    def advance(self, position: int) -> None:
        """Everything before `position` is final: put it on disk. Going back is no error, and does nothing."""
        while position > self._base and self._file is not None:
            step = min(position - self._base, len(self._window))
            try:
                self._file.write(self._window[:step])
            except (soundfile.LibsndfileError, OSError) as error:
                raise WavError(f"{self.path}: cannot be written ({_why(error)})") from None
            self._window[: len(self._window) - step] = self._window[step:].copy()
            self._window[len(self._window) - step :] = 0
            self._base += step

    def close(self) -> None:
        """Write what waits and close the file. May be called again."""
        if self._file is None:
            return
        try:
            self.advance(self._end)
        finally:
            file, self._file = self._file, None
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _why(error: Exception) -> str:
    """libsndfile's own sentence, without its prefix and its full stop."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
