"""What holds for the whole suite.

Tests against the clock of the wall share their machine with whatever else runs on it: one that fails
is tried once more, and the summary counts it as a rerun. All others have one try.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("realtime") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))
