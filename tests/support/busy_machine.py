"""What a test against the clock of the wall is worth on a machine that has more to do than it can."""

from __future__ import annotations

import os

import pytest

__all__ = ["skip_if_overloaded"]

OVERLOADED = 2.0
"""So many processes that want to run for each core, on the average of a minute, are too many."""


def skip_if_overloaded(what: str) -> None:
    """Skip the test if the machine is why it would fail. Call this where the times are wrong, and not before.

    Args:
        what: What was found wrong.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > OVERLOADED * cores:
        pytest.skip(f"a load of {load:.1f} on {cores} cores, and times tell nothing: {what[:300]}")
