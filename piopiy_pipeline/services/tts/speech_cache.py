"""Keeps speech that was made, because a bot says the same sentences in every call: its greeting, its questions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from piopiy_pipeline.services.tts.local_tts import SpeechPiece

__all__ = ["SpeechCache"]


class SpeechCache:
    """The speech of the clauses that were said last, bounded in bytes of audio.

    Args:
        limit: How many bytes of audio are kept; the clause that was not said for longest goes first.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """Bytes of audio that are kept."""
        self.hits = 0
        self.misses = 0
        self._kept: OrderedDict[Hashable, tuple[SpeechPiece, ...]] = OrderedDict()

    def get(self, key: Hashable) -> tuple[SpeechPiece, ...] | None:
        """Return the speech of a clause, or None, and count which of the two."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, pieces: Sequence[SpeechPiece]) -> None:
        """Keep the speech of a clause. One that is longer than a quarter of the limit is not kept."""
        size = _size(pieces)
        if size > self.limit // 4:
            return
        self.size += size - _size(self._kept.pop(key, ()))
        self._kept[key] = tuple(pieces)
        while self.size > self.limit:
            self.size -= _size(self._kept.popitem(last=False)[1])


def _size(pieces: Sequence[SpeechPiece]) -> int:
    return sum(len(piece.pcm) for piece in pieces)
