"""What holds for the whole suite: the order of the tests, who gets a second try, who stays together.

Tests against the clock of the wall share their machine with whatever else runs on it: one that fails
is tried once more, and the summary counts it as a rerun. All others have one try.
"""

from __future__ import annotations

import os
import sys

import pytest

# Many tests start processes, and each would compile pipecat again: two seconds of a core, and as much for
# every worker's own tests. Containers like to have it so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SHARED = {"make_run": "browser", "recorded": "replay"}
"""Fixtures that take seconds to make: all tests that want one run on the same worker, which makes it once.

For browsers there is more to it: a page that is measured has no other browser beside it.
"""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _waits(item):
            item.add_marker(pytest.mark.flaky(reruns=1))
        for name in SHARED.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(SHARED[name]))
    # Those that wait begin, while there is other work for the processor: at the end all workers have some.
    items.sort(key=_waits, reverse=True)


def _waits(item: pytest.Item) -> bool:
    return item.get_closest_marker("realtime") is not None
