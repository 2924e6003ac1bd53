"""Checks of what an author writes in a caller's script: each failure is one sentence, when the script is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.arguments import check_kind, check_seconds, check_switches, check_text, shown
from piopiy_pipeline.testing.line.turn_taking import Habits

__all__ = ["check_step", "given_samples"]

_KEYS = frozenset("0123456789*#ABCD")


def check_step(step: str, **given: object) -> None:
    """Check the arguments of a step.

    Args:
        step: Its name, as an author writes it.
        given: The arguments by name.

    Raises:
        TypeError: One is of another kind.
        ValueError: One cannot work.
    """
    for name, value in given.items():
        _CHECKS[name](f"{step}: {name}", value)


def _check_spoken(name: str, value: object) -> None:
    expected = "the Path of a WAV file, a sentence, or samples: int16 of shape [samples]"
    check_kind(name, value, (Path, str, list, np.ndarray), expected)
    if isinstance(value, str):
        check_text(name, value)
    elif isinstance(value, list | np.ndarray):
        given_samples(name, value, expected)


def given_samples(name: str, value: list[object] | NDArray[Any], expected: str) -> NDArray[np.int16]:
    """Return samples that an author gives, as int16 of shape ``[samples]``.

    Args:
        name: The argument, as an author writes it.
        value: An array, or a list of whole numbers.
        expected: What it must be, in words, which follow "must be".

    Raises:
        TypeError: They are no whole numbers, or of another shape.
        ValueError: One is beyond 16 bits, and would become another sound.
    """
    samples = np.asarray(value) if isinstance(value, np.ndarray) or _is_flat(value) else np.array([""])
    if samples.ndim != 1 or samples.dtype.kind not in "iu":
        of = (
            f"{samples.dtype} of shape {list(samples.shape)}"
            if isinstance(value, np.ndarray)
            else "such a list"
        )
        raise TypeError(f"{name} must be {expected}, not {of}")
    if samples.size and not (samples.min() >= -32768 and samples.max() <= 32767):
        farthest = max(samples.min(), samples.max(), key=lambda each: abs(int(each)))
        raise ValueError(f"{name}: {farthest} is beyond 16 bits: samples are from -32768 to 32767")
    return np.ascontiguousarray(samples, np.int16)


def _is_flat(value: list[object]) -> bool:
    return all(isinstance(each, int | np.integer) for each in value)


def _check_text_or_none(name: str, value: object) -> None:
    check_kind(name, value, (str, type(None)), "a text, or None")


def _check_switch(name: str, value: object) -> None:
    check_switches(**{name: value})


def _check_keys(name: str, value: object) -> None:
    check_kind(name, value, str, "a text of telephone keys")
    if wrong := set(str(value)) - _KEYS:
        raise ValueError(f"press({value!r}): a telephone has no key {min(wrong)!r}")


def _check_wanted(name: str, value: object) -> None:
    check_kind(name, value, (str, re.Pattern), "a pattern, as a text or compiled")
    try:
        re.compile(value)  # type: ignore[call-overload]
    except re.error as error:
        raise ValueError(f"{name}: {shown(value)} is no pattern: {error}") from None


def _check_steps(name: str, value: object) -> None:
    check_kind(name, value, (tuple, list), "a tuple of async functions of a CallerLine")
    for each in value if isinstance(value, tuple | list) else ():
        if not callable(each):
            raise TypeError(
                f"{name} must be a tuple of async functions of a CallerLine: {shown(each)} is none"
            )


def _check_habits(name: str, value: object) -> None:
    check_kind(name, value, Habits, "Habits")


def _check_seconds(name: str, value: object) -> None:
    check_seconds(name, value, zero=True)


def _check_limit(name: str, value: object) -> None:
    check_seconds(name, value, zero=True, or_none="the caller's own time")


_CHECKS: dict[str, Callable[[str, object], None]] = {
    "what": _check_spoken,
    "text": _check_text_or_none,
    "name": _check_text_or_none,
    "wait": _check_switch,
    "insist": _check_switch,
    "after": _check_seconds,
    "seconds": _check_seconds,
    "timeout_s": _check_limit,
    "keys": _check_keys,
    "wanted": _check_wanted,
    "steps": _check_steps,
    "habits": _check_habits,
}
