"""`TypedLine`: the line that a person types on a terminal, key by key, and what of it is shown. No I/O.

Python's `input` draws the line itself wherever the cursor is, also in the middle of an answer that is being printed. A
line that is kept here can be taken away, and drawn again below what was printed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from rich.cells import cell_len

__all__ = ["HISTORY", "TypedLine"]

HISTORY = 500
"""So many lines are remembered."""
MAX_ESCAPE = 16
"""A longer escape sequence is none."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O[A-Za-z]|[^\[O])")
_KEYS = {
    "\x01": "home", "\x02": "left", "\x04": "delete", "\x05": "end", "\x06": "right", "\x08": "back",
    "\x0b": "cut_behind", "\x0e": "later", "\x10": "earlier", "\x15": "cut_before", "\x17": "cut_word", "\x7f": "back",
}  # fmt: skip
"""What control characters do."""
_SEQUENCES = {
    "A": "earlier", "B": "later", "C": "right", "D": "left", "F": "end", "H": "home",
    "1~": "home", "3~": "delete", "4~": "end", "7~": "home", "8~": "end",
}  # fmt: skip
"""What keys do that send an escape sequence, by what follows its beginning."""


class TypedLine:
    """One line at a time, with those that were typed before.

    Args:
        history: The lines that were typed before, the last one at the end.
    """

    def __init__(self, history: Sequence[str] = ()) -> None:
        self.text = ""
        self.history = list(history)[-HISTORY:]
        self._at = 0
        self._place = len(self.history)  # in the history; behind its end is the line that is being typed
        self._kept = ""  # that line, while an earlier one is shown
        self._escape = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def take(self, data: bytes) -> list[str | None]:
        """Take what the terminal sends. Returns the lines that are complete by it; None is the end (Ctrl-D)."""
        done: list[str | None] = []
        for key in self._decoder.decode(data):
            if self._escape or key == "\x1b":
                self._take_escape(key)
            elif key in "\r\n":
                done.append(self._complete())
            elif key == "\x04" and not self.text:
                done.append(None)
            elif key in _KEYS:
                self._do(_KEYS[key])
            elif key.isprintable():
                self.text = self.text[: self._at] + key + self.text[self._at :]
                self._at += 1
        return done

    def shown(self, width: int) -> tuple[str, int]:
        """Return what of the line is shown in so many columns, and the column of the cursor, from 0."""
        begin = 0
        while cell_len(self.text[begin : self._at]) >= width:
            begin += 1
        end = len(self.text)
        while cell_len(self.text[begin:end]) >= width:
            end -= 1
        return self.text[begin:end], cell_len(self.text[begin : self._at])

    def _complete(self) -> str:
        line = self.text
        if line.strip() and self.history[-1:] != [line]:
            self.history = [*self.history, line][-HISTORY:]
        self._show("", len(self.history))
        return line

    def _take_escape(self, key: str) -> None:
        self._escape += key
        if _ESCAPE.fullmatch(self._escape):
            name, self._escape = _SEQUENCES.get(self._escape[2:]), ""
            if name is not None:
                self._do(name)
        elif len(self._escape) > MAX_ESCAPE:
            self._escape = ""

    def _do(self, name: str) -> None:
        text, at = self.text, self._at
        match name:
            case "home":
                self._at = 0
            case "end":
                self._at = len(text)
            case "left":
                self._at = max(0, at - 1)
            case "right":
                self._at = min(len(text), at + 1)
            case "back" if at:
                self.text, self._at = text[: at - 1] + text[at:], at - 1
            case "delete":
                self.text = text[:at] + text[at + 1 :]
            case "cut_before":
                self.text, self._at = text[at:], 0
            case "cut_behind":
                self.text = text[:at]
            case "cut_word":
                before = text[:at].rstrip()
                before = before[: before.rfind(" ") + 1]
                self.text, self._at = before + text[at:], len(before)
            case "earlier" if self._place:
                self._leave_line()
                self._show(self.history[self._place - 1], self._place - 1)
            case "later" if self._place < len(self.history):
                later = self._place + 1
                self._show(self._kept if later == len(self.history) else self.history[later], later)

    def _leave_line(self) -> None:
        if self._place == len(self.history):
            self._kept = self.text

    def _show(self, text: str, place: int) -> None:
        self.text, self._at, self._place = text, len(text), place
