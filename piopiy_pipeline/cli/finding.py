"""One result of `piopiy check`."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding"]


class Finding(NamedTuple):
    """One result of the check. `bad` fails the check; `absent` is only reported."""

    name: str
    status: Literal["ok", "absent", "bad"]
    detail: str
