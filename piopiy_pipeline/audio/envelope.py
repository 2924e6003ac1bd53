"""How loud speech is, by its position: for finding the beginning of a word, and the bot's own echo. Without I/O."""

from __future__ import annotations

import numpy as np

__all__ = ["Envelope"]

BLOCK_S = 0.01
"""The grid of the envelope: finer than any sound of speech."""
MAX_S = 60.0
"""So many seconds are kept at most: more than is ever sent ahead. The oldest are forgotten."""
_SILENT = 10 ** (-45 / 10)
_DIP = 10 ** (-15 / 10)
"""A block this far below the loudest around it is a gap between sounds."""
_GAP_BLOCKS = 6


class Envelope:
    """The power of a stream of PCM16 mono in blocks of 10 ms.

    Args:
        rate: Sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._block = int(rate * BLOCK_S)
        self._scale = 1 / (32768.0 * 32768.0 * self._block)
        self._max = int(MAX_S / BLOCK_S)
        self.clear()

    def clear(self) -> None:
        """Forget everything: the next samples are at position 0."""
        self._powers: list[float] = []
        self._first = 0  # the block of `_powers[0]`
        self._rest = b""

    def add(self, pcm: bytes) -> None:
        """Take the next samples, PCM16 little-endian mono."""
        if self._rest:
            pcm = self._rest + pcm
        blocks = len(pcm) // (2 * self._block)
        samples = np.frombuffer(pcm, "<i2", blocks * self._block).astype(np.float32)
        whole = samples.reshape(blocks, self._block)
        self._powers += (np.einsum("ij,ij->i", whole, whole) * self._scale).tolist()
        self._rest = pcm[2 * blocks * self._block :]
        self.forget_before((self._first + len(self._powers) - self._max) * self._block)

    def forget_before(self, position: int) -> None:
        """Forget what lies before this position."""
        old = min(max(0, position // self._block - self._first), len(self._powers))
        del self._powers[:old]
        self._first += old

    def power(self, position: int, samples: int) -> float:
        """Return the mean power of so many samples before `position`, 1.0 at full scale; 0.0 where nothing is
        known.
        """
        end = -(-position // self._block) - self._first
        powers = self._powers[max(0, end - max(1, samples // self._block)) : max(0, end)]
        return sum(powers) / len(powers) if powers else 0.0

    def sound_begins(self, position: int, within: int) -> int | None:
        """Return where the word that is under way at `position` has begun, as far as loudness tells.

        That is the end of the last gap before it, of one of 60 ms rather than of a shorter one: the closure of
        a stop within a word is a gap, too.

        Args:
            position: In samples.
            within: How many samples back to look.

        Returns:
            A position at or before `position`: `position` itself where there is a gap. None where none is found.
        """
        end = position // self._block - self._first
        powers = np.array(self._powers[max(0, end - within // self._block) : max(0, end)])
        if len(powers) == 0:
            return None
        quiet = powers < max(float(powers.max()) * _DIP, _SILENT)
        if quiet[-2:].all():
            return position
        for least in (_GAP_BLOCKS, 1):
            run = 0
            for back in range(1, len(quiet) + 1):
                run = run + 1 if quiet[-back] else 0
                if run == least:
                    return max(0, position // self._block - (back - least)) * self._block
        return None
