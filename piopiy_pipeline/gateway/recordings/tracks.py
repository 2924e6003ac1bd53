"""One side of a recording, which says where on the timeline each piece of audio belongs. No I/O.

Pieces arrive unevenly: late, then many at once. A piece that follows the last
one closely is joined to it, sample for sample, so that jitter is not heard. A piece that comes after a
pause is placed where it was heard, and the pause is silence. When more audio comes after a pause than can
have been spoken since, the pause was a stall, and it is shortened again.
"""

from __future__ import annotations

from collections import deque

from piopiy_pipeline.audio.growing_wav import Piece

__all__ = ["Track"]

MOST_EARLY_S = 0.3
"""How far a side whose clock runs fast may get ahead of ours. Audio beyond that is dropped."""


class Track:
    """One side of a recording. All positions are in samples."""

    def __init__(self, rate: int, *, joins_s: float) -> None:
        """Args:
        rate: Sample rate, in Hz.
        joins_s: A gap before a piece up to this is taken for jitter, and the piece is joined to the last one.
        """
        self.dropped = 0
        """Samples that were dropped."""
        self._joins = int(joins_s * rate)
        self._most_early = int(MOST_EARLY_S * rate)
        self._starts: deque[int] = deque()
        self._pcm: deque[bytes] = deque()
        self._cursor = 0  # where the last piece ends
        self._taken = 0  # audio before this was taken to be written
        self._pause: int | None = None  # the index of the piece after the last pause, among those that wait

    def add(self, pcm: bytes, end: int) -> None:
        """Add PCM16 that ends at the position `end` by the clock, if it came in time."""
        samples = len(pcm) // 2
        cursor = max(self._cursor, self._taken)
        if end - samples - cursor > self._joins:
            cursor = end - samples
            self._pause = len(self._starts)
        too_early = cursor + samples - end
        if too_early > 0 and self._pause is not None:
            moved = self._close_up(too_early)
            cursor, too_early = cursor - moved, too_early - moved
        if too_early > self._most_early:
            keep = max(0, samples - (too_early - self._most_early))
            self.dropped += samples - keep
            pcm, samples = pcm[: 2 * keep], keep
        if samples:
            self._starts.append(cursor)
            self._pcm.append(pcm)
        self._cursor = cursor + samples

    @property
    def end(self) -> int:
        """The position at which the last piece ends."""
        return self._cursor

    def take(self, upto: int) -> list[Piece]:
        """Remove and return the pieces before `upto`. Nothing can be placed there any more."""
        pieces: list[Piece] = []
        while self._starts and self._starts[0] < upto:
            start, pcm = self._starts.popleft(), self._pcm.popleft()
            if self._pause is not None:
                self._pause = self._pause - 1 if self._pause else None
            if (left := start + len(pcm) // 2 - upto) > 0:
                self._starts.appendleft(upto)
                self._pcm.appendleft(pcm[-2 * left :])
                pcm = pcm[: -2 * left]
                if self._pause is not None:
                    self._pause += 1
            pieces.append((start, pcm))
        self.advance(upto)
        return pieces

    def advance(self, position: int) -> None:
        """Place nothing before `position` from now on."""
        self._taken = max(self._taken, position)

    def _close_up(self, samples: int) -> int:
        """Shorten the last pause by so many samples, or as far as possible. Returns by how many it was shortened."""
        assert self._pause is not None
        if self._pause == len(self._starts):
            return 0  # the piece after the pause is the one that comes now, and is placed where it was heard
        first = self._pause
        before = self._starts[first - 1] + len(self._pcm[first - 1]) // 2 if first else 0
        moved = min(samples, self._starts[first] - max(before, self._taken))
        if moved > 0:
            for index in range(first, len(self._starts)):
                self._starts[index] -= moved
        return max(0, moved)
