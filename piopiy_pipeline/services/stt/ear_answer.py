"""What a hearing process says of a piece of audio. It is pickled, so it stands where no model is imported."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EarAnswer"]


class EarAnswer(NamedTuple):
    """What is said in a piece of audio; without words, if it was a noise."""

    words: list[tuple[str, float]]
    """The words as they are written, each with its confidence from 0 to 1."""
    tokens: tuple[int, ...] = ()
    """The same in the model's own terms, for whoever asks what comes next."""
    begins: int = 0
    """The sample, at the rate of the audio, before which nothing is said."""
