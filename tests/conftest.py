"""What holds for the whole suite: the order of the tests, who gets a second try, who stays together.

Tests against the clock of the wall share their machine with whatever else runs on it: one that fails
is tried once more, and the summary counts it as a rerun. All others have one try.

What a test leaves behind (a coroutine that nobody awaited, a socket that nobody closed) fails that test. Python
finds such things only when it collects garbage. Without the fixture below, that may be in a later test which
allocates much, and pytest then fails that innocent test, depending on the order of the tests.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.bot_kinds import either_bot, pytest_generate_tests  # noqa: F401  a fixture and a hook of pytest
from tests.support.chaos_report import (  # noqa: F401  hooks of pytest
    pytest_addoption,
    pytest_runtest_logreport,
    pytest_sessionfinish,
)

# Many tests start processes, and each would compile pipecat again: two seconds of a core, and as much for
# every worker's own tests. Containers like to have it so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# On a machine that many tests share, an agent of theirs may be busy for most of the time that is left to it, and would
# refuse the calls that they are about. Tests of admission say their own threshold.
os.environ.setdefault("PIOPIY_LOAD_THRESHOLD", "1")

TOGETHER = {
    "tests/browser/test_barge_in.py": "browser",
    "tests/browser/test_console.py": "browser",
    "tests/browser/test_endings.py": "browser",
    "tests/browser/test_own_words.py": "browser",
    "tests/browser/test_refusals.py": "browser",
    "tests/call/test_ears.py": "ears",
    "tests/call/test_turn_ends.py": "turn ends",
    "tests/chaos/test_call_faults.py": "call faults",
    "tests/chaos/test_isolated_calls.py": "isolated calls",
    "tests/chaos/test_killed_tools.py": "killed tools",
    "tests/cli/test_replay.py": "replay",
    "tests/services/stt/test_moonshine.py": "moonshine",
    "tests/services/tts/test_local_tts.py": "local voices",
    "tests/services/tts/test_piper.py": "piper",
    "tests/services/tts/test_piper_voice.py": "piper voice",
}
"""Files whose tests share what takes seconds to make: a group runs on one worker, which makes it once."""


class Handout(LoadScopeScheduling):
    """Hands tests out one at a time, but for groups, which begin first.

    By the names of files, because the groups of xdist 3.8 (``--dist=loadgroup``) are none with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Handout:
    return Handout(config, log)


def pytest_collection_finish() -> None:
    from piopiy_pipeline.testing.simulation import simulate  # when bytecode is written

    (simulate.__kwdefaults__ or {})["wall_limit_s"] = (
        300  # a suite shares its machine: 60 s are for a call alone
    )
    gc.collect()
    gc.freeze()  # what was imported stays, and is not looked through after every test


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
    # Those that wait begin, while there is other work for the processor: at the end all workers have some.
    items.sort(key=_waits, reverse=True)


def _waits(item: pytest.Item) -> bool:
    return item.get_closest_marker("realtime") is not None
