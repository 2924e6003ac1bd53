"""`SpeechBudget`: how much sound a voice may make of a text. Without I/O."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpeechBudget"]

SPARE_S = 30.0
"""Sound that belongs to no character: pauses that were asked for, a jingle."""
CHARACTER_S = 0.5
"""The slowest speech, in seconds a character. A number that is read out digit by digit takes 0.3."""
KEPT = 64
"""Contexts that are remembered."""


@dataclass(slots=True)
class _Spoken:
    chars: int = 0
    seconds: float = 0.0


class SpeechBudget:
    """Counts what one voice makes, by pipecat's audio contexts: one for each answer, or each text that is said.

    Args:
        answer_s: The longest answer, in seconds.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._contexts: dict[str, _Spoken] = {}

    def _of(self, context_id: str) -> _Spoken:
        spoken = self._contexts.get(context_id)
        if spoken is None:
            if len(self._contexts) >= KEPT:
                del self._contexts[next(iter(self._contexts))]
            spoken = self._contexts[context_id] = _Spoken()
        return spoken

    def asked(self, context_id: str, chars: int) -> None:
        """Note that the voice was given a text of so many characters."""
        self._of(context_id).chars += chars

    def made(self, context_id: str, seconds: float) -> None:
        """Note that it has made so much sound."""
        self._of(context_id).seconds += seconds

    def runaway(self, context_id: str, *, more_s: float = 0.0) -> str | None:
        """Return what is wrong with a voice that makes more sound than its text can take, or None.

        Args:
            context_id: The audio context.
            more_s: Sound that comes with the next frame, in seconds.
        """
        spoken = self._of(context_id)
        seconds = spoken.seconds + more_s
        if not spoken.chars or seconds <= SPARE_S + CHARACTER_S * spoken.chars:
            return None
        return f"{seconds:.0f} s of sound for a text of {spoken.chars} characters"

    def left_s(self, context_id: str) -> float:
        """Return how much more of this answer may be said, in seconds."""
        return self._answer_s - self._of(context_id).seconds
