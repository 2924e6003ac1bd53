"""`AnswerBudget`: how much a model may write in one answer. Without I/O."""

from __future__ import annotations

import re

from piopiy_pipeline.session.limits.stream_limits import StreamLimits

__all__ = ["AnswerBudget"]

SENTENCE = 600
"""A sentence may go on for so many characters beyond the longest answer: it is cut behind its end."""
_END = re.compile(r"[.!?…؟।。！？\n][\"'”’»)\]」』）]*")


class AnswerBudget:
    """Counts the characters of one model's answer.

    Args:
        limits: The limits of the call.
    """

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self._limits = limits or StreamLimits()
        self._written = 0
        self._said = 0
        self._sentence = 0
        self.fault: str | None = None
        """What is wrong with the answer, of which no more is to pass; None: nothing."""

    def begin(self) -> None:
        """Begin the next answer."""
        self._written = self._said = self._sentence = 0
        self.fault = None

    def written(self, text: str) -> str:
        """Take the next piece as the model writes it. Returns what may be read of it."""
        left = int(self._limits.written_chars) - self._written
        self._written += max(1, len(text))  # a stream of nothing ends as well
        if self._written > self._limits.written_chars and self.fault is None:
            self.fault = f"it wrote more than {self._limits.written_chars} characters in one answer: cut off"
        return text if len(text) <= left else text[: max(0, left)]

    def said(self, text: str) -> str:
        """Take what is left of the piece without its thoughts. Returns what is to be said of it: beyond the
        longest answer up to the end of the sentence.
        """
        if self.fault is not None:
            return ""
        before = self._said
        self._said += len(text)
        limit = int(self._limits.answer_chars)
        if self._said <= limit:
            return text
        end = _END.search(text, max(0, limit - before))
        if end is None and self._said <= limit + SENTENCE:
            return text
        self.fault = f"an answer of more than {limit} characters: cut behind a sentence"
        last = limit + SENTENCE - before
        return text[: min(last, end.end() if end else last)]

    def breaks_sentence(self, text: str) -> bool:
        """Take what is to be said. Returns whether the text before it is to be said as if a sentence had ended: it
        has grown too long for one piece of work of the voice.
        """
        too_long = self._sentence + len(text) > SENTENCE and self._sentence > 0
        ends = [match.end() for match in _END.finditer(text)]
        self._sentence = len(text) - ends[-1] if ends else len(text) + (0 if too_long else self._sentence)
        return too_long
