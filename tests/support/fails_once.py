"""A function that fails the first time: what an error does that nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["FailsOnce"]


class FailsOnce:
    """A function that fails the first time. It counts how often it was called.

    Args:
        works: Is called from the second time on.
    """

    def __init__(self, works: Callable[..., Any]) -> None:
        self.calls = 0
        self._works = works

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("nobody foresaw it")
        return self._works(*args, **options)
