"""`VoiceProgress`: whether the voice makes sound of what waits in it. Without I/O.

A sentence that bridges a silence is no progress of an answer, so nobody waits for it. But what comes behind it in the
pipeline does, the result of a tool too, and a voice that hangs in it would hold all of it up.
"""

from __future__ import annotations

__all__ = ["VoiceProgress"]


class VoiceProgress:
    """Follows the voices of one call. All times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._busy_until = now  # when what it has made will have been heard

    def made(self, seconds: float, now: float) -> None:
        """The voice has made so much sound."""
        self._busy_until = max(self._busy_until, now) + seconds

    def overdue(self, now: float, *, pending: bool, patience_s: float) -> bool:
        """Return whether a sentence has waited in the voice for too long. Call this from time to time.

        Args:
            now: The time.
            pending: Whether a sentence is in the voice, or waits for it.
            patience_s: How long it may take from the end of one sound to the next.
        """
        if not pending:
            self._busy_until = max(self._busy_until, now)
        return now - self._busy_until >= patience_s

    def reset(self, now: float) -> None:
        """What waited is given up, or waits for somebody else."""
        self._busy_until = now
