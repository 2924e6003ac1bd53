"""Checks of what an author gives: one sentence with the argument as it was written, what is expected, what came."""

from __future__ import annotations

import math
import re
import wave
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "check_callable",
    "check_count",
    "check_keys",
    "check_kind",
    "check_language",
    "check_lines",
    "check_seconds",
    "check_sentence",
    "check_switches",
    "check_text",
    "check_tool_name",
    "shown",
    "whole_number",
]

_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_KEYS = frozenset("0123456789*#")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(?=[>,; ])")
MAX_SHOWN = 200
"""Characters of a value in a sentence."""


def shown(value: object) -> str:
    """Return what was given as a sentence shows it: as it is written, in one line, without addresses of memory, and not
    longer than a sentence bears.
    """
    try:
        text = _ADDRESS.sub("", repr(value))
    except Exception:  # noqa: BLE001 - of the author's class, or a number of too many digits
        text = f"<{type(value).__name__}>"
    if not text.isprintable():
        text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def check_kind(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Check of which kind a value is. A bool is no number here.

    Args:
        name: The argument, as an author writes it.
        value: What was given.
        kinds: What it may be.
        expected: The same in words, which follow "must be".

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(kinds, tuple):
        kinds = (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{name} must be {expected}, not {shown(value)}")


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Check a whole number.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is less than `least`.
    """
    check_kind(name, value, int, "a whole number")
    if isinstance(value, int) and value < least:
        raise ValueError(f"{name} must be {least} at least, not {shown(value)}")


def whole_number(
    name: str,
    value: object,
    *,
    least: int = 1,
    most: int | None = None,
    expected: str = "",
    text: bool = False,
) -> int:
    """Return a whole number.

    Args:
        name: The argument or the variable, as whoever gives it writes it.
        value: What was given. Neither 2.0 nor True is a whole number.
        least: The least that it may be.
        most: The most that it may be, or None.
        expected: What may be given beside a number, in words, such as "'auto', 'call' or".
        text: Whether it is written as text: the environment has nothing else.

    Raises:
        ValueError: It is no whole number, or out of these bounds.
    """
    number: int | None = None
    if text and isinstance(value, str) and value.strip().isdecimal() and len(value) <= 18:
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    if number is None or number < least or (most is not None and number > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ValueError(
            f"{name} must be {expected + ' ' if expected else ''}a whole number {bounds}, not {shown(value)}"
        )
    return number


def check_callable(
    name: str, value: object, expected: str, *, or_kinds: type | tuple[type, ...] = ()
) -> None:
    """Check that a value can be called, or is of one of these kinds.

    Args:
        name: The argument, as an author writes it.
        value: What was given.
        expected: What it must be, in words, which follow "must be".
        or_kinds: What it may be beside a function.

    Raises:
        TypeError: It is neither.
    """
    if not callable(value) and not isinstance(value, or_kinds):
        raise TypeError(f"{name} must be {expected}, not {shown(value)}")


def check_keys(name: str, value: object) -> None:
    """Check telephone keys: ``12#``.

    Raises:
        TypeError: It is no text.
        ValueError: A telephone has no such key, or there are no keys.
    """
    check_kind(name, value, str, "a text of telephone keys")
    wrong = sorted(set(str(value)) - _KEYS)
    if wrong or not value:
        what = f"there is no key {wrong[0]!r}" if wrong else "no keys"
        raise ValueError(f"{name}={value!r}: {what}; a telephone has 0-9, * and #")


def check_text(name: str, value: object) -> None:
    """Check a text in which something is said.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty.
    """
    check_kind(name, value, str, "a text")
    if not str(value).strip():
        raise ValueError(f"{name} is empty")


def check_language(name: str, value: object) -> None:
    """Check the code of a language: ``en``, ``de-AT``.

    Raises:
        TypeError: It is no text.
        ValueError: It is no such code.
    """
    check_kind(name, value, str, 'the code of a language, such as "en"')
    if isinstance(value, str) and not _LANGUAGE.fullmatch(value):
        raise ValueError(
            f'{name} must be the code of a language, such as "en" or "de-AT", not {shown(value)}'
        )


def check_seconds(
    name: str, value: object, *, or_none: str = "", zero: bool = False, least_s: float = 0.0
) -> None:
    """Check a time.

    Args:
        name: The argument, as an author writes it.
        value: What was given.
        or_none: What None means. Empty: it may not be None.
        zero: Whether it may be 0.
        least_s: What is less than this would do what nobody means by it.

    Raises:
        TypeError: It is no number.
        ValueError: It is less than it may be, or no finite number.
    """
    otherwise = f" (None: {or_none})" if or_none else ""
    if value is None and or_none:
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds{otherwise}, not {shown(value)}")
    if not (value >= least_s if zero or least_s else value > 0) or not _is_finite(value):
        unit = "second" if least_s == 1 else "seconds"
        least = f"{least_s:g} {unit} or more" if zero or least_s else "more than 0 seconds"
        raise ValueError(f"{name} must be {least}{otherwise}, not {shown(value)}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def check_sentence(name: str, value: object) -> None:
    """Check what is said, or played: a sentence, the path of a WAV file, or None.

    Raises:
        TypeError: It is none of them.
        ValueError: It is a text that names a file, which would be read out, or a file that cannot be played.
    """
    check_kind(name, value, (str, Path, type(None)), "a sentence, the Path of a WAV file or None")
    if isinstance(value, str) and value.strip().lower().endswith(".wav"):
        raise ValueError(f"{name}={value!r} would be read out: write Path({value!r}) to have the file played")
    if isinstance(value, Path):
        try:
            with wave.open(str(value), "rb") as recording:
                width, channels = recording.getsampwidth(), recording.getnchannels()
        except (OSError, EOFError, wave.Error) as error:
            raise ValueError(f"{name}: {str(value)!r} cannot be played: {error}") from None
        if (width, channels) != (2, 1):
            raise ValueError(f"{name}: {str(value)!r} must be a mono WAV file of 16 bits")


def check_lines(name: str, value: object) -> None:
    """Check sentences, of which there are some, or True for the default ones, or False for none.

    Raises:
        TypeError: It is something else, or one of them is no text.
        ValueError: One of them is empty.
    """
    if isinstance(value, bool):
        return
    expected = "True, False or a list of sentences"
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be {expected}, not {shown(value)}")
    for line in value:
        if not isinstance(line, str):
            raise TypeError(f"{name} must be {expected}: {shown(line)} is no sentence")
        if not line.strip():
            raise ValueError(f"{name} must be {expected}: one of them is empty")


def check_tool_name(name: str, value: object) -> None:
    """Check the name of a tool, as all providers take it.

    Raises:
        TypeError: It is no text.
        ValueError: It is no such name.
    """
    check_kind(name, value, str, "a text")
    if isinstance(value, str) and not _TOOL_NAME.fullmatch(value):
        raise ValueError(f"{name} must be of letters, digits, _ and -, 64 at most, not {shown(value)}")


def check_switches(**switches: object) -> None:
    """Check that each of these arguments, by its name, is True or False.

    Raises:
        TypeError: One is something else.
    """
    for name, value in switches.items():
        check_kind(name, value, bool, "True or False")
