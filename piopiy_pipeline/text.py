"""Text from outside: whether it can be spoken, and how it is passed on safely, as UTF-8 and as one line of a log.

A caller's name, a header, a model's answer and a tool's result may hold anything. Two things of them break
what they reach. Half of a surrogate pair (JSON may hold one, as ``\\ud83d``) has no encoding in UTF-8, so
whatever sends or stores the text raises `UnicodeEncodeError`. And a line break or an escape sequence in a
text that is logged forges a line of the log, or controls the terminal of whoever reads it.

This module is at the bottom, because every package passes text on.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["counted", "has_words", "printable_line", "sentence_ends", "well_formed", "well_formed_json"]

_UNPRINTABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f"  # C0 (line breaks, escape) and C1, where 0x9b begins an escape sequence, too
    "\u2028\u2029"  # line separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the direction of writing, and so what is read
    "\ud800-\udfff]"  # halves of surrogate pairs
)
_SENTENCE_END = re.compile(r"[.!?…؟।]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”’）]*")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts, such as ``1 call`` and ``2 calls``.

    Args:
        number: How many.
        one: The word for one.
        many: The word for any other number; None: `one` with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def has_words(text: str) -> bool:
    """Whether there is anything in a text that a voice can say."""
    return any(character.isalnum() for character in text)


def sentence_ends(text: str) -> int:
    """Return how many sentences end in a text, abbreviations counted as if they ended one."""
    return sum(1 for _ in _SENTENCE_END.finditer(text))


def well_formed(text: str) -> str:
    """The text, with each lone half of a surrogate pair replaced by U+FFFD.

    Two halves that belong together become the character that they mean. Other text is returned as it is.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def well_formed_json(value: Any) -> Any:
    """A copy of a JSON value in which every text, keys included, is `well_formed`. Other objects stay as they are."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {well_formed_json(key): well_formed_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [well_formed_json(each) for each in value]
    return value


def printable_line(text: str) -> str:
    """The text as one line: what breaks a line, or controls a terminal, is written as an escape such as ``\\n``."""
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
