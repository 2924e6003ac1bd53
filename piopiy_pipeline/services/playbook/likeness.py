"""How alike a sentence and an intent's examples are, by meaning and by letters.

Vectors of sentences know that "put me through to the manager" and "can I talk to a person" mean much the same; letters
(rapidfuzz) know that "goodby" is "goodbye". Together they were better than either on sentences that nobody had
looked at (docs/playbook.md). Without vectors the letters decide alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from rapidfuzz import fuzz

from piopiy_pipeline.services.playbook.sentence_kinds import contents
from piopiy_pipeline.services.playbook.sentence_vectors import SentenceVectors

__all__ = ["THRESHOLD", "Likeness"]

THRESHOLD = 0.5
"""The least score (0 to 1) at which a sentence counts as an intent's. A sentence that is an example has 1."""

_BY_MEANING = 0.7
"""The share of the vectors in a score; the letters have the rest."""
_ENOUGH = 0.26
_ENOUGH_LETTERS = 0.52
"""The score, before it is stretched so that it is `THRESHOLD`, that was best on the sentences of the benchmark's
first half: with vectors, and without."""
_STRANGE = 0.4
"""A question none of whose words is so near (cosine) to a word of an intent's examples is about something else."""
_STRANGE_SHARE = 0.6
_GUESS = 0.6
"""An intent of a lower score is not meant either, where the best one is about something else."""
_SURE = 0.8
"""From this score on it is the intent's all the same."""


class Likeness:
    """Compares sentences with the examples of intents.

    Args:
        examples: The examples of each intent, in the form in which sentences will come: with values replaced by
            the words for their kinds.
        vectors: Makes vectors of sentences; None compares by letters alone.
        kinds: The words for kinds of values. No question is about them.
    """

    def __init__(
        self,
        examples: Mapping[str, Sequence[str]],
        vectors: SentenceVectors | None,
        kinds: Collection[str] = (),
    ) -> None:
        self._examples = examples
        self._kinds = frozenset(kinds)
        self._vectors = vectors
        self._known = (
            {
                name: np.stack([vectors.of(each) for each in texts])
                for name, texts in examples.items()
                if texts
            }
            if vectors
            else {}
        )

        self._about = (
            {
                name: np.stack([vectors.of(word) for word in sorted(words)])
                for name, texts in examples.items()
                if (words := self._topics(" ".join(texts)))
            }
            if vectors
            else {}
        )

    def _topics(self, text: str) -> frozenset[str]:
        """Return the words that say what a text is about. "What time" is no value, and asks the same as "when"."""
        return contents(text.replace("what time", "when")) - self._kinds

    def scores(self, sentence: str, *, question: bool = False) -> dict[str, float]:
        """Return the score of each intent, 0 to 1.

        Args:
            sentence: A sentence in the form of the examples.
            question: Whether it asks about something. "What's your address?" is like "what are your opening hours?",
                but not about any word of it.
        """
        letters = {
            name: max((_letters(sentence, each) for each in texts), default=0.0)
            for name, texts in self._examples.items()
        }
        if self._vectors is None:
            return {name: _stretched(score, _ENOUGH_LETTERS) for name, score in letters.items()}
        vector = self._vectors.of(sentence)
        scores = {}
        for name, score in letters.items():
            meaning = _nearest(self._known[name] @ vector) if name in self._known else 0.0
            meaning = 1.0 if score == 1.0 else meaning
            scores[name] = _stretched(_BY_MEANING * meaning + (1 - _BY_MEANING) * score, _ENOUGH)
        about = [self._vectors.of(word) for word in self._topics(sentence)] if question else []
        if about:
            words = np.stack(about).T
            known = {name: each @ words for name, each in self._about.items()}
            strange = {name for name in scores if name not in known or float(known[name].max()) < _STRANGE}
            if max(scores, key=lambda name: scores[name]) in strange:  # then the next best is a guess, too
                strange |= {name for name, score in scores.items() if score < _GUESS}
            for name in strange:
                scores[name] *= _STRANGE_SHARE if scores[name] < _SURE else 1.0
        return scores


def _nearest(cosines: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Return how near the nearest examples are: one alone may be near by chance."""
    best = np.sort(cosines)[::-1]
    return float(best[0] if len(best) < 2 else 0.7 * best[0] + 0.3 * best[1:3].mean())


def _letters(said: str, example: str) -> float:
    """Return how like two texts are, both in order and as sets of words.

    Order alone fails with "Sunday are you open", and sets of words alone fail with "open".
    """
    return (0.5 * fuzz.ratio(said, example) + 0.5 * fuzz.token_set_ratio(said, example)) / 100


def _stretched(score: float, enough: float) -> float:
    if score < enough:
        return max(0.0, THRESHOLD * score / enough)
    return min(1.0, THRESHOLD + (1 - THRESHOLD) * (score - enough) / (1 - enough))
