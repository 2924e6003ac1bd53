"""Finds where in the phonemes of a sentence each of its words begins, as it is written.

A phonemizer does not keep words: "of the" becomes one, "7:30" two, "$12.50" six, and "a" sounds otherwise alone
than in a sentence. So each word's own phonemes are laid along the sentence's, with as few edits as can be.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

__all__ = ["word_positions"]

_NO_SOUND = frozenset(" ˈˌ.,;:!?'\"-()¿¡«»…—–_^$")


def word_positions(sentence: Sequence[str], words: Sequence[Sequence[str]]) -> list[int | None]:
    """Find the words in a sentence.

    Args:
        sentence: The phonemes of the sentence, with its blanks, stresses and punctuation.
        words: The phonemes of each word, said alone. Empty for a word that is not said, such as a dash.

    Returns:
        For each word the index in `sentence` of its first phoneme, with its stress; None for a word that has
        none there. They do not decrease.
    """
    heard = [index for index, phoneme in enumerate(sentence) if phoneme not in _NO_SOUND]
    alone = [[phoneme for phoneme in word if phoneme not in _NO_SOUND] for word in words]
    joined = [phoneme for word in alone for phoneme in word]
    if not heard or not joined:
        return [None] * len(words)
    place: list[int] = []  # of each phoneme of `joined`, in `heard`
    for step in Levenshtein.opcodes(joined, [sentence[index] for index in heard]):
        last = max(step.dest_start, step.dest_end - 1)
        place += [min(step.dest_start + n, last) for n in range(step.src_end - step.src_start)]
    starts = [
        n for n, index in enumerate(heard) if index == 0 or sentence[index - 1] in _NO_SOUND - {"ˈ", "ˌ"}
    ]
    starts = sorted({*starts, *(n for n, index in enumerate(heard) if _after_stress(sentence, index))})
    found: list[int | None] = []
    at = earliest = 0
    for word in alone:
        if not word:
            found.append(None)
            continue
        position = min(place[at], len(heard) - 1)
        near = [start for start in starts if abs(start - position) <= 1 and start >= earliest]
        position = min(near, key=lambda start: abs(start - position), default=max(position, earliest))
        index = heard[position]
        while index > 0 and sentence[index - 1] in "ˈˌ":
            index -= 1
        found.append(index)
        at += len(word)
        earliest = position
    return found


def _after_stress(sentence: Sequence[str], index: int) -> bool:
    """Whether a stress with a blank before it, the beginning of a word, stands before a phoneme."""
    return (
        index > 0
        and sentence[index - 1] in "ˈˌ"
        and (index == 1 or sentence[index - 2] in _NO_SOUND - {"ˈ", "ˌ"})
    )
