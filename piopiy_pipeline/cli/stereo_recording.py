"""Saves both sides of a call of `piopiy call` as a stereo WAV, a second at a time and off the event loop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from piopiy_pipeline.audio.growing_wav import GrowingWav, Piece
from piopiy_pipeline.audio.wav import WavError
from piopiy_pipeline.cli.call_report import PlacedSound
from piopiy_pipeline.offload import Lane

__all__ = ["StereoRecording"]

_MODE = 0o666  # of a new file, less the umask
_SAVE_BEHIND_S = 2.0  # audio may still come for this long after its place in the recording has passed


class StereoRecording:
    """Saves both sides of a call as a stereo WAV. It writes off the event loop, a second at a time."""

    def __init__(self, path: Path, rate: int) -> None:
        """Open the file at once, so that a bad path is an error before the call.

        Args:
            path: The file. An older one is replaced when the first audio is saved; without any, it stays.
            rate: The sample rate of both sides in Hz.

        Raises:
            WavError: The file cannot be written.
        """
        self._file = GrowingWav(path, rate, replace=True, mode=_MODE)
        self._has_audio = False
        self._waiting: dict[str, list[Piece]] = {"left": [], "right": []}
        self._behind = round(_SAVE_BEHIND_S * rate)
        try:
            self._is_new = not path.exists()
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        except OSError as error:
            raise self._not_written(error) from None
        self._lane = Lane("recording", threads=1, limit=100)

    def save(self, sounds: list[PlacedSound], position: int) -> asyncio.Future[None]:
        """Queue audio to be written.

        Args:
            sounds: What was said and heard since the last time. Until there is some, nothing is written.
            position: How far the call has come, in samples.
        """
        return self._lane.submit(self._write, sounds, position - self._behind)

    async def close(self) -> None:
        """Write the rest and close the file. If there was no audio, what was there before stays.

        Raises:
            WavError: For example, the disk is full.
        """
        try:
            await self._lane.run(self._finish)
        finally:
            self._lane.close()

    def _write(self, sounds: list[PlacedSound], final: int) -> None:
        """Write everything before the position `final`. The rest is held back, because it may still change."""
        self._has_audio = self._has_audio or bool(sounds)
        if not self._has_audio:
            return  # the call may end before anybody answers
        for side, position, pcm in sounds:
            self._waiting[side].append((position, pcm.astype("<i2").tobytes()))
        due = [[piece for piece in pieces if piece[0] < final] for pieces in self._waiting.values()]
        try:
            self._file.write(final, *due)
        except OSError as error:
            raise self._not_written(error) from None
        for pieces in self._waiting.values():
            pieces[:] = [piece for piece in pieces if _end(piece) > final]

    def _not_written(self, error: OSError) -> WavError:
        return WavError(f"{self._file.path}: cannot be written ({error.strerror or error})")

    def _finish(self) -> None:
        if not self._has_audio:
            if self._is_new:
                self._file.path.unlink(missing_ok=True)
            return
        ends = [_end(piece) for pieces in self._waiting.values() for piece in pieces]
        try:
            self._write([], max(ends, default=0))
        finally:
            self._file.close()


def _end(piece: Piece) -> int:
    position, pcm = piece
    return position + len(pcm) // 2
