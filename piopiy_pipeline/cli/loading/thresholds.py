"""Thresholds of `piopiy load` (``--fail-if``): a number of its JSON by its path, compared with a value.

One holds unless another is given: a run fails when more than one call in twenty failed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.text import counted

__all__ = ["DEFAULT_LIMIT", "Threshold", "ThresholdResult", "why_failed", "with_default_limit"]

_FORM = re.compile(r"\s*([a-z0-9_.]+)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_EXAMPLE = "voice_to_voice_ms.p95>1500"
DEFAULT_LIMIT = "failed_share>0.05"
"""With which every run fails, unless a threshold on ``failed`` or ``failed_share`` is given."""


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """What a threshold says of a run. `value` is None where nothing was measured, which fails, too."""

    text: str
    value: float | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison with which a run fails if it holds."""

    text: str
    path: tuple[str, ...]
    operator: str
    limit: float

    @classmethod
    def parse(cls, text: str, example: Mapping[str, Any]) -> Self:
        """Parse such as ``voice_to_voice_ms.p95>1500``.

        Args:
            text: What was typed.
            example: The JSON of a run, of which a number or None has to be named.

        Raises:
            BadInput: It is no comparison, or there is no such number.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise BadInput(f"--fail-if {text!r}: it looks like {_EXAMPLE}")
        path = tuple(match[1].split("."))
        where: Any = example
        for number, part in enumerate(path):
            if not isinstance(where, Mapping) or part not in where:
                known = ", ".join(where) if isinstance(where, Mapping) else "nothing below it"
                raise BadInput(
                    f"--fail-if {text!r}: there is no {'.'.join(path[: number + 1])}; there is {known}"
                )
            where = where[part]
        if isinstance(where, Mapping):
            raise BadInput(f"--fail-if {text!r}: {match[1]} is no number; it has {', '.join(where)}")
        return cls(" ".join(text.split()), path, match[2], float(match[3]))

    def judge(self, found: Mapping[str, Any]) -> ThresholdResult:
        """Return what this says of the JSON of a run."""
        value: Any = found
        for part in self.path:
            value = value[part]
        failed = value is None or _OPERATORS[self.operator](float(value), self.limit)
        return ThresholdResult(self.text, None if value is None else float(value), failed)


def with_default_limit(texts: Iterable[str]) -> list[str]:
    """Return the thresholds that were typed, and the one that holds unless they say how many calls may fail."""
    typed = list(texts)
    covered = any(
        (match := _FORM.fullmatch(text)) and match[1] in ("failed", "failed_share") for text in typed
    )
    return typed if covered else [*typed, DEFAULT_LIMIT]


def why_failed(found: Mapping[str, Any], verdicts: Sequence[ThresholdResult]) -> str | None:
    """Return in one sentence why a run failed; None if it passed.

    Args:
        found: The JSON of the run.
        verdicts: What its thresholds say.
    """
    if not found["answered"]:
        return "no call was answered"
    reasons: list[str] = []
    for verdict in verdicts:
        if not verdict.failed:
            continue
        if verdict.value is None:
            reasons.append(f"{verdict.text}: nothing was measured")
        elif verdict.text == DEFAULT_LIMIT:
            share = f"{found['failed']} of {counted(found['begun'], 'call')} failed"
            reasons.append(
                f"{share}, and more than 5% are too many unless --fail-if says another failed_share"
            )
        else:
            reasons.append(f"{verdict.text}: it is {verdict.value:g}")
    return "; ".join(reasons) or None
