"""`SessionLosses`: how often the session of a call was lost in a row, and when it is not opened again. Without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from pipecat.utils.errors import ErrorCategory, classify_http_exception

__all__ = ["SessionLosses"]

WAITS_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""So long before each attempt to open a lost session again, in seconds."""
IN_VAIN = 3
"""So many sessions in a row are opened again without a complete answer of one of them."""
STOOD_S = 30.0
"""A session that owes no answer and has stood for so many seconds was a good one: providers end those that are old."""


LONGEST_WHY = 300
"""So many characters are kept of why a session was not opened."""


class SessionLosses:
    """Those of one call."""

    def __init__(self) -> None:
        self._opened_at: float | None = None
        self._stood = False  # there was a session when the last one was lost
        self._in_a_row = 0
        self.why = ""
        """What the provider's client has said of the last session that was not opened, if it has said anything."""
        self.category = ErrorCategory.UNKNOWN
        """Of what kind that is."""
        self.over = False
        """Whether the service ends with the call: that its session is gone is no loss."""

    def service_ends(self, _service: object, _frame: object) -> None:
        """The service is about to process the end of the call."""
        self.over = True

    def opened(self, now: float) -> None:
        """A session was told the conversation, at this time in seconds."""
        self._opened_at = now
        self.why, self.category = "", ErrorCategory.UNKNOWN

    def not_opened(self, error: Exception | None) -> None:
        """A session could not be opened. A refusal that cannot change, such as one of the key, is the last word.

        Args:
            error: What the provider's client has raised; None: nothing that is not known already.
        """
        if error is not None:
            self.why = str(error)[:LONGEST_WHY] or type(error).__name__
            self.category = classify_http_exception(error)

    def lost(self, now: float, *, owed: bool) -> None:
        """The session is lost, or could not be told the conversation.

        Args:
            now: The time, in seconds.
            owed: Whether an answer was under way.
        """
        self._stood = self._opened_at is not None
        was_good = self._opened_at is not None and now - self._opened_at >= STOOD_S and not owed
        self._in_a_row = 1 if was_good else self._in_a_row + 1

    def answered(self) -> None:
        """The model has answered: what was lost before is over."""
        self._in_a_row = 0

    @property
    def too_many(self) -> bool:
        """Whether the session is not opened again, because that has not helped."""
        return self._in_a_row > IN_VAIN

    @property
    def waits(self) -> Sequence[float]:
        """So long before each attempt to open the session, in seconds: longer from loss to loss, and at last none."""
        return () if self.too_many or self.category.is_permanent else WAITS_S[max(0, self._in_a_row - 1) :]

    @property
    def fault(self) -> str:
        """What the last loss was, as a sentence without its end."""
        return "the session was lost" if self._stood else "the session was not opened"

    @property
    def mended(self) -> str:
        """That, of a session that was opened again."""
        return f"{self.fault}, and was opened {'again' if self._stood else 'later'}"

    @property
    def given_up(self) -> str:
        """That, of a session that is not opened again."""
        if self.too_many:
            return f"{self.fault} {self._in_a_row} times in a row, and gave no answer"
        return f"{self.fault}, and could not be opened {'again' if self._stood else 'later'}"
