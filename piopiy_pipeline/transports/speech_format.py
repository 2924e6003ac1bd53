"""Converts the bot's speech to the format of the media stream: whole samples, mono, at the stream's rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from piopiy_pipeline.audio.resample import Resampler

__all__ = ["SpeechFormat"]


class SpeechFormat:
    """Converts what services make. Keeps the state of each conversion from one piece of audio to the next.

    Args:
        rate: Sample rate of the media stream in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._rest = b""  # of a sample that a piece of audio has cut in two
        self._context: str | None = None  # that it belongs to
        self._resamplers: dict[int, Resampler] = {}

    def convert(self, pcm: bytes, *, rate: int, channels: int, context_id: str | None = None) -> bytes:
        """Convert the next piece of audio.

        A service that passes on what it reads from a socket cuts where the network did: what is left of
        a sample is kept for the next piece of the same context.

        Args:
            pcm: PCM16 little-endian, interleaved.
            rate: The sample rate of the piece in Hz.
            channels: How many channels it has; they are averaged.
            context_id: The context of the speech that it belongs to; None for audio that is not speech.

        Returns:
            PCM16 mono at the stream's rate; it may be empty.
        """
        if context_id == self._context:
            pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % (2 * channels)
        pcm, self._rest, self._context = pcm[:whole], pcm[whole:], context_id
        if channels > 1:
            pcm = np.frombuffer(pcm, np.int16).reshape(-1, channels).mean(axis=1).astype(np.int16).tobytes()
        if rate == self._rate:
            return pcm
        if rate not in self._resamplers:
            self._resamplers[rate] = Resampler(rate, self._rate)
        return self._resamplers[rate].process(pcm)

    def pieces(
        self, pcm: bytes, *, rate: int, channels: int, context_id: str | None = None
    ) -> Iterator[bytes]:
        """Convert audio of any length, in pieces of a second of which none is empty. See `convert`."""
        size = 2 * channels * rate
        for at in range(0, len(pcm), size):
            piece = pcm if len(pcm) <= size else pcm[at : at + size]
            converted = self.convert(piece, rate=rate, channels=channels, context_id=context_id)
            if converted:
                yield converted
