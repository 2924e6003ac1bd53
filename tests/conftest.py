"""What holds for the whole suite: the order of the tests, who gets a second try, who stays together.

Tests against the clock of the wall share their machine with whatever else runs on it: one that fails
is tried once more, and the summary counts it as a rerun. All others have one try.

What a test leaves behind (a coroutine that nobody awaited, a socket that nobody closed) fails that test. Python
finds such things only when it collects garbage. Without the fixture below, that may be in a later test which
allocates much, and pytest then fails that innocent test, depending on the order of the tests.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import chaos_report, short_run
from tests.support.bot_kinds import either_bot, pytest_generate_tests  # noqa: F401  a fixture and a hook of pytest
from tests.support.forked_workers import (  # noqa: F401  hooks of pytest
    pytest_configure,
    pytest_configure_node,
    pytest_unconfigure,
    pytest_xdist_setupnodes,
)
from tests.support.handout import Handout, is_together, step_back
from tests.support.log_lines import log_lines  # noqa: F401  a fixture

# Many tests start processes, and each would compile pipecat again: two seconds of a core, and as much for
# every worker's own tests. Containers like to have it so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# On a machine that many tests share, an agent of theirs may be busy for most of the time that is left to it, and would
# refuse the calls that they are about. Tests of admission say their own threshold.
os.environ.setdefault("PIOPIY_LOAD_THRESHOLD", "1")
# Nor does a property fail because an example took 0.2 s of the wall's clock.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

WALL_LIMIT_S = 300
"""So long may a simulation or the start of a model take, in real seconds."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add what has hooks and options of its own."""
    for module in (chaos_report, short_run):
        pluginmanager.register(module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Handout:
    return Handout(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Set aside the collector of garbage: what is imported stays, and to look through it was a quarter of this time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    _wait_longer()  # when bytecode is written
    if (told := getattr(session.config, "workerinput", None)) is not None:
        step_back(told)
    gc.collect()
    gc.freeze()  # what was imported stays, and is not looked through after every test
    atexit.register(gc.unfreeze)  # at the end of the interpreter nanobind complains of what is not collected


def _wait_longer() -> None:
    """Let what takes virtual time take longer, and models be loaded: 60 s are for a call that is alone on a machine."""
    from piopiy_pipeline.services.workers import worker_processes
    from piopiy_pipeline.testing.replaying.replay import replay
    from piopiy_pipeline.testing.simulation import simulate
    from piopiy_pipeline.testing.stage.run_stage import run_chain, run_stage
    from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

    for function in (replay, run_chain, run_stage, run_virtual, simulate):
        (function.__kwdefaults__ or {})["wall_limit_s"] = WALL_LIMIT_S
    worker_processes.START_S = WALL_LIMIT_S


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """Collect what the test has left behind, so that a warning about it fails this test and no other."""
    yield
    gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Set aside what a module has imported and cached: to look through it after every test took 40 ms."""
    yield
    if nextitem is None or nextitem.path != item.path:  # its own fixtures are gone
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--chaos-long"):
        late = [item for item in items if item.get_closest_marker("long_form")]
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]
    for item in items:
        if _waits(item):
            item.add_marker(pytest.mark.flaky(reruns=1))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Those that wait come first, and the others are taken from the end: groups, which take longest, begin."""
    if _waits(item):
        return 0 if is_together(item.nodeid) else 1
    return 3 if is_together(item.nodeid) else 2


def _waits(item: pytest.Item) -> bool:
    return item.get_closest_marker("realtime") is not None
