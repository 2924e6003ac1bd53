"""A sentence on its way through the two halves of a piper voice, as it travels between the agent and its workers.

Nothing of piper is imported here, because the agent unpickles it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.services.tts.piper_chunks import Chunk, plan_chunks

__all__ = ["EncodedSentence", "PhonemeSentence"]


@dataclass(frozen=True, slots=True)
class PhonemeSentence:
    """A sentence that no encoder has seen yet.

    Args:
        phonemes: Its phonemes, with blanks, stresses and punctuation.
        words: Its words as they are written, each with the index of its first phoneme; None if it is not said.
    """

    phonemes: tuple[str, ...]
    words: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class EncodedSentence:
    """What a voice's encoder makes of a sentence, and its decoder makes audio of.

    Args:
        latents: float32 of shape ``[channels, frames]``.
        begin: The first frame that is worth hearing: what is before it is silence.
        end: Where the frames that are worth hearing end.
        words: Each word as it is written, with the second at which it begins, counted from `begin`.
        hop: Samples of each frame.
        sample_rate: The voice's samples a second.
    """

    latents: NDArray[np.float32]
    begin: int
    end: int
    words: list[tuple[str, float]]
    hop: int
    sample_rate: int

    def chunks(self, rate: int) -> Iterator[tuple[Chunk, NDArray[np.float32]]]:
        """Plan how it is decoded: each chunk, with the latents that it needs.

        Args:
            rate: The sample rate that is wanted, in Hz.
        """
        for chunk in plan_chunks(
            self.latents.shape[1],
            self.begin,
            self.end,
            hop=self.hop,
            rate_in=self.sample_rate,
            rate_out=rate,
        ):
            yield chunk, self.latents[:, slice(*chunk.frames)]
